//! A ticket and the code that is written for it are one context, where a link between them is known.

use std::time::Duration;

use hookrun::model::run::{Run, RunChange};
use hookrun::store::{Released, Retention};
use serde_json::json;

use super::told::{MIA, change, check, issue, push, sha, ticket};
use super::{FIX, Room};
use crate::store_support::alive;

const OWN: &str = "acme/widgets";
const SITE: &str = "acme.atlassian.net";

/// The context of a job for a failed check on a branch.
async fn context(room: &Room, id: u32, branch: &str) -> String {
    room.queued("check_run", &check(id, &sha(id), Some(branch), "failure")).await.context
}

fn moved() -> serde_json::Value {
    json!([{"fieldId": "status", "fromString": "Open", "toString": "To Do"}])
}

#[tokio::test]
async fn a_branch_named_after_a_ticket_belongs_to_it_once_the_ticket_is_known() {
    let room = Room::new(FIX).await;
    let branch = "feature/ops-17-checkout";
    assert_eq!(
        context(&room, 1, branch).await,
        "github.com/acme/widgets@feature/ops-17-checkout",
        "nobody knows it yet"
    );
    room.jira(&ticket(SITE, "OPS-17", &moved())).await;
    assert_eq!(context(&room, 2, branch).await, "acme.atlassian.net/OPS-17");
    let room = room.restart(FIX).await;
    assert_eq!(context(&room, 3, branch).await, "acme.atlassian.net/OPS-17");
    let job = room.jobs().await.remove(0);
    assert_eq!(job.subject, "github.com/acme/widgets@feature/ops-17-checkout", "attempts are counted by the branch");
    assert_eq!(room.known(branch).await.part_of.as_deref(), Some("acme.atlassian.net/OPS-17"));
}

#[tokio::test]
async fn a_key_that_two_sites_use_is_no_link() {
    let room = Room::new(FIX).await;
    room.jira(&ticket(SITE, "OPS-17", &moved())).await;
    room.jira(&ticket("other.atlassian.net", "OPS-17", &moved())).await;
    assert_eq!(context(&room, 1, "OPS-17").await, "github.com/acme/widgets@OPS-17");
    assert_eq!(room.known("OPS-17").await.part_of, None);
}

#[tokio::test]
async fn a_changes_title_links_it_and_the_branchs_next_change_is_another_matter() {
    let room = Room::new(FIX).await;
    room.jira(&ticket(SITE, "OPS-17", &moved())).await;
    let mut titled = change(7, &sha(1), "develop", OWN, MIA);
    titled["pull_request"]["title"] = "OPS-17: mend the checkout".into();
    room.send("pull_request", &titled).await;
    assert_eq!(context(&room, 1, "develop").await, "acme.atlassian.net/OPS-17");
    room.send("pull_request", &change(8, &sha(2), "develop", OWN, MIA)).await;
    assert_eq!(context(&room, 2, "develop").await, "github.com/acme/widgets@develop");
}

#[tokio::test]
async fn a_branch_with_the_number_of_a_known_issue_belongs_to_it() {
    let room = Room::new(FIX).await;
    assert_eq!(context(&room, 1, "17-fix").await, "github.com/acme/widgets@17-fix");
    room.send("issues", &issue(17, "It breaks")).await;
    for (id, branch) in [(2, "17-fix"), (3, "mia/17-other"), (4, "issue-17"), (5, "gh-17")] {
        assert_eq!(context(&room, id, branch).await, "github.com/acme/widgets#17", "{branch}");
    }
    // A change has numbers of the same kind, but it is no ticket.
    room.send("pull_request", &change(18, &sha(9), "other", OWN, MIA)).await;
    assert_eq!(context(&room, 6, "18-fix").await, "github.com/acme/widgets@18-fix");
}

#[tokio::test]
async fn issue_and_branch_that_are_told_together_are_linked() {
    let room = Room::new(FIX).await;
    let (told, pushed) = (issue(17, "It breaks"), push(&sha(1), "17-fix", MIA));
    tokio::join!(room.send("push", &pushed), room.send("issues", &told));
    assert_eq!(context(&room, 1, "17-fix").await, "github.com/acme/widgets#17");
}

