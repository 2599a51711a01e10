//! Breakers: what every answer says about the calls to come, and which one call may find out whether they go again.
//!
//! A breaker is a row, shared by all replicas. Its probe is chosen in the transaction that begins the call: of many that
//! come at once one finds the row due and moves it on, and the others wait.

use std::time::Duration;

use tokio::sync::futures::OwnedNotified;

use super::Store;
use super::calls::{self, CallId, Obstacles, Slot};
use super::db::{Conn, Tx, query};
use super::errors::{Result, StoreError};
use crate::model::breaker::{Breaker, BreakerKind};
use crate::model::clock::Timestamp;
use crate::model::limits::{CallClass, ClassLimits};

/// So many calls in a row without an answer are an outage: one alone is a gateway's hiccup, and of two one may have been
/// under way when the other broke.
const OUTAGE: i64 = 3;
/// Failures that are further apart have nothing to do with each other.
const ROW: Duration = Duration::from_mins(5);
/// Within this time after it was closed a breaker that opens again goes on with its waits: the probe got through, but
/// what it was to show did not last.
const RELAPSE: Duration = Duration::from_mins(10);
/// How long a probe may be under way before another may go, if it is not known to have ended: longer than any call.
const PROBE_MAX: Duration = Duration::from_mins(1);
/// How long to wait after a probe whose answer was about something else.
const ASIDE: Duration = Duration::from_mins(1);
/// No breaker waits longer than this.
const LONGEST: Duration = Duration::from_hours(1);
/// No answer freezes a class for longer than this, or than its window.
const FREEZE_MAX: Duration = Duration::from_mins(10);

/// What the end of a call says about the calls to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was carried out.
    Done,
    /// The service answered, but about this call only.
    Answered,
    /// There was no answer, or none that tells.
    Silent,
    /// The service would refuse the next one, too.
    Denied(BreakerKind),
}

/// What became of the breakers by a verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Those that opened.
    pub opened: Vec<BreakerKind>,
    /// Those that closed.
    pub closed: Vec<BreakerKind>,
}

impl Judged {
    /// Whether anything changed.
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.closed.is_empty()
    }
}

/// A row, open or closed.
#[derive(Clone, Debug)]
struct Kept {
    kind: BreakerKind,
    classes: Vec<CallClass>,
    reason: String,
    since: Option<Timestamp>,
    until: Timestamp,
    probes: u32,
    probe: Option<String>,
    failures: i64,
    failed_at: Timestamp,
    closed_at: Timestamp,
}

impl Kept {
    fn new(kind: BreakerKind) -> Self {
        Self {
            kind,
            classes: Vec::new(),
            reason: String::new(),
            since: None,
            until: Timestamp::default(),
            probes: 0,
            probe: None,
            failures: 0,
            failed_at: Timestamp::default(),
            closed_at: Timestamp::default(),
        }
    }

    fn is_probe(&self, call: &CallId) -> bool {
        self.since.is_some() && self.probe.as_deref() == Some(&call.0)
    }

    fn open(&mut self, class: CallClass, reason: &str, now: Timestamp) {
        let relapsed = self.closed_at > Timestamp::default() && self.closed_at.plus(RELAPSE) > now;
        self.probes = if relapsed { self.probes } else { 0 };
        self.since = Some(now);
        self.until = now.plus(self.kind.wait(self.probes));
        self.classes = if self.kind.stops_all() { CallClass::ALL.to_vec() } else { vec![class] };
        reason.clone_into(&mut self.reason);
        self.probe = None;
    }

    fn close(&mut self, now: Timestamp) {
        self.since = None;
        self.probe = None;
        self.failures = 0;
        self.closed_at = now;
    }

    /// The probe is over and has not closed it.
    fn wait(&mut self, wait: Duration, now: Timestamp) {
        self.until = now.plus(wait);
        self.probe = None;
    }
}

/// Every row there is.
async fn kept(conn: &mut Conn) -> Result<Vec<Kept>> {
    let rows = query(
        "SELECT name, classes, reason, since_at, until_at, probes, probe, failures, failed_at, closed_at \
         FROM breakers ORDER BY name",
    )
    .fetch_all(conn)
    .await?;
    let corrupt = |column| move |detail| StoreError::Corrupt { table: "breakers", column, detail };
    rows.iter()
        .map(|row| {
            let (name, classes): (&str, &str) = (row.try_get("name")?, row.try_get("classes")?);
            let classes = classes.split(',').filter(|class| !class.is_empty()).map(str::parse);
            Ok(Kept {
                kind: name.parse().map_err(corrupt("name"))?,
                classes: classes.collect::<Result<_, _>>().map_err(corrupt("classes"))?,
                reason: row.try_get("reason")?,
                since: row.try_get::<Option<i64>>("since_at")?.map(Timestamp),
                until: Timestamp(row.try_get("until_at")?),
                probes: row.try_get::<i64>("probes")?.max(0) as u32,
                probe: row.try_get("probe")?,
                failures: row.try_get("failures")?,
                failed_at: Timestamp(row.try_get("failed_at")?),
                closed_at: Timestamp(row.try_get("closed_at")?),
            })
        })
        .collect()
}

