//! Who may start a run: every gate, and the unknown as a verdict.

use hookrun::model::decision::Ruling::Denied;
use hookrun::model::event::{Event, Kind, Origin, Subject};
use hookrun::model::subject::Facts;

use super::*;

fn changes(keys: &str) -> RuleSet {
    rule(&format!("on = [\"change.*\", \"ci.*\"]\n{keys}"))
}

fn draft(draft: Option<bool>) -> Event {
    let mut event = change();
    event.change.as_mut().unwrap().draft = draft;
    event
}

#[test]
fn a_draft_starts_nothing_and_an_unknown_draft_neither() {
    says(&changes(""), &draft(Some(true)), None, Denied, "draft: the change is a draft; \"drafts\" is not in allow");
    says(&changes(""), &draft(None), None, Denied, "draft unknown: subscribe to pull_request");
    queues(&changes("allow = [\"drafts\"]"), &draft(Some(true)), None);
    queues(&changes(""), &draft(None), Some(&Facts { change: Some(42), draft: Some(false), ..Facts::default() }));
    let gitlab = Event { native: "gitlab:merge_request.open".to_owned(), source: "gitlab".to_owned(), ..draft(None) };
    says(&changes(""), &gitlab, None, Denied, "draft unknown: subscribe to merge request events");
}

#[test]
fn ci_on_a_branch_of_the_base_repository_needs_no_more_facts() {
    queues(&changes(""), &ci(), None);
}

#[test]
fn ci_of_a_known_change_takes_draft_and_author_from_what_is_stored() {
    let mia = Some(person("mia", Some("MEMBER")));
    let facts = Facts { change: Some(42), draft: Some(false), author: mia, ..Facts::default() };
    queues(&changes(""), &ci(), Some(&facts));
    let drafted = Facts { draft: Some(true), ..facts.clone() };
    says(&changes(""), &ci(), Some(&drafted), Denied, "draft: the change is a draft; \"drafts\" is not in allow");
    let nobody = Facts { author: None, ..facts };
    says(&changes(""), &ci(), Some(&nobody), Denied, "author unknown: subscribe to pull_request");
}

#[test]
fn fork_pr_with_empty_pull_requests_starts_nothing() {
    let from = |origin| Event { subject: Subject { origin, ..ci().subject }, ..ci() };
    let reason = "fork: the head is in another repository; \"forks\" is not in allow";
    says(&changes(""), &from(Origin::Fork), None, Denied, reason);
    says(&changes(""), &from(Origin::Unknown), None, Denied, "fork unknown: subscribe to pull_request");
    let stored = Facts { fork: Some(true), ..Facts::default() };
    says(&changes(""), &ci(), Some(&stored), Denied, reason);
    queues(&changes(""), &from(Origin::Unknown), Some(&Facts { fork: Some(false), ..Facts::default() }));
    queues(&changes("allow = [\"forks\"]"), &from(Origin::Fork), None);
}

#[test]
fn our_own_agent_starts_nothing_by_act_change_push_or_run() {
    let agent = || Some(bot("Codegen-SH"));
    let by = Event { actor: agent(), ..change() };
    let reason = |role: &str| format!("agent: the {role} Codegen-SH is our own agent; \"agent\" is not in allow");
    says(&changes(""), &by, None, Denied, &reason("actor"));
    says(&changes(""), &Event { author: agent(), ..change() }, None, Denied, &reason("author"));
    let pushed = Facts { last_pusher: agent(), ..Facts::default() };
    says(&changes(""), &ci(), Some(&pushed), Denied, &reason("last pusher"));
    let ours = Facts { ours: Some(true), ..Facts::default() };
    says(&changes(""), &ci(), Some(&ours), Denied, "agent: a run of ours made this branch; \"agent\" is not in allow");
    queues(&changes("allow = [\"agent\"]"), &ci(), Some(&ours));
}

#[test]
fn bot_quota_notice_ping_pong_cannot_start() {
    let notice = Event { actor: Some(bot("gemini-code-assist[bot]")), ..comment("/agent quota exceeded") };
    let one = rule("on = [\"comment.created\"]\nwho = [\"anyone\"]");
    let reason = "bot: gemini-code-assist[bot] is a bot; add \"bots\" to allow or name it in who";
    says(&one, &notice, None, Denied, reason);
    let unmarked = Event { actor: Some(Person { bot: None, ..bot("x[bot]") }), ..comment("hi") };
    says(&one, &unmarked, None, Denied, "bot: x[bot] is a bot; add \"bots\" to allow or name it in who");
}

#[test]
fn naming_a_bot_lets_it_in() {
    let update = Event { actor: Some(bot("dependabot[bot]")), author: Some(bot("dependabot[bot]")), ..change() };
    queues(&changes("who = [\"Dependabot\"]"), &update, None);
    queues(&changes("who = [\"anyone\"]\nauthors = [\"depend*\"]"), &update, None);
    queues(&changes("allow = [\"bots\"]"), &update, None);
    let by_mia = Event { author: Some(bot("renovate[bot]")), ..change() };
    let reason = "bot: the author renovate[bot] is a bot; add \"bots\" to allow or name it in authors";
    says(&changes(""), &by_mia, None, Denied, reason);
}

