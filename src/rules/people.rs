//! Lists of people: only `*` is special, the suffix `[bot]` is optional, case is ignored.

use super::pattern::{From, split_prefix};

/// A list of people, groups already laid out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct People {
    wanted: Vec<Entry>,
    barred: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq)]
enum Entry {
    Members,
    Anyone,
    Named { prefix: Option<String>, login: String },
}

/// What a list says to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Barred by a `!` entry.
    Barred,
    /// Named: also lets a bot in.
    Named,
    /// Everybody is meant.
    Anyone,
    /// Only if a member.
    IfMember,
    /// Nobody said so.
    Stranger,
}

impl People {
    /// Reads the entries `members`, `anyone`, logins and `!x`.
    pub(super) fn new(list: &[String]) -> Self {
        let mut people = Self::default();
        for text in list {
            let (list, text) = match text.strip_prefix('!') {
                Some(rest) => (&mut people.barred, rest),
                None => (&mut people.wanted, text.as_str()),
            };
            list.push(match text {
                "members" => Entry::Members,
                "anyone" => Entry::Anyone,
                name => {
                    let (prefix, login) = split_person(name);
                    Entry::Named { prefix: prefix.map(str::to_owned), login: plain(login) }
                }
            });
        }
        people
    }

    /// Asks about the person `login`; `member` is only asked when an entry needs it.
    pub(super) fn ask(&self, login: &str, from: From<'_>, member: Option<bool>) -> Answer {
        let login = plain(login);
        let named = |entry: &Entry| match entry {
            Entry::Named { prefix, login: wanted } => {
                prefix.as_deref().is_none_or(|prefix| from.is(prefix)) && star(wanted, &login)
            }
            Entry::Members | Entry::Anyone => false,
        };
        let barred = self.barred.iter().any(|entry| match entry {
            Entry::Members => member != Some(false),
            Entry::Anyone => true,
            Entry::Named { .. } => named(entry),
        });
        if barred {
            return Answer::Barred;
        }
        if self.wanted.iter().any(named) {
            return Answer::Named;
        }
        if self.wanted.is_empty() || self.wanted.iter().any(|entry| matches!(entry, Entry::Anyone)) {
            return Answer::Anyone;
        }
        if self.wanted.iter().any(|entry| matches!(entry, Entry::Members)) {
            return Answer::IfMember;
        }
        Answer::Stranger
    }

    /// Whether the list asks nothing at all, so that an unknown person passes.
    pub(super) fn is_anyone(&self) -> bool {
        self.barred.is_empty()
            && (self.wanted.is_empty() || self.wanted.iter().any(|entry| matches!(entry, Entry::Anyone)))
    }
}

/// Whether two logins mean one account.
pub(super) fn same_login(one: &str, other: &str) -> bool {
    plain(one) == plain(other)
}

/// Splits `jira:5b10…` into its source and the login. Account ids of Jira may hold a colon behind a number, as in
/// `557058:eb43…`: they are no source's.
fn split_person(text: &str) -> (Option<&str>, &str) {
    match split_prefix(text) {
        (Some(prefix), _) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => (None, text),
        split => split,
    }
}

fn plain(login: &str) -> String {
    let login = login.trim_start_matches('@').to_lowercase();
    login.strip_suffix("[bot]").map_or(login.clone(), str::to_owned)
}

/// Matches with `*` as the only special character.
fn star(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    true
}
