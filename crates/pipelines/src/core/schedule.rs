//! Recurring runs: when the next one is due, and which of those that were missed is made up for.
//!
//! As upstream's controller (backend/src/crd/controller/scheduledworkflow): the next time follows the last one that was
//! triggered, else the start, else the creation. With catch-up every missed time gets its run, one after the other; without
//! it only the latest does. At the bound of runs that may be under way a run is put off, not left out.

use ferroflow_platform::cron::Schedule as Cron;
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    fault::Fault,
    wire::{Fields, time},
};

/// What triggers runs. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trigger {
    pub start_ms: Option<i64>,
    /// The last moment at which one may be due.
    pub end_ms: Option<i64>,
    pub every: Every,
}

/// How often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// Six fields, seconds first, or a descriptor.
    Cron(String),
    Seconds(i64),
}

/// Whether missed runs are made up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    All,
    Latest,
}

/// Missed times of a cron schedule that are walked through to find the latest; beyond them the search begins anew at a
/// time so much nearer. A day of seconds.
const WALK: usize = 86_400;

/// Reads `trigger` of a request.
///
/// # Errors
/// [`Fault`] that names the field.
pub fn read(mut fields: Fields) -> Result<Trigger, Fault> {
    let at = fields.place().to_owned();
    let (cron, periodic) = (fields.object("cron_schedule")?, fields.object("periodic_schedule")?);
    fields.end("cron_schedule, periodic_schedule")?;
    match (cron, periodic) {
        (Some(mut fields), None) => {
            let (start_ms, end_ms) = (fields.time("start_time")?, fields.time("end_time")?);
            let place = fields.at("cron");
            let cron = fields.text("cron")?;
            fields.end("start_time, end_time, cron")?;
            check_cron(&cron).map_err(|what| Fault::new(&place, what))?;
            check_span(&place, start_ms, end_ms)?;
            Ok(Trigger { start_ms, end_ms, every: Every::Cron(cron) })
        }
        (None, Some(mut fields)) => {
            let (start_ms, end_ms) = (fields.time("start_time")?, fields.time("end_time")?);
            let place = fields.at("interval_second");
            let seconds = fields.integer("interval_second")?.unwrap_or_default();
            fields.end("start_time, end_time, interval_second")?;
            if !(0..=i64::from(u32::MAX)).contains(&seconds) {
                return Err(Fault::new(place, format!("{seconds} is no interval; give seconds, from 1 on")));
            }
            check_span(&place, start_ms, end_ms)?;
            // 0 is 1, as upstream.
            Ok(Trigger { start_ms, end_ms, every: Every::Seconds(seconds.max(1)) })
        }
        _ => Err(Fault::new(at, "give one of cron_schedule and periodic_schedule")),
    }
}

fn check_span(at: &str, start_ms: Option<i64>, end_ms: Option<i64>) -> Result<(), Fault> {
    match (start_ms, end_ms) {
        (Some(start), Some(end)) if start > end => {
            Err(Fault::new(at, "end_time is before start_time, so no run would ever be due"))
        }
        _ => Ok(()),
    }
}

/// Refuses what robfig/cron would refuse, and five fields: there the first is seconds, so that `*/5 * * * *` means every
/// five seconds, which nobody who writes it wants.
fn check_cron(cron: &str) -> Result<(), String> {
    if !cron.starts_with('@') && cron.split_whitespace().count() == 5 {
        return Err(format!(
            "{cron:?} has five fields, but the first of six is seconds here; write \"0 {cron}\" for that of crontab"
        ));
    }
    Cron::parse_with_seconds(cron).map(drop).map_err(|error| format!("{cron:?} is no schedule: {error}"))
}

impl Trigger {
    /// As answers show it.
    pub fn show(&self) -> Value {
        let mut schedule = serde_json::Map::new();
        if let Some(start) = self.start_ms {
            schedule.insert("start_time".to_owned(), time(start).into());
        }
        if let Some(end) = self.end_ms {
            schedule.insert("end_time".to_owned(), time(end).into());
        }
        match &self.every {
            Every::Cron(cron) => {
                schedule.insert("cron".to_owned(), cron.as_str().into());
                json!({"cron_schedule": schedule})
            }
            Every::Seconds(seconds) => {
                schedule.insert("interval_second".to_owned(), seconds.to_string().into());
                json!({"periodic_schedule": schedule})
            }
        }
    }

