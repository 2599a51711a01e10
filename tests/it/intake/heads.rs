//! Which commit is the head of a branch, in whatever order and however often pushes are told.

use serde_json::json;

use super::told::{AGENT, MIA, change, check, deleted, ended, push, push_over, sha};
use super::{FIX, Room};

const OWN: &str = "acme/widgets";
const BRANCH: &str = "fix";

/// Sends pushes in this order, each as (before, after).
async fn pushed(room: &Room, pushes: &[(u32, u32)]) -> Option<String> {
    for (before, after) in pushes {
        room.send("push", &push_over(&sha(*before), &sha(*after), BRANCH, MIA)).await;
    }
    room.head(BRANCH).await
}

#[tokio::test]
async fn a_push_that_is_told_again_moves_nothing_back() {
    let room = Room::new(FIX).await;
    assert_eq!(pushed(&room, &[(0, 1), (1, 2), (2, 3)]).await, Some(sha(3)));
    assert_eq!(pushed(&room, &[(0, 1)]).await, Some(sha(3)));
    assert_eq!(pushed(&room, &[(1, 2)]).await, Some(sha(3)));
    let room = room.restart(FIX).await;
    assert_eq!(pushed(&room, &[(1, 2)]).await, Some(sha(3)));
}

#[tokio::test]
async fn a_push_that_was_overtaken_moves_nothing_back() {
    let room = Room::new(FIX).await;
    assert_eq!(pushed(&room, &[(0, 1), (2, 3), (1, 2)]).await, Some(sha(3)));
    // Also when both are committed together, and when nothing was known before.
    let room = Room::new(FIX).await;
    let (later, earlier) = (push_over(&sha(2), &sha(3), BRANCH, MIA), push_over(&sha(1), &sha(2), BRANCH, MIA));
    tokio::join!(room.send("push", &later), room.send("push", &earlier));
    assert_eq!(room.head(BRANCH).await, Some(sha(3)));
}

#[tokio::test]
async fn a_push_that_goes_back_to_an_old_commit_is_followed() {
    let room = Room::new(FIX).await;
    assert_eq!(pushed(&room, &[(0, 1), (1, 2), (2, 1)]).await, Some(sha(1)));
    assert_eq!(pushed(&room, &[(1, 3)]).await, Some(sha(3)));
    assert_eq!(pushed(&room, &[(2, 1)]).await, Some(sha(3)), "that was long ago");
}

#[tokio::test]
async fn a_branch_that_is_made_again_from_an_old_commit_has_that_head() {
    let room = Room::new(FIX).await;
    assert_eq!(pushed(&room, &[(0, 1), (1, 2)]).await, Some(sha(2)));
    room.send("push", &deleted(&sha(2), BRANCH)).await;
    assert_eq!(room.head(BRANCH).await, None);
    assert_eq!(pushed(&room, &[(0, 1)]).await, Some(sha(1)));
    // A deletion that is told again deletes nothing.
    room.send("push", &deleted(&sha(2), BRANCH)).await;
    assert_eq!(room.head(BRANCH).await, Some(sha(1)));
}

#[tokio::test]
async fn a_changes_old_news_move_nothing_back_and_name_no_pusher() {
    let room = Room::new(FIX).await;
    let synchronized = |before: u32, after: u32, who: &str| {
        let mut body = change(7, &sha(after), BRANCH, OWN, MIA);
        body["action"] = "synchronize".into();
        body["before"] = sha(before).into();
        body["after"] = sha(after).into();
        body["sender"] = json!({"login": who, "type": "User"});
        body
    };
    room.send("pull_request", &change(7, &sha(1), BRANCH, OWN, MIA)).await;
    room.send("pull_request", &synchronized(1, 2, AGENT)).await;
    room.send("pull_request", &synchronized(2, 3, MIA)).await;
    assert_eq!(room.head(BRANCH).await, Some(sha(3)));
    room.send("pull_request", &synchronized(1, 2, AGENT)).await;
    let mut labeled = change(7, &sha(2), BRANCH, OWN, MIA);
    labeled["action"] = "labeled".into();
    room.send("pull_request", &labeled).await;
    let known = room.known(BRANCH).await;
    assert_eq!((known.head_sha, known.last_pusher.unwrap().login), (Some(sha(3)), MIA.to_owned()));
}

