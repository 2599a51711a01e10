//! Small readings that all hosts share: URLs, logins, labels.

use crate::model::event::Person;

/// The host of a URL, lower case, with the port unless it is the usual one; no user part.
pub(super) fn host_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?.to_ascii_lowercase();
    let usual = match scheme {
        "https" => ":443",
        _ => ":80",
    };
    let host = host.strip_suffix(usual).unwrap_or(&host);
    let named = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b));
    named.then(|| host.to_owned())
}

/// The path of a URL without the slashes around it.
pub(super) fn path_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    let path = path.split(['?', '#']).next()?.trim_matches('/');
    (!path.is_empty()).then_some(path)
}

/// Whether a login is that of a bot by its form, as GitHub gives them to apps.
pub(super) fn has_bot_suffix(login: &str) -> bool {
    let bytes = login.as_bytes();
    bytes.len() > 5 && bytes[bytes.len() - 5..].eq_ignore_ascii_case(b"[bot]")
}

/// Whether two logins are the same account: case and the suffix `[bot]` do not count.
pub(super) fn same_login(left: &str, right: &str) -> bool {
    fn bare(login: &str) -> &str {
        if has_bot_suffix(login) { &login[..login.len() - 5] } else { login }
    }
    bare(left).eq_ignore_ascii_case(bare(right))
}

/// Whether the account is one of ours.
pub(super) fn is_agent(person: &Person, agents: &[String]) -> bool {
    agents.iter().any(|agent| same_login(agent, &person.login))
}

/// Whether the account is certainly a person's and none of ours.
pub(super) fn is_human(person: &Person, agents: &[String]) -> bool {
    person.bot == Some(false) && !is_agent(person, agents)
}

/// The branch of a full ref name.
pub(super) fn branch_of(reference: &str) -> Option<&str> {
    reference.strip_prefix("refs/heads/").filter(|name| !name.is_empty())
}

/// The tag of a full ref name.
pub(super) fn tag_of(reference: &str) -> Option<&str> {
    reference.strip_prefix("refs/tags/").filter(|name| !name.is_empty())
}

/// Whether a commit id is git's way of saying "none".
pub(super) fn is_zero(sha: &str) -> bool {
    !sha.is_empty() && sha.bytes().all(|b| b == b'0')
}

/// Title and body as one text.
pub(super) fn joined(title: Option<&str>, body: Option<&str>) -> Option<String> {
    match (title, body.filter(|body| !body.is_empty())) {
        (Some(title), Some(body)) => Some(format!("{title}\n\n{body}")),
        (title, body) => title.or(body).map(str::to_owned),
    }
}
