//! Parts of timestamps and durations.
//!
//! Zones are UTC and fixed offsets; zones by name would need a database that rules cannot rely on, and
//! are refused as unknown.

use super::super::value::{Fault, Outcome, Val};
use crate::core::crd::go_time::{Moment, civil_from_days, days_from_civil};

/// The first second of the year 1.
pub const MIN_SECONDS: i64 = -62_135_596_800;
/// The last second of the year 9999.
pub const MAX_SECONDS: i64 = 253_402_300_799;

/// Calls a time function, if the function is one and the first argument is a time.
pub fn call<'a>(function: &str, args: &[Val<'a>]) -> Option<Outcome<Val<'a>>> {
    match args {
        [Val::Duration(nanoseconds)] => {
            let scale = match function {
                "getHours" => 3_600_000_000_000,
                "getMinutes" => 60_000_000_000,
                "getSeconds" => 1_000_000_000,
                "getMilliseconds" => 1_000_000,
                _ => return None,
            };
            Some(Ok(Val::Int(nanoseconds / scale)))
        }
        [Val::Timestamp(moment)] => part(function, moment, 0).map(|part| Ok(Val::Int(part))),
        [Val::Timestamp(moment), Val::Text(zone)] => match offset(zone) {
            Ok(offset) => part(function, moment, offset).map(|part| Ok(Val::Int(part))),
            Err(fault) => Some(Err(fault)),
        },
        _ => None,
    }
}

fn offset(zone: &str) -> Outcome<i64> {
    let Some((hours, minutes)) = zone.split_once(':') else {
        return match zone {
            "" | "UTC" | "Etc/UTC" | "GMT" | "Etc/GMT" => Ok(0),
            _ => Err(Fault::new(format!("unknown time zone {zone}"))),
        };
    };
    let number = |text: &str| {
        text.parse::<i64>().map_err(|_| {
            Fault::new(format!("strconv.Atoi: parsing {}: invalid syntax", super::strings::go_quote(text)))
        })
    };
    let (hours_number, minutes_number) = (number(hours)?, number(minutes)?);
    let minutes =
        if hours.starts_with('-') { hours_number * 60 - minutes_number } else { hours_number * 60 + minutes_number };
    Ok(minutes.saturating_mul(60))
}

fn part(function: &str, moment: &Moment, offset: i64) -> Option<i64> {
    let local = moment.seconds.saturating_add(offset);
    let days = local.div_euclid(86_400);
    let of_day = local.rem_euclid(86_400);
    let (year, month, day) = civil_from_days(days);
    Some(match function {
        "getFullYear" => year,
        "getMonth" => i64::from(month) - 1,
        "getDate" => i64::from(day),
        "getDayOfMonth" => i64::from(day) - 1,
        "getDayOfYear" => days - days_from_civil(year, 1, 1),
        "getDayOfWeek" => (days + 4).rem_euclid(7),
        "getHours" => of_day / 3600,
        "getMinutes" => of_day / 60 % 60,
        "getSeconds" => of_day % 60,
        "getMilliseconds" => i64::from(moment.nanoseconds / 1_000_000),
        _ => return None,
    })
}