#[test]
fn members_are_those_whom_the_host_calls_so_or_anybody_in_private() {
    let by = |association: &str| {
        let who = Some(person("joe", Some(association)));
        Event { actor: who.clone(), author: who, ..change() }
    };
    for member in ["OWNER", "MEMBER", "COLLABORATOR"] {
        queues(&changes(""), &by(member), None);
    }
    says(&changes(""), &by("CONTRIBUTOR"), None, Denied, "who: joe is no member (CONTRIBUTOR)");
    queues(&changes(""), &Event { repo_private: Some(true), ..by("CONTRIBUTOR") }, None);
    queues(&changes("who = [\"anyone\"]"), &by("NONE"), None);
    let atlassian = rule("on = [\"issue.*\"]");
    queues(&atlassian, &ticket("Done"), None);
    let customer = Event { actor: Some(person("c1", Some("customer"))), ..ticket("Done") };
    says(&atlassian, &customer, None, Denied, "who: c1 is no member (customer)");
}

#[test]
fn a_public_gitlab_project_tells_no_membership() {
    let event = Event {
        native: "gitlab:issue.update".to_owned(),
        source: "gitlab".to_owned(),
        actor: Some(person("joe", None)),
        ..comment("hi")
    };
    let one = rule("on = [\"comment.created\"]");
    let reason = "who: GitLab does not tell whether joe is a member of a public project; name people in who";
    says(&one, &event, None, Denied, reason);
    queues(&rule("on = [\"comment.created\"]\nwho = [\"gitlab:joe\"]"), &event, None);
    queues(&one, &Event { repo_private: Some(true), ..event }, None);
}

#[test]
fn a_label_of_a_template_does_not_make_a_stranger_a_member() {
    let labeled = |actor: Person, author: Person| Event {
        kind: Some(Kind::IssueLabeled),
        native: "github:issues.labeled".to_owned(),
        actor: Some(actor),
        author: Some(author),
        ..comment("")
    };
    let one = rule("on = [\"issue.labeled\"]");
    let stranger = || person("eve", Some("NONE"));
    says(&one, &labeled(person("eve", None), stranger()), None, Denied, "who: eve is no member (none)");
    queues(&one, &labeled(person("mia", None), stranger()), None);
}

#[test]
fn lists_of_people_know_stars_groups_prefixes_and_bars() {
    let groups = "[groups]\ndevs = [\"mia\", \"jira:5b10\"]\n";
    let with = |who: &str| {
        rules(&format!(
            "{groups}[[rule]]\nname = \"r\"\non = [\"change.*\", \"issue.*\"]\nrepos = [\"**\"]\nprompt = 'go'\nwho = {who}"
        ))
    };
    queues(&with("[\"@devs\"]"), &change(), None);
    queues(&with("[\"@devs\"]"), &ticket("Done"), None);
    queues(&with("[\"MI*\"]"), &change(), None);
    says(&with("[\"joe\"]"), &change(), None, Denied, "who: mia is not in the list");
    says(&with("[\"gitlab:mia\"]"), &change(), None, Denied, "who: mia is not in the list");
    says(&with("[\"!@devs\", \"members\"]"), &change(), None, Denied, "who: mia is barred");
    says(&with("[\"anyone\", \"!mia\"]"), &change(), None, Denied, "who: mia is barred");
}

#[test]
fn an_account_id_of_jira_that_holds_a_colon_names_its_person() {
    let id = "557058:eb43b4a2-1111-4c22-8c33-000000000001";
    let by = Event { actor: Some(person(id, Some("atlassian"))), ..ticket("Done") };
    let with = |who: &str| rule(&format!("on = [\"issue.*\"]\nwho = {who}"));
    queues(&with(&format!("[\"{id}\"]")), &by, None);
    queues(&with(&format!("[\"jira:{id}\"]")), &by, None);
    queues(&with("[\"557058:*\"]"), &by, None);
    says(&with(&format!("[\"members\", \"!{id}\"]")), &by, None, Denied, &format!("who: {id} is barred"));
    says(&with(&format!("[\"github:{id}\"]")), &by, None, Denied, &format!("who: {id} is not in the list"));
}

#[test]
fn a_sender_that_names_nobody_is_told_of_with_what_to_do() {
    let automation = Event { actor: None, ..ticket("Done") };
    let reason = "actor unknown: this sender names nobody; give the rule who = [\"anyone\"]";
    says(&rule("on = [\"issue.*\"]"), &automation, None, Denied, reason);
    queues(&rule("on = [\"issue.*\"]\nwho = [\"anyone\"]"), &automation, None);
}

#[test]
fn machine_events_pass_as_members_but_names_are_asked() {
    let machine = Event { actor: Some(bot("github-actions[bot]")), ..ci() };
    queues(&changes("who = [\"members\"]"), &machine, None);
    says(&changes("who = [\"mia\"]"), &machine, None, Denied, "who: github-actions[bot] is not in the list");
    queues(&changes(""), &Event { actor: None, ..ci() }, None);
    let push = Event { kind: Some(Kind::Push), actor: Some(bot("renovate[bot]")), ..ci() };
    let reason = "bot: renovate[bot] is a bot; add \"bots\" to allow or name it in who";
    says(&rule("on = [\"push\"]"), &push, None, Denied, reason);
}

#[test]
fn authors_must_be_known_when_they_are_asked_for() {
    let one = changes("authors = [\"mia\"]");
    queues(&one, &change(), None);
    says(&one, &ci(), None, Denied, "author unknown: subscribe to pull_request");
    says(&changes("authors = [\"joe\"]"), &change(), None, Denied, "authors: mia is not in the list");
    let nobody = Event { actor: None, ..comment("hi") };
    says(&rule("on = [\"comment.created\"]"), &nobody, None, Denied, "actor unknown: subscribe to pull_request");
}
