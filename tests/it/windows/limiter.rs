//! Limiters as a service may have them, written from what is known of the service, and from nothing of ours.

use std::collections::{HashMap, VecDeque};

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    Create,
    Resume,
    List,
    Get,
    SetupCommands,
    AnalyzeLogs,
    Logs,
}

impl Endpoint {
    /// So many calls in so many milliseconds, as the service documents it; of a resume it says nothing.
    fn documented(self) -> (usize, u64) {
        match self {
            Self::Create => (10, 60_000),
            Self::SetupCommands | Self::AnalyzeLogs => (5, 60_000),
            Self::Logs => (60, 60_000),
            Self::Resume | Self::List | Self::Get => (60, 30_000),
        }
    }
}

/// How it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In any window; what has no limit of its own shares one.
    Sliding,
    /// In windows that begin on the minute, or on its half.
    Fixed,
    /// In windows that begin with the first call after the last one was over.
    FixedFromFirst,
    /// In any window, and every call of the token, whatever it asks for, in the one of 60 in 30 seconds as well.
    PerToken,
    /// In any window, each endpoint for itself, a resume in that of creates.
    PerEndpoint,
}

/// A limiter of some kind.
#[derive(Debug)]
pub(crate) struct Limiter {
    kind: Kind,
    arrived: HashMap<String, VecDeque<u64>>,
    /// The begin of the window that counts, and the calls in it.
    fixed: HashMap<String, (u64, usize)>,
}

impl Limiter {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, arrived: HashMap::new(), fixed: HashMap::new() }
    }

    /// Whether a call that arrives now, in milliseconds, is let through. A refused one is not counted.
    pub(crate) fn lets(&mut self, endpoint: Endpoint, now: u64) -> bool {
        let (count, per) = endpoint.documented();
        let shared = match endpoint {
            Endpoint::Resume | Endpoint::List | Endpoint::Get => "others".to_owned(),
            own => format!("{own:?}"),
        };
        let windows = match self.kind {
            Kind::Sliding | Kind::Fixed | Kind::FixedFromFirst => vec![(shared, count, per)],
            Kind::PerToken => vec![(shared, count, per), ("token".to_owned(), 60, 30_000)],
            Kind::PerEndpoint if endpoint == Endpoint::Resume => vec![("Create".to_owned(), 10, 60_000)],
            Kind::PerEndpoint => vec![(format!("{endpoint:?}"), count, per)],
        };
        let free = windows.iter().all(|(name, count, per)| self.is_free(name, *count, *per, now));
        if free {
            for (name, _, _) in windows {
                self.arrived.entry(name.clone()).or_default().push_back(now);
                self.fixed.entry(name).or_default().1 += 1;
            }
        }
        free
    }

    fn is_free(&mut self, name: &str, count: usize, per: u64, now: u64) -> bool {
        match self.kind {
            Kind::Fixed | Kind::FixedFromFirst => {
                let (begin, used) = self.fixed.entry(name.to_owned()).or_default();
                let over = *begin + per <= now;
                let aligned = now / per * per;
                if self.kind == Kind::Fixed && *begin != aligned {
                    (*begin, *used) = (aligned, 0);
                } else if self.kind == Kind::FixedFromFirst && (over || *used == 0) {
                    (*begin, *used) = (now, 0);
                }
                *used < count
            }
            Kind::Sliding | Kind::PerToken | Kind::PerEndpoint => {
                let arrived = self.arrived.entry(name.to_owned()).or_default();
                // Both ends count: a limiter may be that strict.
                while arrived.front().is_some_and(|at| at + per < now) {
                    arrived.pop_front();
                }
                arrived.len() < count
            }
        }
    }
}
