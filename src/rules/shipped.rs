//! The rules that come with the program, for `use = "…"`: the example rules themselves, so that there is one truth.

use super::file::RuleKeys;
use super::read::At;

/// What messages call the text that they stand in.
pub(super) const ORIGIN: &str = "the shipped rules";

/// The text of the shipped rules.
pub(super) const RULES: &str = include_str!("../../config/rules.toml");

/// The prompt files and includes that they name.
const FILES: [(&str, &str); 2] = [
    ("prompts/fix-checks.md", include_str!("../../config/prompts/fix-checks.md")),
    ("prompts/house-rules.md", include_str!("../../config/prompts/house-rules.md")),
];

/// Stands before the names of shipped templates, so that files of the same name in the rules' folder are others.
const MARK: &str = "shipped: ";

/// The name of a template, given the one that names it: what a shipped one includes is shipped too.
pub(super) fn join(name: &str, by: &str) -> String {
    if by.starts_with(MARK) { marked(name) } else { name.to_owned() }
}

/// The name of a shipped template.
pub(super) fn marked(name: &str) -> String {
    if name.starts_with(MARK) { name.to_owned() } else { format!("{MARK}{name}") }
}

/// The text of a shipped prompt file; `None` when the name is none of a shipped template.
pub(super) fn file(name: &str) -> Option<Result<String, String>> {
    let name = name.strip_prefix(MARK)?;
    let found = FILES.iter().find(|(file, _)| *file == name).map(|(_, text)| (*text).to_owned());
    Some(found.ok_or_else(|| format!("no file \"{name}\" is shipped")))
}

/// The rule `name` among the shipped ones, as one that another begins with: where it acts is never taken over, so that
/// no rule acts everywhere without saying so.
pub(super) fn find(rules: &[At<RuleKeys>], name: &str) -> Option<RuleKeys> {
    let found = rules.iter().find(|rule| rule.value.name.as_ref().is_some_and(|given| given.value == name))?;
    Some(RuleKeys { repos: None, ..found.value.clone() })
}

/// The names of the shipped rules.
pub(super) fn names(rules: &[At<RuleKeys>]) -> impl Iterator<Item = &str> {
    rules.iter().filter_map(|rule| Some(rule.value.name.as_ref()?.value.as_str()))
}
