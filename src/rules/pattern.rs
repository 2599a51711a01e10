//! Patterns over names: `*` stops at `/`, `**` does not, `!` wins in any order, `x:` names a source or its kind.

use globset::{GlobBuilder, GlobMatcher};

/// Where a name comes from, for patterns with a prefix: `github:acme/*` or `github-ci:acme/*`.
#[derive(Clone, Copy, Debug)]
pub(super) struct From<'a> {
    /// Name of the source.
    pub(super) source: &'a str,
    /// Kind of the source, e.g. `"gitlab"`.
    pub(super) kind: &'a str,
}

impl From<'_> {
    /// Whether the prefix of a pattern means this source.
    pub(super) fn is(self, prefix: &str) -> bool {
        prefix == self.source || prefix == self.kind
    }
}

/// A list of patterns as one yes or no.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns {
    wanted: Vec<Pattern>,
    barred: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    prefix: Option<String>,
    fold: bool,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    All,
    Exact,
    /// `head*`: anything of one level behind the head; the commonest globs, kept apart because each other one costs a
    /// regular expression.
    Level(String),
    /// `head/**`: anything below.
    Below(String),
    Glob(Box<GlobMatcher>),
}

/// How the names of a list are spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Case counts; a prefix names a source (repositories, event names).
    Sourced,
    /// Case counts; `:` is an ordinary character (branches, projects).
    Plain,
    /// Case is ignored, as hosts do for labels, and so is the difference between a glob and its own text.
    Folded,
}

impl Patterns {
    /// Compiles a list; the errors carry the index of the pattern that is wrong.
    pub(super) fn compile(list: &[String], spelling: Spelling) -> Result<Self, Vec<(usize, String)>> {
        let mut patterns = Self::default();
        let mut wrong = Vec::new();
        for (at, text) in list.iter().enumerate() {
            let (barred, text) = text.strip_prefix('!').map_or((false, text.as_str()), |rest| (true, rest));
            match Pattern::compile(text, spelling) {
                Ok(pattern) if barred => patterns.barred.push(pattern),
                Ok(pattern) => patterns.wanted.push(pattern),
                Err(why) => wrong.push((at, why)),
            }
        }
        if wrong.is_empty() { Ok(patterns) } else { Err(wrong) }
    }

    /// Whether a name that comes from `from` is meant.
    pub(super) fn allow(&self, name: &str, from: From<'_>) -> bool {
        self.ask(name, |prefix| from.is(prefix))
    }

    /// Whether a name is meant, whatever source the patterns name.
    pub(super) fn allow_anywhere(&self, name: &str) -> bool {
        self.ask(name, |_| true)
    }

    fn ask(&self, name: &str, from: impl Fn(&str) -> bool) -> bool {
        let hit = |pattern: &Pattern| pattern.prefix.as_deref().is_none_or(&from) && pattern.hits(name);
        !self.barred.iter().any(hit) && (self.wanted.is_empty() || self.wanted.iter().any(hit))
    }

    /// Whether one of the wanted patterns means the name.
    pub(super) fn wants(&self, name: &str, from: From<'_>) -> bool {
        self.wanted.iter().any(|pattern| pattern.is_for(from) && pattern.hits(name))
    }

    /// Whether one of the `!` patterns means the name.
    pub(super) fn bars(&self, name: &str, from: From<'_>) -> bool {
        self.barred.iter().any(|pattern| pattern.is_for(from) && pattern.hits(name))
    }

    /// Whether one of the `!` patterns means the name, whatever source it names.
    pub(super) fn bars_anywhere(&self, name: &str) -> bool {
        self.barred.iter().any(|pattern| pattern.hits(name))
    }

    /// Whether a name may be meant both here and by the pattern `other`. A plain name is told for sure; of two patterns
    /// only the plain text before their first special characters is compared.
    pub(super) fn may_meet(&self, other: &str) -> bool {
        let (_, other) = split_prefix(other);
        let begins = head(other);
        if begins.len() == other.len() {
            return self.allow_anywhere(other);
        }
        let meets = |pattern: &Pattern| match pattern.form {
            Form::Exact => pattern.text.starts_with(begins),
            _ => begins.starts_with(head(&pattern.text)) || head(&pattern.text).starts_with(begins),
        };
        self.wanted.is_empty() || self.wanted.iter().any(meets)
    }

    /// Whether everything that `other` means is meant here too, as far as that is plain.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let wants = |theirs: &Pattern| self.wanted.iter().any(|pattern| pattern.covers(theirs));
        // A list that wants nothing in particular wants everything.
        let all = |list: &Self| list.wanted.is_empty();
        self.bars_no_more(other) && (all(self) || self.is_all() || !all(other) && other.wanted.iter().all(wants))
    }

    /// Whether everything that is barred here is barred by `other` too, as far as that is plain.
    pub(super) fn bars_no_more(&self, other: &Self) -> bool {
        self.barred.iter().all(|bar| other.barred.iter().any(|theirs| theirs.covers(bar)))
    }

    /// Whether every name is meant, an unknown one too.
    pub(super) fn is_all(&self) -> bool {
        self.barred.is_empty()
            && (self.wanted.is_empty()
                || self.wanted.iter().any(|pattern| pattern.prefix.is_none() && matches!(pattern.form, Form::All)))
    }

    /// Whether it only bars names.
    pub(super) fn only_bars(&self) -> bool {
        self.wanted.is_empty()
    }

    /// What the index needs of each wanted pattern: the text before its first special character, and whether that is
    /// all of it. An empty answer means that every name may be meant.
    pub(super) fn heads(&self) -> Vec<(&str, bool)> {
        self.wanted.iter().map(|pattern| (head(&pattern.text), matches!(pattern.form, Form::Exact))).collect()
    }
}