#[tokio::test]
async fn what_a_run_pushed_belongs_to_what_it_was_started_for() {
    let rules = FIX.replace("repos =", "allow = [\"agent\"]\nrepos =");
    let room = Room::new(&rules).await;
    room.jira(&ticket(SITE, "OPS-17", &moved())).await;
    let job = room.queued("check_run", &check(1, &sha(1), Some("ops-17"), "failure")).await;
    room.advance(60);
    room.run(&job, 4711).await;
    let made = |branch: &str| RunChange { branch: Some(branch.to_owned()), ..RunChange::default() };
    let run = Run { pull_requests: vec![made("codegen/repair"), made("ops-17")], ..alive(4711) };
    room.house.store.observe(&[run]).await.unwrap();
    let known = room.known("codegen/repair").await;
    assert_eq!((known.part_of.as_deref(), known.ours), (Some("acme.atlassian.net/OPS-17"), Some(true)));
    assert_eq!(context(&room, 2, "codegen/repair").await, "acme.atlassian.net/OPS-17");
    // And a run on a plain branch hands that on.
    let job = room.queued("check_run", &check(3, &sha(3), Some("main"), "failure")).await;
    room.advance(60);
    room.run(&job, 4712).await;
    let run = Run { pull_requests: vec![made("codegen/other"), made("main")], ..alive(4712) };
    room.house.store.observe(&[run]).await.unwrap();
    assert_eq!(context(&room, 4, "codegen/other").await, "github.com/acme/widgets@main");
    assert_eq!(room.known("main").await.part_of, None, "nothing is a part of itself");
}

#[tokio::test]
async fn a_push_in_the_name_of_a_person_while_the_tickets_run_works_counts_nothing_anew() {
    let room = Room::new(FIX).await;
    room.jira(&ticket(SITE, "OPS-17", &moved())).await;
    for id in 1..=2 {
        let job = room.queued("check_run", &check(id, &sha(id), Some("ops-17"), "failure")).await;
        room.advance(60);
        room.run(&job, i64::from(id)).await;
        if id == 1 {
            room.house.store.observe(&[Run { status: Some("COMPLETE".to_owned()), ..alive(1) }]).await.unwrap();
            room.advance(16 * 60);
        }
    }
    let job = room.jobs().await.remove(0);
    assert_eq!((job.context.as_str(), room.house.counted(&job.id).await), ("acme.atlassian.net/OPS-17", Some(2)));
    room.send("push", &push(&sha(3), "ops-17", MIA)).await;
    assert_eq!(room.house.counted(&job.id).await, Some(2));
}

#[tokio::test]
async fn names_of_tickets_are_forgotten_with_the_claims() {
    let room = Room::new(FIX).await;
    room.jira(&ticket(SITE, "OPS-17", &moved())).await;
    let day = Duration::from_hours(24);
    let retention = Retention { bodies: day, records: day, claims: day * 400 };
    room.advance(399 * 86_400);
    room.house.store.sweep(&retention).await.unwrap();
    let wanted = ["OPS-17".to_owned()];
    assert_eq!(room.house.store.mentioned(&wanted).await.unwrap().as_deref(), Some("acme.atlassian.net/OPS-17"));
    room.advance(2 * 86_400);
    room.house.store.sweep(&retention).await.unwrap();
    assert_eq!(room.house.store.mentioned(&wanted).await.unwrap(), None);
}

#[tokio::test]
async fn a_run_that_works_on_a_branch_counts_for_the_ticket_that_is_known_only_later() {
    let room = Room::new(FIX).await;
    let first = room.queued("check_run", &check(1, &sha(1), Some("ops-17"), "failure")).await;
    room.advance(60);
    room.run(&first, 4711).await;
    room.jira(&ticket(SITE, "OPS-17", &moved())).await;
    let second = room.queued("check_run", &check(2, &sha(2), Some("ops-17"), "failure")).await;
    assert_eq!(second.context, "acme.atlassian.net/OPS-17");
    assert_eq!(room.house.job(&first.id).await.context, second.context);
    room.advance(60);
    assert!(matches!(room.release(&second).await, Released::Waits { .. }), "one run at once on a context");
}
