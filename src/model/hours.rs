//! The hours in which jobs may be sent: days of the week with times, in one time zone.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{ToSpan, ZonedDateTime};

use super::clock::Timestamp;

/// Stretches of the week, e.g. "Mon-Fri 07:00-19:00, Sat 09:00-12:00".
#[derive(Clone, Debug, PartialEq)]
pub struct Hours {
    text: String,
    spans: Vec<Span>,
    zone: TimeZone,
}

/// One stretch: on each of these days from a time up to another. One that ends before it begins ends on the next day.
#[derive(Clone, Debug, PartialEq)]
struct Span {
    /// Monday first.
    days: [bool; 7],
    from: Time,
    to: Time,
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const WRONG: &str = "hours are written as \"Mon-Fri 07:00-19:00\", several parted by commas";

impl Hours {
    /// Reads hours of a time zone.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, String> {
        let spans = text.split(',').map(|part| span(part.trim())).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), spans, zone })
    }

    /// As it was written, with its time zone.
    pub fn show(&self) -> String {
        format!("{} {}", self.text, self.zone.iana_name().unwrap_or("UTC"))
    }

    /// `None` when `now` is within the hours; else when they begin next.
    pub fn closed_until(&self, now: Timestamp) -> Option<Timestamp> {
        let now = jiff::Timestamp::from_millisecond(now.0).ok()?.to_zoned_datetime(self.zone.clone());
        let yesterday = now.date().yesterday().ok()?;
        let mut next: Option<ZonedDateTime> = None;
        let mut day = yesterday;
        // Whatever the hours are, they begin again within a week.
        for _ in 0..9 {
            for span in &self.spans {
                if !span.days[monday_first(day.weekday())] {
                    continue;
                }
                let Ok(begins) = day.to_datetime(span.from).to_zoned_datetime(self.zone.clone()) else { continue };
                let end_day = if span.to > span.from { day } else { day.tomorrow().ok()? };
                let Ok(ends) = end_day.to_datetime(span.to).to_zoned_datetime(self.zone.clone()) else { continue };
                if begins <= now && now < ends {
                    return None;
                }
                if begins > now && next.as_ref().is_none_or(|next| begins < *next) {
                    next = Some(begins);
                }
            }
            day = day.checked_add(1.day()).ok()?;
        }
        next.map(|at| Timestamp(at.timestamp().as_millisecond()))
    }
}

fn monday_first(day: Weekday) -> usize {
    usize::from(day.to_monday_zero_offset().unsigned_abs())
}

fn span(text: &str) -> Result<Span, String> {
    let (days, times) = match text.split_once(' ') {
        Some((days, times)) => (days_of(days)?, times.trim()),
        None => ([true; 7], text),
    };
    let (from, to) = times.split_once('-').ok_or(WRONG)?;
    let (from, to) = (time(from)?, time(to)?);
    Ok(Span { days, from, to })
}

fn days_of(text: &str) -> Result<[bool; 7], String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let day = |name: &str| {
        DAYS.iter()
            .position(|day| day.eq_ignore_ascii_case(name))
            .ok_or_else(|| format!("\"{name}\" is no day; there are {}", DAYS.join(", ")))
    };
    let (mut at, last) = (day(first)?, day(last)?);
    let mut days = [false; 7];
    loop {
        days[at] = true;
        if at == last {
            return Ok(days);
        }
        at = (at + 1) % 7;
    }
}

fn time(text: &str) -> Result<Time, String> {
    let (hour, minute) = text.trim().split_once(':').ok_or(WRONG)?;
    let (hour, minute) = (hour.parse().map_err(|_| WRONG)?, minute.parse().map_err(|_| WRONG)?);
    if (hour, minute) == (24, 0) {
        return Ok(Time::midnight());
    }
    Time::new(hour, minute, 0, 0).map_err(|_| format!("\"{}\" is no time of day", text.trim()))
}
