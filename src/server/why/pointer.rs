//! What a person may point at: a pasted URL, a commit, a ticket, `repo#n`, or an id of ours.

/// What is pointed at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pointer {
    /// A change or issue by its number; the host is not always given.
    Numbered { host: Option<String>, repo: String, number: u64 },
    /// A ticket; the site is not always given.
    Ticket { site: Option<String>, key: String },
    /// A check, job, run or pipeline: the objects that its happening may name.
    Check { host: String, repo: String, objects: Vec<String> },
    /// A commit, perhaps cut short.
    Commit { repo: Option<String>, sha: String },
    /// The key of a subject.
    Subject(String),
    /// A repository as a whole.
    Repo(String),
    /// An id of ours: a delivery or a job.
    Id(String),
    /// A run at the service, or a commit whose short form has digits only.
    Number(String),
}

/// The fewest characters of a commit that mean it.
const SHORT_SHA: usize = 7;

/// Reads what somebody pasted; an error says what could be.
pub(super) fn read(text: &str) -> Result<Pointer, String> {
    let text = text.trim();
    let unknown = || {
        format!(
            "\"{}\" is nothing that can be looked for: give the URL of a change, check, job, issue or ticket, a commit, \
             repo#17, OPS-17, or the id of a delivery, job or run",
            text.chars().take(200).collect::<String>()
        )
    };
    if let Some((scheme, rest)) = text.split_once("://") {
        let web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        return Some(rest).filter(|_| web).and_then(url).ok_or_else(unknown);
    }
    word(text).ok_or_else(unknown)
}

fn word(text: &str) -> Option<Pointer> {
    if text.is_empty() || text.len() > 500 || text.contains(char::is_whitespace) {
        return None;
    }
    if is_id(text) {
        return Some(Pointer::Id(text.to_ascii_lowercase()));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Pointer::Number(text.to_owned()));
    }
    if is_sha(text) {
        return Some(commit(None, text));
    }
    if is_ticket(text) {
        return Some(Pointer::Ticket { site: None, key: text.to_ascii_uppercase() });
    }
    if let Some((repo, number)) = text.split_once(['#', '!']) {
        let (host, repo) = host_of(repo);
        return Some(Pointer::Numbered { host, repo: repo?, number: number.parse().ok()? });
    }
    if text.contains('@') {
        return text.contains('/').then(|| Pointer::Subject(text.to_owned()));
    }
    if let Some((site, key)) = text.split_once('/').filter(|(site, key)| site.contains('.') && is_ticket(key)) {
        return Some(Pointer::Ticket { site: Some(site.to_ascii_lowercase()), key: key.to_ascii_uppercase() });
    }
    host_of(text).1.map(Pointer::Repo)
}

/// `github.com/acme/widgets` or `acme/widgets`.
fn host_of(text: &str) -> (Option<String>, Option<String>) {
    let repo = |text: &str| text.contains('/').then(|| text.to_owned());
    match text.split_once('/') {
        Some((host, rest)) if host.contains('.') && rest.contains('/') => (Some(host.to_ascii_lowercase()), repo(rest)),
        _ => (None, repo(text)),
    }
}

fn url(rest: &str) -> Option<Pointer> {
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let host = parts.next()?.to_ascii_lowercase();
    let parts: Vec<&str> = parts.collect();
    if let Some(id) = parts.iter().find(|part| is_id(part)) {
        return Some(Pointer::Id(id.to_ascii_lowercase()));
    }
    if let Some(run) = after(&parts, "trace").filter(|run| is_number(run)) {
        return Some(Pointer::Number(run.to_owned()));
    }
    let asked =
        |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value);
    let ticket = after(&parts, "browse").map(str::to_owned).or_else(|| asked("selectedIssue").map(String::from));
    if let Some(key) = ticket.filter(|key| is_ticket(key)) {
        return Some(Pointer::Ticket { site: Some(host), key: key.to_ascii_uppercase() });
    }
    let at = parts.iter().position(|part| *part == "-").or_else(|| {
        // Older GitLab addresses lack the hyphen.
        parts.iter().position(|part| matches!(*part, "merge_requests" | "pipelines")).filter(|at| *at >= 2)
    });
    if let Some(at) = at {
        let repo = parts[..at].join("/");
        let rest = if parts[at] == "-" { &parts[at + 1..] } else { &parts[at..] };
        return gitlab(&host, repo, rest);
    }
    let [owner, name, rest @ ..] = parts.as_slice() else { return None };
    let repo = format!("{owner}/{}", name.trim_end_matches(".git"));
    if let Some(check) = asked("check_run_id").filter(|check| is_number(check)) {
        return Some(check_of(&host, &repo, &["check_run", "workflow_job"], &check));
    }
    github(&host, repo, rest, fragment)
}