async fn keep(tx: &mut Tx, row: &Kept) -> Result<()> {
    let classes: Vec<&str> = row.classes.iter().map(|class| class.as_str()).collect();
    query(
        "INSERT INTO breakers (name, classes, reason, since_at, until_at, probes, probe, failures, failed_at, closed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (name) DO UPDATE SET classes = excluded.classes, \
         reason = excluded.reason, since_at = excluded.since_at, until_at = excluded.until_at, \
         probes = excluded.probes, probe = excluded.probe, failures = excluded.failures, \
         failed_at = excluded.failed_at, closed_at = excluded.closed_at",
    )
    .bind(row.kind.as_str())
    .bind(classes.join(","))
    .bind(&row.reason)
    .bind(row.since.map(|at| at.0))
    .bind(row.until.0)
    .bind(i64::from(row.probes))
    .bind(row.probe.as_deref())
    .bind(row.failures)
    .bind(row.failed_at.0)
    .bind(row.closed_at.0)
    .execute(tx)
    .await?;
    Ok(())
}

/// The breakers that are open.
pub(super) async fn open(conn: &mut Conn) -> Result<Vec<Breaker>> {
    let rows = kept(conn).await?.into_iter();
    let open = rows.filter_map(|row| {
        row.since.map(|since| Breaker {
            name: row.kind,
            classes: row.classes,
            reason: row.reason,
            since,
            until: row.until,
            probes: row.probes,
            probing: row.probe.is_some(),
        })
    });
    Ok(open.collect())
}

