//! Where to look when nothing came, or nothing acted: the host's webhook page, the sources, the rules.

use super::{Looked, Refusal};
use crate::model::delivery::SourceKind;
use crate::server::admin::Admin;
use crate::store::Found;

/// What a person can do next; nothing when a job tells the story.
pub(super) async fn advice(admin: &Admin, looked: &Looked, found: &Found) -> Result<Vec<String>, Refusal> {
    let mut advice = Vec::new();
    if !found.jobs.is_empty() {
        return Ok(advice);
    }
    let Some(place) = &looked.place else {
        if found.deliveries.is_empty() {
            advice.push("It may be of a repository whose webhooks do not come here: ask with its URL.".to_owned());
        }
        return Ok(advice);
    };
    if found.deliveries.is_empty() {
        advice.push(match admin.store.last_of_repo(place).await? {
            Some(last) => format!(
                "Other things of {place} did come, the last at {} ({}): its webhook works, so look whether the hook is \
                 subscribed to this sort of event.",
                last.received_at.to_rfc3339(),
                last.native
            ),
            None => format!("Nothing of {place} ever came: its webhook is missing, or its deliveries fail."),
        });
        advice.extend(hook_page(looked, place));
        let kinds = kinds(looked);
        let sources = admin.intake.sources_for(&kinds, place);
        advice.push(if sources.is_empty() {
            format!("No configured source may speak for {place}: add one, or widen `repos` of an existing one.")
        } else {
            let paths: Vec<String> = sources.iter().map(|source| format!("/webhooks/{source}")).collect();
            format!("It would come in by {} of the public listener.", paths.join(" or "))
        });
    }
    let rules = admin.intake.rules_for(place);
    if rules.is_empty() {
        advice.push(format!("No rule looks at {place}: see `repos` in the rules."));
    } else if found.deliveries.is_empty() {
        let some: Vec<&str> = rules.iter().take(5).map(String::as_str).collect();
        let more =
            if rules.len() > some.len() { format!(" and {} more", rules.len() - some.len()) } else { String::new() };
        advice.push(format!("Rules that look at {place}: {}{more}.", some.join(", ")));
    }
    Ok(advice)
}

/// The page on which the host shows what it sent and what it was answered.
fn hook_page(looked: &Looked, place: &str) -> Option<String> {
    let host = looked.host.as_deref()?;
    let page = match kinds(looked)[..] {
        [SourceKind::Jira] => format!("https://{host}/plugins/servlet/webhooks"),
        [SourceKind::Gitlab] => format!("https://{host}/{place}/-/hooks"),
        _ => format!("https://{host}/{place}/settings/hooks"),
    };
    Some(format!("The host keeps a log of what it sent, with our answers: {page} (or the organisation's webhooks)."))
}

/// The kinds of hosts that it may come from.
fn kinds(looked: &Looked) -> Vec<SourceKind> {
    let host = looked.host.as_deref().unwrap_or_default();
    if looked.about.starts_with("ticket ") {
        vec![SourceKind::Jira]
    } else if host.contains("gitlab")
        || looked.sought.objects.iter().any(|o| o.contains("/pipeline/") || o.contains("/build/"))
    {
        vec![SourceKind::Gitlab]
    } else if host.contains("github") {
        vec![SourceKind::Github]
    } else {
        vec![SourceKind::Github, SourceKind::Gitlab]
    }
}
