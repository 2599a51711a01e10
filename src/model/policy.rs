//! What a rule says about its jobs after they were made: how much, by whose leave, when, and what is done.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hours::Hours;
use super::problem::nearest;
use super::span::show_span;

/// How many distinct commits of one subject may be acted upon, when no rule says otherwise.
pub const ATTEMPTS: u32 = 3;

/// How many unfinished runs one subject may have, when no rule says otherwise.
pub const RUNNING_ON_SUBJECT: u32 = 1;

/// What the gates ask of a job: its rule's own words, laid over the ceilings of the settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Hash of the rules that it was read from.
    pub rules_hash: String,
    /// The mode of a rule that sends nothing, `"off"` or `"shadow"`: its jobs wait until it is live again.
    pub silent: Option<&'static str>,
    /// The cap of attempts.
    pub attempts: u32,
    /// Budgets and caps, the rule's own and the ceilings that bind it.
    pub limits: Vec<Limit>,
    /// The file that the rule stands in, by its name without folders: what a ceiling `[rules.files."team.toml"]` names.
    pub file: String,
    /// Whether a person must agree.
    pub approval: Approval,
    /// For how long a job waits for that person; then the answer is no.
    pub approval_wait: Option<Duration>,
    /// When jobs may be sent.
    pub hours: Option<Hours>,
    /// Whether a job waits until every check of its commit has ended.
    pub settle_checks: bool,
    /// What a job does, in this order of preference.
    pub then: Vec<Then>,
    /// What is done about a run whose head has moved or whose change was closed.
    pub on_stale: OnStale,
    /// What is asked of the service.
    pub action: Action,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            rules_hash: String::new(),
            silent: None,
            attempts: ATTEMPTS,
            limits: Vec::new(),
            file: String::new(),
            approval: Approval::Never,
            approval_wait: None,
            hours: None,
            settle_checks: false,
            then: vec![Then::Start],
            on_stale: OnStale::Leave,
            action: Action::Run,
        }
    }
}

/// What a limit counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every run of this installation.
    All,
    /// The runs of all rules of one file.
    File,
    /// The runs of one rule.
    Rule,
    /// The runs in one repository or project.
    Repo,
    /// The runs about one subject.
    Subject,
    /// The runs that one person asked for.
    Person,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] = [Self::All, Self::File, Self::Rule, Self::Repo, Self::Subject, Self::Person];

    /// The scope as settings, rows and pages spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::File => "file",
            Self::Rule => "rule",
            Self::Repo => "repo",
            Self::Subject => "subject",
            Self::Person => "person",
        }
    }

    /// The budget of one of its names as rows and notices spell it, e.g. `"rule:fix-failed-checks"`, `"all:"`.
    pub fn budget(self, name: &str) -> String {
        format!("{self}:{name}")
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much of something there may be, over one scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What is counted together.
    pub scope: Scope,
    /// How many of it.
    pub bound: Bound,
}

/// How many: in a sliding window, or at once. It is text wherever it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// So many runs in any stretch of time of this length, written `"10/hour"`, `"10/day"` or `"10/week"`.
    Rate {
        /// How many, at least 1.
        count: u32,
        /// In how long.
        per: Duration,
    },
    /// So many unfinished runs at once, at least 1, written `"2 running"`.
    Running(u32),
}

/// The stretches of time that a rate may be said for.
const STRETCHES: [(&str, Duration); 3] =
    [("hour", Duration::from_hours(1)), ("day", Duration::from_hours(24)), ("week", Duration::from_hours(7 * 24))];

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Running(count) => write!(f, "{count} running"),
            Self::Rate { count, per } => match STRETCHES.iter().find(|(_, length)| *length == per) {
                Some((word, _)) => write!(f, "{count}/{word}"),
                None => write!(f, "{count}/{}", show_span(per)),
            },
        }
    }
}

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\" is no limit; write it as \"10/hour\", \"50/day\", \"200/week\" or \"2 running\"");
        let (count, per) = match text.split_once('/') {
            Some((count, word)) => {
                let stretch = STRETCHES.into_iter().find(|(known, _)| *known == word.trim());
                let near = || nearest(word.trim(), STRETCHES.map(|(known, _)| known));
                let help = || near().map_or_else(String::new, |near| format!("; did you mean \"{count}/{near}\"?"));
                (count, Some(stretch.ok_or_else(|| wrong() + &help())?.1))
            }
            None => (text.trim_end().strip_suffix("running").ok_or_else(wrong)?, None),
        };
        let count = count.trim().parse().map_err(|_| wrong())?;
        if count == 0 {
            return Err(format!("\"{text}\" would let nothing through; a rule is stopped by mode = \"off\""));
        }
        Ok(per.map_or(Self::Running(count), |per| Self::Rate { count, per }))
    }
}

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Whether a person must agree before a job is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Nobody is asked.
    Never,
    /// Every time.
    Always,
    /// When the rule has started so many runs in this time already.
    Above {
        /// How many.
        count: u32,
        /// In how long.
        per: Duration,
    },
    /// For the first so many runs of the rule.
    First(u32),
}