    /// When the run after `last_ms` is due, or the first one; `None` where there is none any more. It may be in the past:
    /// then it is overdue.
    pub fn next(&self, last_ms: Option<i64>, created_ms: i64, zone: &TimeZone) -> Option<i64> {
        let next = match (&self.every, last_ms) {
            (Every::Seconds(_), None) if self.start_ms.is_some_and(|start| start > created_ms) => self.start_ms,
            (Every::Seconds(seconds), last) => {
                Some(last.or(self.start_ms).unwrap_or(created_ms).max(0) + seconds * 1000)
            }
            (Every::Cron(cron), last) => {
                let after = last.or(self.start_ms).unwrap_or(created_ms);
                next_of_cron(cron, after, zone)
            }
        };
        next.filter(|next| self.end_ms.is_none_or(|end| *next <= end))
    }

    /// The run that is due at `now_ms`: when it was scheduled for. `None` where none is due yet.
    pub fn due(
        &self,
        last_ms: Option<i64>,
        created_ms: i64,
        missed: Missed,
        now_ms: i64,
        zone: &TimeZone,
    ) -> Option<i64> {
        let first = self.next(last_ms, created_ms, zone).filter(|next| *next <= now_ms)?;
        match (missed, &self.every) {
            (Missed::All, _) => Some(first),
            (Missed::Latest, Every::Seconds(seconds)) => {
                let step = seconds * 1000;
                let until = self.end_ms.map_or(now_ms, |end| end.min(now_ms));
                Some(first + (until - first) / step * step)
            }
            (Missed::Latest, Every::Cron(cron)) => Some(self.latest_of_cron(cron, first, now_ms, zone)),
        }
    }

    fn latest_of_cron(&self, cron: &str, first: i64, now_ms: i64, zone: &TimeZone) -> i64 {
        let until = self.end_ms.map_or(now_ms, |end| end.min(now_ms));
        // Begin near the end where there may be very many: a time that follows there is the latest just as well.
        let mut latest = first;
        for back_ms in [3_600_000, 86_400_000, 32 * 86_400_000] {
            let near = next_of_cron(cron, until - back_ms, zone).filter(|next| *next <= until && *next > first);
            if let Some(near) = near {
                latest = near;
                break;
            }
        }
        for _ in 0..WALK {
            match next_of_cron(cron, latest, zone).filter(|next| *next <= until) {
                Some(next) => latest = next,
                None => break,
            }
        }
        latest
    }
}