fn github(host: &str, repo: String, rest: &[&str], fragment: &str) -> Option<Pointer> {
    match rest {
        [] => Some(Pointer::Repo(repo)),
        ["pull", _, "commits", sha, ..] | ["commit" | "commits", sha, ..] if is_sha(sha) => {
            Some(commit(Some(repo), sha))
        }
        ["pull" | "issues", number, ..] => {
            Some(Pointer::Numbered { host: Some(host.to_owned()), repo, number: number.parse().ok()? })
        }
        // A job of Actions is a check run of the same id.
        ["actions", "runs", _, "job", id, ..]
        | ["actions", "runs", _, "attempts", _, "job", id, ..]
        | ["runs", id, ..]
            if is_number(id) =>
        {
            Some(check_of(host, &repo, &["check_run", "workflow_job"], id))
        }
        ["actions", "runs", id, ..] if is_number(id) => Some(check_of(host, &repo, &["workflow_run"], id)),
        ["tree", branch @ ..] if !branch.is_empty() => {
            Some(Pointer::Subject(format!("{host}/{repo}@{}", branch.join("/"))))
        }
        _ if is_sha(fragment) => Some(commit(Some(repo), fragment)),
        _ => Some(Pointer::Repo(repo)),
    }
}

fn gitlab(host: &str, repo: String, rest: &[&str]) -> Option<Pointer> {
    match rest {
        ["merge_requests" | "issues" | "work_items", number, ..] => {
            Some(Pointer::Numbered { host: Some(host.to_owned()), repo, number: number.parse().ok()? })
        }
        ["pipelines", id, ..] if is_number(id) => Some(check_of(host, &repo, &["pipeline"], id)),
        ["jobs", id, ..] if is_number(id) => Some(check_of(host, &repo, &["build"], id)),
        ["commit", sha, ..] if is_sha(sha) => Some(commit(Some(repo), sha)),
        ["tree", branch @ ..] if !branch.is_empty() => {
            Some(Pointer::Subject(format!("{host}/{repo}@{}", branch.join("/"))))
        }
        _ => Some(Pointer::Repo(repo)),
    }
}

fn commit(repo: Option<String>, sha: &str) -> Pointer {
    Pointer::Commit { repo, sha: sha.to_ascii_lowercase() }
}

fn check_of(host: &str, repo: &str, sorts: &[&str], id: &str) -> Pointer {
    let objects = sorts.iter().map(|sort| format!("{host}/{sort}/{id}")).collect();
    Pointer::Check { host: host.to_owned(), repo: repo.to_owned(), objects }
}

