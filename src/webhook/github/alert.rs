//! GitHub's security alerts: dependencies, code, secrets.

use super::Ask;
use super::payload::Payload;
use crate::model::event::Kind;
use crate::webhook::understood::{NotUnderstood, Telling};
use crate::webhook::words::branch_of;

/// Actions after which an alert is open that was not open before.
const OPENING: [&str; 7] =
    ["created", "create", "reopened", "reopen", "reopened_by_user", "auto_reopened", "reintroduced"];

pub(super) fn alert(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let alert = ask.need(payload.alert.as_ref(), "alert")?;
    let repo = telling.event.repo.clone().unwrap_or_default();
    let number = alert.number.as_ref().or(alert.id.as_ref()).map_or("", |number| &number.0);
    // The old name of a dependency alert comes beside the new one.
    let class = match ask.event {
        "repository_vulnerability_alert" => "dependabot_alert",
        event => event,
    };
    let opening = OPENING.contains(&ask.action);
    telling.event.sha.clone_from(&payload.commit_oid);
    telling.event.branch = payload.reference.as_deref().and_then(branch_of).map(str::to_owned);
    telling.event.url.clone_from(&alert.html_url);
    telling.event.outcome.clone_from(&alert.state);
    telling.event.text = alert
        .security_advisory
        .as_ref()
        .and_then(|advisory| advisory.summary.clone())
        .or_else(|| alert.rule.as_ref()?.description.clone())
        .or_else(|| alert.secret_type_display_name.clone())
        .or_else(|| alert.affected_package_name.clone());
    if !number.is_empty() {
        match ask.action {
            "created" | "create" => telling.occurrence(&[class, &repo, number, "created"]),
            action => {
                telling.occurrence(&[class, &repo, number, action, alert.updated_at.as_deref().unwrap_or_default()]);
            }
        }
    }
    if opening {
        telling.say(Kind::AlertOpened, Vec::new());
    }
    Ok(())
}
