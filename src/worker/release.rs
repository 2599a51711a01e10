//! Releasing: due jobs go through the gates, in the fair order of their lanes, as long as there are slots.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::prepare::Prepared;
use super::{Again, LOOK_EVERY, Result, Worker, sooner};
use crate::model::breaker::Breaker;
use crate::model::clock::Timestamp;
use crate::model::gate::{Freeze, GateOutcome, Snapshot, WindowUse};
use crate::model::job::Job;
use crate::model::policy::{Bound, Policy, Scope, Then};
use crate::rules::gates;
use crate::store::{Release, Released, StoreError};

/// How many lanes are asked about in one go. All are asked in the end: only when nothing moves are the next ones looked at.
const LANES: usize = 64;
/// How long a job is set aside when nobody knows how long it has to wait.
const ASIDE: Duration = Duration::from_secs(30);

/// What became of a candidate.
enum Step {
    /// It is no candidate any more: the next one of its lane may be.
    Moved,
    /// It waits.
    Waits(Again),
    /// It waits by now, though it did not when the candidates were looked at.
    WaitsNow(Again),
}

/// The rules that allow more than one unfinished run on a context, under the rules with this hash.
#[derive(Debug, Default)]
pub(super) struct Loose {
    hash: String,
    rules: Arc<[String]>,
}

impl Worker {
    /// Sends every job that may be sent now. The calls go on by themselves: a slow answer holds up nobody else's release.
    pub async fn release_tick(&self) -> Result<Again> {
        loop {
            let Some(next) = self.pass().await? else { continue };
            if self.inner.stop.is_cancelled() {
                return Ok(None);
            }
            let expired = self.inner.store.expire_approvals().await?;
            if expired > 0 {
                tracing::info!(jobs = expired, "nobody agreed in time");
            }
            return Ok(sooner(next, self.inner.store.next_due().await?));
        }
    }

    /// Asks about the candidates in their order until something has moved, which changes the order; `None` then, else
    /// when to come again.
    async fn pass(&self) -> Result<Option<Again>> {
        let store = &self.inner.store;
        let shut = Shut {
            now: self.inner.clock.now(),
            windows: store.windows().await?,
            freezes: store.freezes().await?,
            breakers: store.breakers().await?,
        };
        let mut next = None;
        let mut ready = Vec::new();
        let candidates = store.candidates(u32::MAX, &self.loose()).await?;
        let any = !candidates.is_empty();
        for job in candidates {
            let tells =
                || job.target.is_some() || self.inner.rules.now().policy(&job.rule).then.contains(&Then::Resume);
            match shut.until(&job, tells) {
                Some(until) => next = sooner(next, until),
                None => ready.push(job),
            }
        }
        self.inner.shut.store(any && ready.is_empty(), Ordering::Relaxed);
        let mut ready = ready.into_iter().peekable();
        while ready.peek().is_some() {
            let rules = self.inner.rules.now();
            let some = ready.by_ref().take(LANES).map(|job| {
                let policy = rules.policy(&job.rule);
                (job, policy)
            });
            let mut moved = false;
            for snapshot in store.snapshots(some.collect()).await? {
                match self.step(&snapshot).await? {
                    Step::Moved => moved = true,
                    // Those before it have used what the others were to get: look again before more is rendered.
                    Step::WaitsNow(_) if moved => return Ok(None),
                    Step::Waits(until) | Step::WaitsNow(until) => next = sooner(next, until),
                }
                if self.inner.stop.is_cancelled() {
                    return Ok(Some(None));
                }
            }
            if moved {
                return Ok(None);
            }
        }
        Ok(Some(next))
    }

    /// One candidate. The gates are asked before anything is read or rendered, so that a job that waits costs little;
    /// what counts is what they say again in the transaction.
    async fn step(&self, snapshot: &Snapshot) -> Result<Step> {
        let policy = self.inner.rules.now().policy(&snapshot.job.rule);
        let answer = gates::ask(snapshot, &policy);
        if let GateOutcome::Wait(_, until) = answer.outcome {
            if !gates::waits_alone(&answer) {
                return Ok(Step::Waits(until));
            }
            // Its lane goes on without it.
            let aside = snapshot.now.plus(ASIDE);
            self.inner.store.park(&snapshot.job.id, until.unwrap_or(aside).max(Timestamp(snapshot.now.0 + 1))).await?;
            return Ok(Step::Moved);
        }
        match self.release(snapshot, &policy).await {
            // Somebody else changed it meanwhile.
            Err(StoreError::Conflict(_) | StoreError::NotFound(_)) => Ok(Step::Moved),
            Err(error @ (StoreError::Busy(_) | StoreError::Schema(_))) => Err(error.into()),
            // What is wrong with one job must not stop the others, those behind it in its lane included.
            Err(error) => {
                tracing::error!(job = snapshot.job.id, %error, "the job cannot be released");
                self.inner.store.park(&snapshot.job.id, self.inner.clock.now().plus(LOOK_EVERY)).await?;
                Ok(Step::Moved)
            }
            Ok(step) => Ok(step),
        }
    }