fn head(text: &str) -> &str {
    text.find(SPECIAL).map_or(text, |at| &text[..at])
}

const SPECIAL: [char; 5] = ['*', '?', '[', '{', '\\'];

impl Pattern {
    fn compile(text: &str, spelling: Spelling) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a pattern may not be empty".to_owned());
        }
        let (prefix, text) = match spelling {
            Spelling::Sourced => split_prefix(text),
            Spelling::Plain | Spelling::Folded => (None, text),
        };
        let fold = spelling == Spelling::Folded;
        let form = if text == "**" {
            Form::All
        } else if let Some(head) = text.strip_suffix("/**").filter(|head| !fold && !head.contains(SPECIAL)) {
            Form::Below(format!("{head}/"))
        } else if let Some(head) = text.strip_suffix('*').filter(|head| !fold && !head.contains(SPECIAL)) {
            Form::Level(head.to_owned())
        } else if text.contains(SPECIAL) {
            let glob = GlobBuilder::new(&across(text))
                .literal_separator(true)
                .case_insensitive(fold)
                .build()
                .map_err(|error| format!("\"{text}\" is no pattern: {}", error.kind()))?;
            Form::Glob(Box::new(glob.compile_matcher()))
        } else {
            Form::Exact
        };
        Ok(Self { text: text.to_owned(), prefix: prefix.map(str::to_owned), fold, form })
    }

    fn is_for(&self, from: From<'_>) -> bool {
        self.prefix.as_deref().is_none_or(|prefix| from.is(prefix))
    }

    /// Whether it means everything that `other` means, as far as that is plain.
    fn covers(&self, other: &Self) -> bool {
        if self.prefix.is_some() && self.prefix != other.prefix {
            return false;
        }
        self.text == other.text
            || match (&self.form, &other.form) {
                (Form::All, _) => true,
                (_, Form::Exact) => self.hits(&other.text),
                (Form::Below(above), _) => head(&other.text).starts_with(above.as_str()),
                _ => false,
            }
    }

    fn hits(&self, name: &str) -> bool {
        let same = if self.fold { self.text.eq_ignore_ascii_case(name) } else { self.text == name };
        same || match &self.form {
            Form::All => true,
            Form::Exact => self.fold && self.text.to_lowercase() == name.to_lowercase(),
            Form::Level(head) => name.strip_prefix(head.as_str()).is_some_and(|rest| !rest.contains('/')),
            Form::Below(head) => name.len() > head.len() && name.starts_with(head.as_str()),
            Form::Glob(glob) => glob.is_match(name),
        }
    }
}

/// The glob with every `**` that is only a part of a name, as in `release**`, spelt so that it crosses `/`: globset would
/// let it stop there.
fn across(glob: &str) -> String {
    let mut spelt = String::with_capacity(glob.len());
    let (mut before, mut rest) = (None, glob);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\\' => first.len_utf8() + rest[1..].chars().next().map_or(0, char::len_utf8),
            '[' => class(rest),
            '*' => rest.len() - rest.trim_start_matches('*').len(),
            _ => first.len_utf8(),
        };
        let (token, behind) = rest.split_at(length);
        let whole = match behind.chars().next() {
            Some('/') => matches!(before, None | Some('/' | '{' | ',')),
            None => matches!(before, None | Some('/')),
            Some(_) => false,
        };
        let crosses = token.starts_with("**") && !(whole && token == "**");
        spelt.push_str(if crosses { "{*,*/**/*}" } else { token });
        (before, rest) = (token.chars().next_back(), behind);
    }
    spelt
}

/// The length of the class of characters that a glob begins with; a bracket that stands first in it is one of its own.
fn class(glob: &str) -> usize {
    let inner = &glob[1..];
    let inner = inner.strip_prefix(['!', '^']).unwrap_or(inner);
    let inner = inner.strip_prefix(']').unwrap_or(inner);
    inner.find(']').map_or(glob.len(), |end| glob.len() - inner.len() + end + 1)
}

/// Splits `github:acme/*` into its source and the rest; the name of a source is of `[a-z0-9-]`.
pub(super) fn split_prefix(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some((prefix, rest))
            if !prefix.is_empty()
                && prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') =>
        {
            (Some(prefix), rest)
        }
        _ => (None, text),
    }
}

/// A list of repository patterns on its own, for what a source may speak for.
#[derive(Clone, Debug)]
pub struct Places(Patterns);

impl Places {
    /// Compiles a list as rules spell `repos`; the error says which pattern is wrong and why.
    pub fn new(list: &[String]) -> Result<Self, String> {
        Patterns::compile(list, Spelling::Sourced).map(Self).map_err(|wrong| {
            let each = wrong.into_iter().map(|(at, why)| format!("\"{}\": {why}", list[at]));
            each.collect::<Vec<_>>().join("; ")
        })
    }

    /// Whether a repository or project is meant.
    pub fn allow(&self, name: &str) -> bool {
        self.0.allow_anywhere(name)
    }
}