/// What may be done with a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Then {
    /// Tell the run that worked on the same subject.
    Resume,
    /// Start a run.
    Start,
    /// Hold the job for a person.
    Hold,
}

/// What is done about a run whose head has moved or whose change was closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnStale {
    /// Nothing.
    #[default]
    Leave,
    /// The run is told.
    Tell,
    /// The change is banned, which stops its agents.
    Ban,
}

/// What is asked of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A run: made or resumed, as [`Policy::then`] says.
    #[default]
    Run,
    /// Set-up commands for the repository.
    SetupCommands,
    /// Codegen leaves the change alone until it is unbanned, and its agents stop.
    Ban,
    /// Codegen may look after the change again.
    Unban,
    /// Something is said to a run that still works: its head has moved, or its change was closed.
    Tell,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 5] = [Self::Run, Self::SetupCommands, Self::Ban, Self::Unban, Self::Tell];

    /// The action as rows and answers spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::SetupCommands => "setup_commands",
            Self::Ban => "ban",
            Self::Unban => "unban",
            Self::Tell => "tell",
        }
    }
}

/// How soon a job is sent when several could be. Waiting jobs age upwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// A follow-up to a run, or what a person asked for by a command, a retry or an approval.
    People,
    /// Before all others that nobody waits for.
    Urgent,
    /// The usual.
    #[default]
    Normal,
    /// When nothing else is to be done.
    Background,
}

impl Priority {
    /// Every priority, first sent first; the index is its rank in rows.
    pub const ALL: [Self; 4] = [Self::People, Self::Urgent, Self::Normal, Self::Background];

    /// Its rank: the lower, the sooner.
    pub fn rank(self) -> i64 {
        self as i64
    }

    /// The priority as pages and answers spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::People => "people",
            Self::Urgent => "urgent",
            Self::Normal => "normal",
            Self::Background => "background",
        }
    }
}

/// What the settings say about all rules: the time zone of `hours`, and ceilings that no rule can lift.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Terms {
    /// IANA name of the time zone that `hours` are in; UTC when there is none.
    pub timezone: Option<String>,
    /// Ceilings over all rules together.
    pub all: Vec<Bound>,
    /// Ceilings of one file of rules, by its name without folders.
    pub files: BTreeMap<String, FileTerms>,
}

/// What a run is estimated to cost: nothing is decided by it, it is only told beside limits.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// How much one run costs, in units of the currency.
    pub per_run: f64,
    /// What the amount is in, e.g. `"USD"`.
    pub currency: String,
}

impl Cost {
    /// So many runs as an amount, e.g. `"about 40.00 USD"`.
    pub fn of(&self, runs: u32) -> String {
        format!("about {:.2} {}", self.per_run * f64::from(runs), self.currency)
    }

    /// A bound as it is spelled, with what it may cost: `"50/day (about 40.00 USD)"`.
    pub fn beside(&self, bound: &Bound) -> String {
        let (Bound::Rate { count, .. } | Bound::Running(count)) = *bound;
        format!("{bound} ({})", self.of(count))
    }
}

/// What one file of rules may do at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileTerms {
    /// Repositories and projects that its rules may act in and name in `repo`; patterns as in rules.
    pub repos: Vec<String>,
    /// How much its rules may start together.
    pub limits: Vec<Bound>,
}