/// Makes the call the probe of every breaker that it is about; `false` if another call was faster. The row moves on to
/// the probe after this one, which may go when this one is not heard of again.
pub(super) async fn probe(tx: &mut Tx, breakers: &[Breaker], call: &CallId, now: Timestamp) -> Result<bool> {
    for breaker in breakers {
        let next = now.plus(breaker.name.wait(breaker.probes + 1).max(PROBE_MAX));
        let won = query(
            "UPDATE breakers SET probe = $2, probes = probes + 1, until_at = $3 \
             WHERE name = $1 AND since_at IS NOT NULL AND until_at <= $4",
        )
        .bind(breaker.name.as_str())
        .bind(&call.0)
        .bind(next.0)
        .bind(now.0)
        .execute(tx)
        .await?;
        if won != 1 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Probes whose call has ended without a verdict, because their process died: the next one may go at once.
async fn let_go(tx: &mut Tx, now: Timestamp) -> Result<()> {
    query(
        "UPDATE breakers SET probe = NULL, until_at = $1 WHERE probe IS NOT NULL AND until_at > $1 AND NOT EXISTS \
         (SELECT 1 FROM calls WHERE calls.id = breakers.probe AND calls.ended_at IS NULL)",
    )
    .bind(now.0)
    .execute(tx)
    .await?;
    Ok(())
}

/// Times in the future, left by a clock that was ahead, must not hold anything back for longer than they were meant to.
/// `freeze` is the longest that a class can be frozen.
async fn set_right(tx: &mut Tx, freeze: Duration, now: Timestamp) -> Result<()> {
    for (late, at) in [
        ("UPDATE freezes SET until_at = $1 WHERE until_at > $1", now.plus(freeze)),
        ("UPDATE breakers SET until_at = $1 WHERE until_at > $1", now.plus(LONGEST)),
        ("UPDATE breakers SET since_at = $1 WHERE since_at > $1", now),
        ("UPDATE breakers SET failed_at = $1 WHERE failed_at > $1", now),
        ("UPDATE breakers SET closed_at = $1 WHERE closed_at > $1", now),
        ("UPDATE shrinks SET limited_at = $1 WHERE limited_at > $1", now),
        ("UPDATE shrinks SET grows_from = $1 WHERE grows_from > $1", now.plus(freeze)),
    ] {
        query(late).bind(at.0).execute(tx).await?;
    }
    Ok(())
}

/// What a process does with the breakers of those before it.
pub(super) async fn take_over(tx: &mut Tx, limits: &ClassLimits, now: Timestamp) -> Result<()> {
    let_go(tx, now).await?;
    set_right(tx, FREEZE_MAX.max(calls::longest_window(limits)), now).await
}

impl Store {
    /// The breakers that are open.
    pub async fn breakers(&self) -> Result<Vec<Breaker>> {
        let mut conn = self.inner.db.read().await?;
        open(&mut conn).await
    }

    /// Begins the harmless read that probes a breaker which stops all calls, and takes its slot; `None` when the breaker
    /// is closed, not due, or probed by another.
    pub async fn begin_probe(&self, kind: BreakerKind, purpose: &str) -> Result<Option<Slot>> {
        const CLASSES: [CallClass; 1] = [CallClass::Standard];
        self.inner.replica.may_begin()?;
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let mut obstacles = Obstacles::read(&mut tx, &self.inner.limits, now).await?;
        let due = |breaker: &Breaker| breaker.name == kind && breaker.until <= now;
        let Some(at) = obstacles.breakers.iter().position(due) else { return Ok(None) };
        let breaker = obstacles.breakers.swap_remove(at);
        // It is the one call that may pass breakers; windows hold for it as for every other.
        obstacles.breakers.clear();
        if let Some((until, reason)) = obstacles.of(&CLASSES, false) {
            return Ok(Some(Slot::Full { until, reason }));
        }
        let call = calls::begin_call(&mut tx, &CLASSES, purpose, &self.inner.replica.id, now).await?;
        if !probe(&mut tx, &[breaker], &call, now).await? {
            return Ok(None);
        }
        tx.commit().await?;
        Ok(Some(Slot::Taken(call)))
    }

    /// What the end of a call says about those to come. Say it before the call is ended: a probe that has ended without
    /// a verdict counts as one whose process died.
    pub async fn judge(&self, call: &CallId, class: CallClass, verdict: Verdict, reason: &str) -> Result<Judged> {
        if matches!(verdict, Verdict::Done | Verdict::Answered) {
            // Nearly every call: there is nothing to close and no row of failures to end.
            let mut conn = self.inner.db.read().await?;
            if kept(&mut conn).await?.iter().all(|row| row.since.is_none() && row.failures == 0) {
                return Ok(Judged::default());
            }
        }
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let began_at = calls::began_at(&mut tx, call).await?.unwrap_or(now);
        let mut rows = kept(&mut tx).await?;
        let about = match verdict {
            Verdict::Denied(kind) => Some(kind),
            Verdict::Silent => Some(BreakerKind::Outage),
            Verdict::Done | Verdict::Answered => None,
        };
        if let Some(kind) = about.filter(|kind| !rows.iter().any(|row| row.kind == *kind)) {
            rows.push(Kept::new(kind));
        }
        let mut judged = Judged::default();
        for row in &mut rows {
            let was_open = row.since.is_some();
            let changed = if row.kind == BreakerKind::Outage {
                hear(row, call, verdict, (class, reason), now)
            } else {
                decide(row, call, verdict, (class, reason), began_at, now)
            };
            if !changed {
                continue;
            }
            keep(&mut tx, row).await?;
            match (was_open, row.since.is_some()) {
                (false, true) => judged.opened.push(row.kind),
                (true, false) => judged.closed.push(row.kind),
                _ => {}
            }
        }
        if judged.is_empty() {
            tx.commit().await?;
        } else {
            tx.commit_and_wake().await?;
            self.trip();
        }
        Ok(judged)
    }

    /// Closes a breaker early; whether it was open. The next call that meets the same answer opens it again.
    pub async fn release_breaker(&self, kind: BreakerKind) -> Result<bool> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let Some(mut row) = kept(&mut tx).await?.into_iter().find(|row| row.kind == kind && row.since.is_some()) else {
            return Ok(false);
        };
        row.close(now);
        // A person has seen to it: its waits begin anew.
        row.probes = 0;
        keep(&mut tx, &row).await?;
        tx.commit_and_wake().await?;
        self.trip();
        Ok(true)
    }

    /// Completes when a breaker opened or closed in this process.
    pub fn tripped(&self) -> OwnedNotified {
        self.inner.trip.clone().notified_owned()
    }

    fn trip(&self) {
        self.inner.trip.notify_waiters();
        self.wake();
    }
}

/// What a verdict does to the breaker of outages; whether its row changed. Any answer shows that the service is there.
fn hear(row: &mut Kept, call: &CallId, verdict: Verdict, (class, reason): (CallClass, &str), now: Timestamp) -> bool {
    if verdict != Verdict::Silent {
        let was_heard = row.since.is_none() && row.failures == 0;
        match row.since {
            Some(_) => row.close(now),
            None => row.failures = 0,
        }
        return !was_heard;
    }
    if row.since.is_some() {
        let is_probe = row.is_probe(call);
        if is_probe {
            row.wait(row.kind.wait(row.probes), now);
        }
        return is_probe;
    }
    row.failures = if row.failed_at.plus(ROW) >= now { row.failures + 1 } else { 1 };
    row.failed_at = now;
    if row.failures >= OUTAGE {
        row.open(class, reason, now);
    }
    true
}

/// What a verdict does to any other breaker; whether its row changed. Only its probe closes one that is open: calls that
/// were under way when it opened tell of the time before.
fn decide(
    row: &mut Kept,
    call: &CallId,
    verdict: Verdict,
    (class, reason): (CallClass, &str),
    began_at: Timestamp,
    now: Timestamp,
) -> bool {
    let met = verdict == Verdict::Denied(row.kind);
    if row.since.is_none() {
        // What began before it was closed knows nothing of what closed it.
        let opens = met && began_at >= row.closed_at;
        if opens {
            row.open(class, reason, now);
        }
        return opens;
    }
    let is_probe = row.is_probe(call);
    match verdict {
        Verdict::Done if is_probe => row.close(now),
        _ if is_probe && met => {
            row.wait(row.kind.wait(row.probes), now);
            reason.clone_into(&mut row.reason);
        }
        _ if is_probe => row.wait(ASIDE, now),
        _ if met && !row.classes.contains(&class) => row.classes.push(class),
        _ => return false,
    }
    true
}