fn after<'a>(parts: &[&'a str], word: &str) -> Option<&'a str> {
    let at = parts.iter().position(|part| *part == word)?;
    parts.get(at + 1).copied()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_sha(text: &str) -> bool {
    (SHORT_SHA..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// One of our ids: a UUID.
fn is_id(text: &str) -> bool {
    let hyphens = [8, 13, 18, 23];
    text.len() == 36
        && text.bytes().enumerate().all(
            |(at, byte)| {
                if hyphens.contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() }
            },
        )
}

/// `OPS-17`, as Jira spells keys.
fn is_ticket(text: &str) -> bool {
    let Some((project, number)) = text.split_once('-') else { return false };
    let named = project.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    project.starts_with(|c: char| c.is_ascii_alphabetic()) && named && project.len() > 1 && is_number(number)
}

#[cfg(test)]
mod tests {
    use super::Pointer::{Check, Commit, Id, Number, Numbered, Repo, Subject, Ticket};
    use super::read;

    #[test]
    fn whatever_is_at_hand_is_understood() {
        let sha = "4f2a9c1e5b7d3086a1c2e4f60718293a4b5c6d7e";
        let id = "0198c5a2-7d1e-7000-8000-0123456789ab";
        let at = |host: &str| Some(host.to_owned());
        let (github, gitlab) = ("github.com", "gitlab.example.com");
        let widgets = || "acme/widgets".to_owned();
        let pay = || "platform/pay/api".to_owned();
        let numbered = |host: Option<String>, repo, number| Numbered { host, repo, number };
        let check = |host: &str, repo, sorts: &[&str], id: &str| Check {
            host: host.to_owned(),
            repo,
            objects: sorts.iter().map(|sort| format!("{host}/{sort}/{id}")).collect(),
        };
        let job = ["check_run", "workflow_job"];
        for (text, pointer) in [
            ("https://github.com/acme/widgets/pull/42", numbered(at(github), widgets(), 42)),
            ("https://GitHub.com/acme/widgets/pull/42/files?w=1#diff-1", numbered(at(github), widgets(), 42)),
            ("https://github.com/acme/widgets/issues/17#issuecomment-5", numbered(at(github), widgets(), 17)),
            ("https://github.com/acme/widgets/pull/42/checks?check_run_id=71", check(github, widgets(), &job, "71")),
            ("https://github.com/acme/widgets/runs/71?check_suite_focus=true", check(github, widgets(), &job, "71")),
            ("https://github.com/acme/widgets/actions/runs/70/job/71", check(github, widgets(), &job, "71")),
            ("https://github.com/acme/widgets/actions/runs/70", check(github, widgets(), &["workflow_run"], "70")),
            (
                &format!("https://github.com/acme/widgets/commit/{sha}"),
                Commit { repo: Some(widgets()), sha: sha.into() },
            ),
            (
                &format!("https://github.com/acme/widgets/pull/42/commits/{sha}"),
                Commit { repo: Some(widgets()), sha: sha.into() },
            ),
            ("https://github.com/acme/widgets/tree/fix/login", Subject("github.com/acme/widgets@fix/login".into())),
            ("https://github.com/acme/widgets", Repo(widgets())),
            ("https://gitlab.example.com/platform/pay/api/-/merge_requests/7/diffs", numbered(at(gitlab), pay(), 7)),
            ("https://gitlab.example.com/platform/pay/api/merge_requests/7", numbered(at(gitlab), pay(), 7)),
            ("https://gitlab.example.com/platform/pay/api/-/work_items/8", numbered(at(gitlab), pay(), 8)),
            ("https://gitlab.example.com/platform/pay/api/-/pipelines/90", check(gitlab, pay(), &["pipeline"], "90")),
            ("https://gitlab.example.com/platform/pay/api/-/jobs/91", check(gitlab, pay(), &["build"], "91")),
            (
                "https://acme.atlassian.net/browse/OPS-17?x=1",
                Ticket { site: at("acme.atlassian.net"), key: "OPS-17".into() },
            ),
            (
                "https://acme.atlassian.net/jira/software/projects/OPS/boards/1?selectedIssue=OPS-17",
                Ticket { site: at("acme.atlassian.net"), key: "OPS-17".into() },
            ),
            ("https://codegen.com/agent/trace/4711", Number("4711".into())),
            (&format!("http://127.0.0.1:8081/jobs/{id}"), Id(id.into())),
            ("OPS-17", Ticket { site: None, key: "OPS-17".into() }),
            ("acme.atlassian.net/OPS-17", Ticket { site: at("acme.atlassian.net"), key: "OPS-17".into() }),
            ("acme/widgets#42", numbered(None, widgets(), 42)),
            ("platform/pay/api!7", numbered(None, pay(), 7)),
            ("github.com/acme/widgets#42", numbered(at(github), widgets(), 42)),
            ("github.com/acme/widgets@fix/login", Subject("github.com/acme/widgets@fix/login".into())),
            ("acme/widgets", Repo(widgets())),
            (" 4F2A9C1 ", Commit { repo: None, sha: "4f2a9c1".into() }),
            (sha, Commit { repo: None, sha: sha.into() }),
            (id, Id(id.into())),
            ("4711", Number("4711".into())),
        ] {
            assert_eq!(read(text), Ok(pointer), "{text}");
        }
    }

    #[test]
    fn what_is_nothing_is_refused_with_what_could_be() {
        for text in ["", "why", "javascript://x", "two words", "https://github.com", "acme/widgets#x", "a@b"] {
            assert!(read(text).unwrap_err().contains("give the URL"), "{text}");
        }
    }
}
