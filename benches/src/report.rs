//! The results: a table for people, `bench.json` for programs.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::samples::Samples;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
}

/// What a work must reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    None,
    /// So many times as good as the peer.
    Ratio(f64),
    /// At most so much.
    AtMost(f64),
}

/// One work, as `bench.json` lists it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Row {
    pub work: String,
    pub unit: String,
    pub ours: f64,
    pub peer: Option<f64>,
    pub peer_name: Option<String>,
    /// How many times as good as the peer; more than 1 is better, whatever the unit.
    pub ratio: Option<f64>,
    /// Where rounds of both sides are pairs: the ratio of the true medians is in it with 95 % certainty or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    pub goal: Option<String>,
    pub met: Option<bool>,
}

impl Row {
    /// A row from the medians of both sides.
    pub fn new(work: &str, unit: &str, better: Better, ours: f64, peer: Option<(f64, &str)>, goal: Goal) -> Self {
        let ratio = peer.map(|(peer, _)| match better {
            Better::More => peer_ratio(ours, peer),
            Better::Less => peer_ratio(peer, ours),
        });
        let (text, met) = match goal {
            Goal::None => (None, None),
            Goal::Ratio(least) => (Some(format!("{least}x")), ratio.map(|ratio| ratio >= least)),
            Goal::AtMost(most) => (Some(format!("at most {most} {unit}")), Some(ours <= most)),
        };
        Self {
            work: work.to_owned(),
            unit: unit.to_owned(),
            ours: rounded(ours),
            peer: peer.map(|(peer, _)| rounded(peer)),
            peer_name: peer.map(|(_, name)| name.to_owned()),
            ratio: ratio.map(rounded),
            interval: None,
            goal: text,
            met,
        }
    }

    /// A row from rounds that are pairs, each of which has a ratio of its own: their median, with its interval.
    pub fn paired(
        work: &str,
        unit: &str,
        better: Better,
        samples: &Samples,
        peer_name: &str,
        least: Option<f64>,
    ) -> Self {
        let ratios: Vec<f64> = samples
            .ours
            .iter()
            .zip(&samples.peer)
            .map(|(ours, peer)| match better {
                Better::More => peer_ratio(*ours, *peer),
                Better::Less => peer_ratio(*peer, *ours),
            })
            .collect();
        let ratio = median(&ratios);
        let peer = Some((median(&samples.peer), peer_name));
        let goal = least.map_or(Goal::None, Goal::Ratio);
        let row = Self::new(work, unit, better, median(&samples.ours), peer, goal);
        let interval = interval(&ratios).map(|ends| ends.map(rounded));
        Self { ratio: Some(rounded(ratio)), interval, met: least.map(|least| ratio >= least), ..row }
    }
}

/// Where the median of what the values are drawn from lies, with 95 % certainty or more, whatever their distribution:
/// between the second and the second last of nine to eleven values, which is as far as it goes here; `None` of fewer.
fn interval(values: &[f64]) -> Option<[f64; 2]> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [_, low, .., high, _] if values.len() >= 9 => Some([*low, *high]),
        _ => None,
    }
}

fn peer_ratio(better: f64, worse: f64) -> f64 {
    if worse > 0.0 { better / worse } else { 0.0 }
}

/// Four digits say all that five runs can.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let scale = 10_f64.powf(3.0 - value.abs().log10().floor());
    (value * scale).round() / scale
}

/// The median; 0 of nothing.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied().unwrap_or_default();
    if values.len() % 2 == 1 {
        return upper;
    }
    values.len().checked_sub(2).and_then(|rest| values.get(rest / 2)).map_or(upper, |lower| (lower + upper) / 2.0)
}

/// The table that a person reads.
pub fn table(rows: &[Row], left_out: &[String]) -> String {
    let mut text = format!(
        "{:<50} {:>14} {:>10} {:>10} {:>8} {:<13} {:<16} {:<4} {}\n",
        "work", "unit", "ours", "peer", "ratio", "interval", "goal", "met", "peer is"
    );
    for row in rows {
        let met = row.met.map_or("", |met| if met { "yes" } else { "NO" });
        let ratio = row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let interval = row.interval.map(|[low, high]| format!("{low:.3}-{high:.3}")).unwrap_or_default();
        let peer = row.peer.map(|peer| peer.to_string()).unwrap_or_default();
        let goal = row.goal.as_deref().unwrap_or_default();
        let name = row.peer_name.as_deref().unwrap_or_default();
        let _ = writeln!(
            text,
            "{:<50} {:>14} {:>10} {peer:>10} {ratio:>8} {interval:<13} {goal:<16} {met:<4} {name}",
            row.work, row.unit, row.ours
        );
    }
    for reason in left_out {
        let _ = writeln!(text, "left out: {reason}");
    }
    text
}

/// Reads `bench.json`.
///
/// # Errors
/// When there is none, or it is another file's.
pub fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// Writes `bench.json`.
///
/// # Errors
/// When the file cannot be written.
pub fn write(rows: &[Row], path: &Path) -> anyhow::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let text = serde_json::to_string_pretty(rows)? + "\n";
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_is_better_whatever_the_unit() {
        let rate = Row::new("a", "1/s", Better::More, 500.0, Some((100.0, "p")), Goal::Ratio(5.0));
        assert_eq!((rate.ratio, rate.met), (Some(5.0), Some(true)));
        let time = Row::new("b", "ms", Better::Less, 50.0, Some((100.0, "p")), Goal::Ratio(5.0));
        assert_eq!((time.ratio, time.met), (Some(2.0), Some(false)));
        let memory = Row::new("c", "MB", Better::Less, 59.0, None, Goal::AtMost(60.0));
        assert_eq!((memory.ratio, memory.met), (None, Some(true)));
    }

    #[test]
    fn pairs_have_the_median_of_their_own_ratios_and_its_interval() {
        // The machine slows down from round to round; the pairs' ratio is the same.
        let peer: Vec<f64> = (1..=10).map(|round| 100.0 / f64::from(round)).collect();
        let mut samples = Samples { ours: peer.iter().map(|peer| peer * 0.98).collect(), peer };
        let row = Row::paired("a", "Gbit/s", Better::More, &samples, "p", Some(0.95));
        assert_eq!((row.ratio, row.interval, row.met), (Some(0.98), Some([0.98, 0.98]), Some(true)));
        samples.ours.truncate(3);
        assert_eq!(Row::paired("a", "Gbit/s", Better::More, &samples, "p", None).interval, None);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }
}