fn next_of_cron(cron: &str, after_ms: i64, zone: &TimeZone) -> Option<i64> {
    let schedule = Cron::parse_with_seconds(cron).ok()?;
    let after = Timestamp::from_millisecond(after_ms).ok()?;
    // A schedule counts in seconds: behind half a second comes the next whole one.
    let floor = Timestamp::from_second(after.as_millisecond().div_euclid(1000)).ok()?;
    schedule.next(floor, zone).map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn trigger(value: Value) -> Result<Trigger, String> {
        read(Fields::of("trigger", value).unwrap()).map_err(|fault| fault.to_string())
    }

    const CREATED: &str = "2030-01-01T00:00:30Z";

    fn check(value: Value, last: Option<&str>, expect: Option<&str>) {
        let next = trigger(value.clone()).unwrap().next(last.map(ms), ms(CREATED), &TimeZone::UTC);
        assert_eq!(next.map(time), expect.map(str::to_owned), "{value} {last:?}");
    }

    #[test]
    fn the_next_run_follows_the_last_the_start_or_the_creation() {
        let cron = |more: Value| {
            let mut cron = json!({"cron": "0 */10 * * * *"});
            cron.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"cron_schedule": cron})
        };
        check(cron(json!({})), None, Some("2030-01-01T00:10:00Z"));
        check(cron(json!({})), Some("2030-01-01T00:10:00Z"), Some("2030-01-01T00:20:00Z"));
        check(cron(json!({"start_time": "2030-01-02T00:00:00Z"})), None, Some("2030-01-02T00:10:00Z"));
        check(cron(json!({"start_time": "2029-12-31T23:55:00Z"})), None, Some("2030-01-01T00:00:00Z"));
        check(cron(json!({"end_time": "2030-01-01T00:10:00Z"})), None, Some("2030-01-01T00:10:00Z"));
        check(cron(json!({"end_time": "2030-01-01T00:09:59Z"})), None, None);
        let periodic = |more: Value| {
            let mut periodic = json!({"interval_second": "60"});
            periodic.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"periodic_schedule": periodic})
        };
        check(periodic(json!({})), None, Some("2030-01-01T00:01:30Z"));
        check(periodic(json!({})), Some("2030-01-01T00:01:30Z"), Some("2030-01-01T00:02:30Z"));
        check(periodic(json!({"start_time": "2030-01-02T00:00:00Z"})), None, Some("2030-01-02T00:00:00Z"));
        check(periodic(json!({"start_time": "2029-01-01T00:00:00Z"})), None, Some("2029-01-01T00:01:00Z"));
        check(periodic(json!({"end_time": "2030-01-01T00:01:00Z"})), None, None);
        check(json!({"cron_schedule": {"cron": "@hourly"}}), None, Some("2030-01-01T01:00:00Z"));
        check(json!({"cron_schedule": {"cron": "@every 5m"}}), None, Some("2030-01-01T00:05:30Z"));
    }

    #[test]
    fn missed_runs_are_made_up_for_one_by_one_or_by_the_latest() {
        let due = |value: Value, missed, now: &str| {
            let trigger = trigger(value).unwrap();
            trigger.due(None, ms(CREATED), missed, ms(now), &TimeZone::UTC).map(time)
        };
        let (cron, periodic) =
            (json!({"cron_schedule": {"cron": "0 0 * * * *"}}), json!({"periodic_schedule": {"interval_second": 60}}));
        let some = |text: &str| Some(text.to_owned());
        let (early, late) = ("2030-01-01T00:00:45Z", "2030-03-01T00:00:45Z");
        for missed in [Missed::All, Missed::Latest] {
            assert_eq!(due(cron.clone(), missed, early), None);
            assert_eq!(due(periodic.clone(), missed, early), None);
        }
        assert_eq!(due(cron.clone(), Missed::All, late), some("2030-01-01T01:00:00Z"));
        assert_eq!(due(cron, Missed::Latest, late), some("2030-03-01T00:00:00Z"));
        assert_eq!(due(periodic.clone(), Missed::All, late), some("2030-01-01T00:01:30Z"));
        assert_eq!(due(periodic, Missed::Latest, late), some("2030-03-01T00:00:30Z"));
        let rare = json!({"cron_schedule": {"cron": "0 0 0 1 1 *"}});
        assert_eq!(due(rare, Missed::Latest, "2034-06-01T00:00:00Z"), some("2034-01-01T00:00:00Z"));
    }

    #[test]
    fn faults_name_the_field_and_the_way_out() {
        let rows = [
            (json!({}), "trigger: give one of"),
            (json!({"cron_schedule": {"cron": "*/5 * * * *"}}), "trigger.cron_schedule.cron: \"*/5 * * * *\" has five"),
            (json!({"cron_schedule": {"cron": "x"}}), "trigger.cron_schedule.cron: \"x\" is no schedule"),
            (json!({"cron_schedule": {}}), "trigger.cron_schedule.cron: \"\" is no schedule"),
            (json!({"periodic_schedule": {"interval_second": -5}}), "trigger.periodic_schedule.interval_second: -5"),
            (json!({"periodic_schedule": {"seconds": 5}}), "trigger.periodic_schedule.seconds: unknown field"),
        ];
        for (value, expect) in rows {
            let fault = trigger(value.clone()).unwrap_err();
            assert!(fault.starts_with(expect), "{value}: {fault}");
        }
    }

    #[test]
    fn a_trigger_is_shown_as_it_was_given() {
        for value in [
            json!({"cron_schedule": {"cron": "@daily", "start_time": "2030-01-01T00:00:00Z"}}),
            json!({"periodic_schedule": {"interval_second": "60", "end_time": "2030-01-01T00:00:00Z"}}),
        ] {
            assert_eq!(trigger(value.clone()).unwrap().show(), value);
        }
    }
}