    async fn release(&self, snapshot: &Snapshot, policy: &Policy) -> std::result::Result<Step, StoreError> {
        let (inner, job) = (&self.inner, &snapshot.job);
        // A create that comes to its end wakes the tick again.
        let Ok(permit) = Arc::clone(&inner.sending).try_acquire_owned() else { return Ok(Step::Waits(None)) };
        // Asked after the permit is taken: whoever waits for the last create to end has stopped the worker before.
        if inner.stop.is_cancelled() {
            return Ok(Step::Waits(None));
        }
        let goes = gates::ask(snapshot, policy).outcome == GateOutcome::Go;
        let way = gates::way(snapshot, policy).filter(|_| goes);
        let prepared = match way {
            None => None,
            Some(way) => match self.prepare(snapshot, way).await? {
                Ok(prepared) => Some(prepared),
                Err(reason) => {
                    tracing::warn!(job = job.id, rule = job.rule, reason, "job held");
                    inner.store.hold(&job.id, Some(job.revision), &reason).await?;
                    return Ok(Step::Moved);
                }
            },
        };
        let release = Release {
            job: job.id.clone(),
            revision: job.revision,
            prompt: prepared.as_ref().map_or_else(String::new, |it| it.asked.prompt().to_owned()),
            note: prepared.as_ref().map_or_else(String::new, |it| it.note.clone()),
            told: way.and_then(gates::Way::run),
            classes: gates::classes(job).to_vec(),
            policy: policy.clone(),
        };
        let mut changed = false;
        let ask = |now: &Snapshot| {
            let mut answer = gates::ask(now, policy);
            changed = answer.outcome == GateOutcome::Go && gates::way(now, policy) != way;
            if changed {
                // What was prepared is not what is to be sent any more.
                answer.outcome = GateOutcome::Wait("looked at again".to_owned(), None);
            }
            answer
        };
        let released = inner.store.release(release, ask).await?;
        Ok(match (released, prepared) {
            (Released::Go { job, call }, Some(Prepared { asked, .. })) => {
                tracing::info!(job = job.id, rule = job.rule, subject = job.subject, "released");
                tokio::spawn(self.clone().submit(*job, call, asked, permit));
                Step::Moved
            }
            (Released::Waits { until, .. }, _) if !changed => Step::WaitsNow(until),
            _ => Step::Moved,
        })
    }

    fn loose(&self) -> Arc<[String]> {
        let rules = self.inner.rules.now();
        let mut loose = self.inner.loose.lock().unwrap_or_else(PoisonError::into_inner);
        if loose.hash != rules.hash() {
            let names = rules.rules().map(|rule| rule.name).filter(|name| is_loose(&rules.policy(name)));
            *loose = Loose { hash: rules.hash().to_owned(), rules: names.collect() };
        }
        Arc::clone(&loose.rules)
    }
}

/// Whether it allows more than one unfinished run on a context.
fn is_loose(policy: &Policy) -> bool {
    let caps = policy.limits.iter().filter(|limit| limit.scope == Scope::Subject);
    let least = caps.filter_map(|limit| if let Bound::Running(cap) = limit.bound { Some(cap) } else { None }).min();
    least.is_some_and(|cap| cap > 1)
}

/// What no call can pass at a moment, whatever the other gates say.
struct Shut {
    now: Timestamp,
    windows: Vec<WindowUse>,
    freezes: Vec<Freeze>,
    breakers: Vec<Breaker>,
}

impl Shut {
    /// Until when no call of the job can be made; `None` if one can. What may be told to a run is for the gates to say:
    /// breakers that hold back new runs let it pass.
    fn until(&self, job: &Job, may_tell: impl Fn() -> bool) -> Option<Again> {
        let classes = gates::classes(job);
        let open = self.breakers.iter().filter(|breaker| {
            breaker.concerns(classes, true)
                && !breaker.wants_probe(self.now)
                && (breaker.name.stops_all() || (job.starts() && !may_tell()))
        });
        let open = open.map(|breaker| breaker.holds_until(self.now));
        let frozen = self.freezes.iter().filter(|freeze| classes.contains(&freeze.class));
        let frozen = frozen.map(|freeze| Some(freeze.until));
        let full = self.windows.iter().filter(|window| classes.contains(&window.class) && window.free() == 0);
        let full = full.map(|window| window.next_free);
        open.chain(frozen).chain(full).max_by_key(|until| until.map_or(i64::MAX, |at| at.0))
    }
}
