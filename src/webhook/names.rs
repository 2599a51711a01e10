//! Whether the names fit by which what a delivery tells is found again.

use super::understood::Understood;
use crate::model::name::{KEY, NAME, PATH};

/// Why what a delivery tells cannot be kept under its names, if one of them is longer than any host allows. Those that are
/// made of what people write (happenings, checks) were shortened before.
pub(super) fn overlong(told: &Understood) -> Option<String> {
    let of_events = told.events.iter().flat_map(|event| {
        [
            ("host", NAME, Some(&event.host)),
            ("repository", PATH, event.repo.as_ref()),
            ("project", PATH, event.project.as_ref()),
            ("branch", PATH, event.branch.as_ref()),
            ("commit", NAME, event.sha.as_ref()),
            ("actor", KEY, event.actor.as_ref().map(|actor| &actor.login)),
            ("subject", KEY, Some(&event.subject.key)),
        ]
    });
    let of_subjects = told.subjects.iter().flat_map(|update| {
        [
            ("subject", KEY, Some(&update.key)),
            ("commit", NAME, update.facts.head_sha.as_ref()),
            ("commit", NAME, update.head_before.as_ref()),
            ("ticket", NAME, update.alias.as_ref()),
        ]
    });
    of_events.chain(of_subjects).find_map(|(what, most, name)| {
        let size = name?.len();
        (size > most).then(|| format!("the {what} has a name of {size} bytes, and at most {most} are taken"))
    })
}