#[tokio::test]
async fn what_our_own_agent_pushes_is_the_head_too() {
    let room = Room::new(FIX).await;
    room.send("push", &push(&sha(1), BRANCH, MIA)).await;
    room.send("push", &push_over(&sha(1), &sha(2), BRANCH, AGENT)).await;
    assert_eq!(room.head(BRANCH).await, Some(sha(2)));
}

#[tokio::test]
async fn a_closed_changes_draft_author_and_labels_are_not_those_of_the_branchs_next_one() {
    let room = Room::new(FIX).await;
    let mut first = change(7, &sha(1), BRANCH, OWN, AGENT);
    first["pull_request"]["draft"] = true.into();
    first["pull_request"]["labels"] = json!([{"name": "no-agent"}]);
    room.send("pull_request", &first).await;
    room.send("pull_request", &ended(first.clone(), false)).await;
    let known = room.known(BRANCH).await;
    assert_eq!(
        (known.open, known.change, known.draft),
        (Some(false), Some(7), Some(true)),
        "of its own commit it is so"
    );
    // The branch goes on without it.
    room.send("push", &push_over(&sha(1), &sha(2), BRANCH, MIA)).await;
    let known = room.known(BRANCH).await;
    assert_eq!((known.change, known.draft, known.author, known.labels, known.open), (None, None, None, None, None));
    assert_eq!(known.head_sha, Some(sha(2)));
    room.queued("check_run", &check(2, &sha(2), Some(BRANCH), "failure")).await;

    // A check names the next change before that itself is told of.
    room.send("pull_request", &first).await;
    room.send("pull_request", &ended(first.clone(), true)).await;
    let mut of_next = super::told::suite(3, &sha(3), BRANCH, "failure");
    of_next["check_suite"]["pull_requests"] = json!([{"number": 8,
        "head": {"ref": BRANCH, "sha": sha(3), "repo": {"id": 1, "name": "widgets"}},
        "base": {"ref": "main", "sha": sha(0), "repo": {"id": 1, "name": "widgets"}}}]);
    let receipt = room.send("check_suite", &of_next).await;
    assert_eq!(receipt.notes, ["draft unknown: subscribe to pull_request"]);
}

#[tokio::test]
async fn late_news_of_a_closed_change_do_not_close_the_next_one() {
    let room = Room::new(FIX).await;
    let first = change(7, &sha(1), BRANCH, OWN, MIA);
    room.send("pull_request", &first).await;
    room.send("pull_request", &ended(first.clone(), true)).await;
    room.send("pull_request", &change(8, &sha(2), BRANCH, OWN, MIA)).await;
    room.send("pull_request", &ended(first, true)).await;
    let known = room.known(BRANCH).await;
    assert_eq!((known.change, known.open, known.head_sha), (Some(8), Some(true), Some(sha(2))));
}

#[tokio::test]
async fn a_comment_on_a_closed_change_still_finds_its_branch() {
    let rule = "[[rule]]\nname = \"answer\"\non = [\"comment.created\"]\nrepos = [\"**\"]\ncommand = [\"/agent\"]\n\
                prompt = \"{{ event.comment.args }}\"\n";
    let room = Room::new(rule).await;
    let first = change(7, &sha(1), BRANCH, OWN, MIA);
    room.send("pull_request", &first).await;
    room.send("pull_request", &ended(first, true)).await;
    room.send("push", &push_over(&sha(1), &sha(2), BRANCH, MIA)).await;
    let job = room.queued("issue_comment", &super::told::comment(7, "/agent once more")).await;
    assert_eq!(job.subject, "github.com/acme/widgets@fix");
}
