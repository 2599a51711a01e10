//! Dry is live: what `explain`, `replay` and `rules diff` tell is what the daemon does, byte by byte.

use std::collections::BTreeMap;

use hookrun::intake::{Recorded, Report, RuleReport, Shift, Unexplained, candidate};
use hookrun::model::event::Kind;
use hookrun::store::{DeliveryFilter, Retention};
use serde_json::json;

use super::told::{check, sha};
use super::*;
use crate::webhook_support::real_payloads;

/// A rule for every kind, one for every native name, and stricter ones for what gates and templates look at.
fn broad() -> String {
    let any = |kind: Kind| {
        format!(
            "[[rule]]\nname = \"any-{kind}\"\non = [\"{kind}\"]\nrepos = [\"**\"]\nwho = [\"anyone\"]\n\
             allow = [\"drafts\", \"forks\", \"bots\", \"agent\"]\n\
             prompt = '''{{{{ event.kind }}}} {{{{ event.repo }}}} {{{{ event.subject }}}} {{{{ event.url }}}}\n\
             {{{{ event.payload.sender.login }}}} {{{{ events | length }}}} {{{{ failed | length }}}} {{{{ attempt }}}}'''\n",
        )
    };
    Kind::ALL.map(any).concat()
        + r#"
[[rule]]
name = "native"
on = ["github:*", "gitlab:*", "jira:*"]
repos = ["**"]
mode = "shadow"
who = ["anyone"]
allow = ["drafts", "forks", "bots", "agent"]
per = "event"
prompt = "{{ event.native }} by {{ event.actor.login }}: {{ event.payload.action | fence }}"
[[rule]]
name = "strict"
on = ["ci.failed", "change.*", "comment.created", "issue.*", "push", "review.submitted"]
repos = ["**"]
labels = ["!no-agent"]
branches = ["**", "!main"]
when = "event.repo != 'acme/none'"
per = "subject"
settle = "90s"
prompt = "{{ event.sha }} of {{ event.subject }}"
[[rule]]
name = "words"
on = ["comment.created", "change.opened", "issue.opened"]
repos = ["**"]
who = ["anyone"]
allow = ["drafts", "forks", "bots", "agent"]
prompt = "{{ event.text | fence }}"
[[rule]]
name = "commits"
on = ["ci.failed", "push"]
repos = ["**"]
who = ["anyone"]
per = "commit"
prompt = "{% for check in failed %}{{ check.name }}: {{ check.summary | fence }}{% endfor %}"
"#
}

/// Three sources, one of each kind of host.
fn three() -> Vec<Door> {
    let door = |kind| Door { spec: source(kind), repos: Places::new(&["**".to_owned()]).unwrap() };
    [SourceKind::Github, SourceKind::Gitlab, SourceKind::Jira].map(door).into()
}

impl Room {
    async fn with_three(rules: &str) -> Self {
        let mut room = Self::new(rules).await;
        room.intake = Intake::new(three(), room.rules.clone(), room.house.store.clone(), room.house.clock.clone());
        // The signatures of the tests are of that moment.
        room.house.clock.set(crate::webhook_support::NOW);
        room
    }

    async fn explain(&self, receipt: &Receipt) -> Report {
        self.intake.explain(&receipt.delivery).await.unwrap()
    }

    async fn deliveries(&self) -> usize {
        let page = PageRequest { limit: 100, cursor: None };
        self.house.store.deliveries(&DeliveryFilter::default(), &page).await.unwrap().items.len()
    }
}

fn of<'a>(report: &'a Report, rule: &str) -> &'a RuleReport {
    report.verdicts.iter().find(|verdict| verdict.rule == rule).unwrap()
}

/// A verdict as JSON, without the id of a job: every new job has one of its own.
fn json_of(decision: &str, reason: &str, told: &RuleReport) -> String {
    let RuleReport { rule, inputs, event, happening, key, .. } = told;
    json!([rule, decision, reason, inputs, event, happening, key]).to_string()
}

#[tokio::test]
async fn live_and_dry_say_the_same_byte_by_byte_about_every_real_payload() {
    let Some(real) = real_payloads() else { return };
    let room = Room::with_three(&broad()).await;
    let (mut decisions, mut prompts) = (BTreeMap::<String, usize>::new(), 0);
    for payload in real {
        let (file, headers) = (&payload.file, signed(payload.kind, &payload.event, &payload.body));
        let source = source(payload.kind).name;
        let given = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let recorded = Recorded::new(given, payload.body.clone().into());
        let before = room.intake.explain_recorded(Some(&source), &recorded).await.unwrap();

        let receipt = room.intake.receive(&source, &headers, payload.body.into()).await.unwrap();

        let live = room.delivery(&receipt).await;
        // What was told before it came is what became of it, job by job and word by word.
        let told: Vec<String> = before
            .verdicts
            .iter()
            .map(|verdict| match &verdict.now {
                Some(now) => json_of(now.decision, &now.reason, verdict),
                None => json_of(verdict.decision, &verdict.reason, verdict),
            })
            .collect();
        let done: Vec<String> = live
            .verdicts
            .iter()
            .map(|it| json!([it.rule, it.decision, it.reason, it.inputs, it.event, it.happening, it.key]).to_string())
            .collect();
        assert_eq!(told, done, "{file}");
        // What is told afterwards of the stored delivery is what was decided then: events, verdicts, keys and prompts.
        let after = room.explain(&receipt).await;
        let said = |report: &Report| {
            let verdicts: Vec<String> = report.verdicts.iter().map(|it| json_of(it.decision, &it.reason, it)).collect();
            json!([report.events, verdicts, report.outcome, report.reason, report.native]).to_string()
        };
        assert_eq!(said(&before), said(&after), "{file}");
        for (dry, verdict) in after.verdicts.iter().zip(&live.verdicts) {
            *decisions.entry(format!("{:?}", verdict.decision)).or_default() += 1;
            let Some(job) = verdict.job.as_ref().filter(|_| verdict.decision == Ruling::Queued) else { continue };
            let joined = room.house.store.joined(job).await.unwrap();
            let event = |event| serde_json::to_string(event).unwrap();
            assert_eq!(event(&joined[0].event), event(&after.events[dry.event]), "{file}");
            assert_eq!(room.prompt(&room.house.job(job).await).await, dry.sends.as_ref().unwrap().prompt, "{file}");
            prompts += 1;
        }
    }
    assert!(prompts > 200, "{prompts}");
    for decision in ["Queued", "Joined", "Duplicate", "Shadow", "Denied", "NoMatch"] {
        assert!(decisions.contains_key(decision), "nothing was {decision}: {decisions:?}");
    }
}

#[tokio::test]
async fn explaining_changes_nothing_and_tells_what_a_repetition_would_meet() {
    let room = Room::new(FIX).await;
    let body = check(1, &sha(1), Some("fix"), "failure");
    let receipt = room.send("check_run", &body).await;
    let (before, deliveries) = (room.jobs().await, room.deliveries().await);

    let report = room.explain(&receipt).await;

    assert_eq!((room.jobs().await, room.deliveries().await), (before.clone(), deliveries));
    let told = of(&report, "fix");
    assert_eq!((told.decision, told.reason.as_str()), ("queued", "every condition holds"));
    assert_eq!(told.key.as_deref(), Some(before[0].key.as_str()));
    assert_eq!(told.now.as_ref().unwrap().decision, "duplicate");
    assert_eq!(told.sends.as_ref().unwrap().prompt, format!("Fix {}: check-1.", sha(1)));
    // Another check of the commit would join its job.
    let other = Recorded::new(
        [("X-GitHub-Event".to_owned(), "check_run".to_owned())],
        check(2, &sha(1), Some("fix"), "failure").to_string().into(),
    );
    let other = room.intake.explain_recorded(None, &other).await.unwrap();
    let now = of(&other, "fix").now.as_ref().unwrap();
    assert_eq!((now.decision, now.job.as_deref()), ("joined", Some(before[0].id.as_str())));
}

#[tokio::test]
async fn a_delivery_whose_body_is_gone_says_so() {
    let room = Room::new(FIX).await;
    let receipt = room.send("check_run", &check(1, &sha(1), Some("main"), "success")).await;
    room.advance(15 * 86_400);
    let day = Duration::from_hours(24);
    room.house.store.sweep(&Retention { bodies: 14 * day, records: 90 * day, claims: 400 * day }).await.unwrap();
    let gone = room.intake.explain(&receipt.delivery).await.unwrap_err();
    assert!(matches!(gone, Unexplained::NoBody { .. }) && gone.to_string().contains("retention.bodies"), "{gone}");
    let none = room.intake.explain("0198c5a2-7d1e-7000-8000-0123456789ab").await.unwrap_err();
    assert!(matches!(none, Unexplained::NoDelivery(_)));
}

#[tokio::test]
async fn a_replay_is_dry_unless_told_otherwise_and_each_one_claims_anew() {
    let room = Room::new(&FIX.replace("prompt", "per = \"subject\"\nprompt")).await;
    let receipt = room.send("check_run", &check(1, &sha(1), Some("fix"), "failure")).await;
    room.house.store.cancel(&receipt.jobs[0], "not now").await.unwrap();

    let dry = room.intake.replay(&receipt.delivery, None, None).await.unwrap();
    assert_eq!((&dry.recorded_as, dry.jobs.len(), room.deliveries().await), (&None, 0, 1));
    assert_eq!(of(&dry.report, "fix").now.as_ref().unwrap().decision, "queued");

    for n in 1..=2 {
        let replay = room.intake.replay(&receipt.delivery, None, Some("ops")).await.unwrap();
        assert_eq!(replay.jobs.len(), 1);
        let recorded = room.house.store.delivery(replay.recorded_as.as_ref().unwrap()).await.unwrap().unwrap();
        assert_eq!(recorded.sender_id, Some(format!("replay of {} by ops", receipt.delivery)));
        let happening = recorded.verdicts[0].happening.as_ref().unwrap();
        assert!(happening.ends_with(&format!("#replay-{n}")), "{happening}");
        // The second joins what the first made: the rules of joining hold as ever.
        let expected = if n == 1 { Ruling::Queued } else { Ruling::Joined };
        assert_eq!(recorded.verdicts[0].decision, expected);
    }
    // Of another rule nothing is asked.
    let other = room.intake.replay(&receipt.delivery, Some("other"), Some("ops")).await.unwrap();
    assert!(other.jobs.is_empty());
    let recorded = room.house.store.delivery(other.recorded_as.as_ref().unwrap()).await.unwrap().unwrap();
    let said = &recorded.verdicts[0];
    assert_eq!((said.decision, &*said.reason), (Ruling::NoMatch, "left out: only other was replayed"));
}

#[tokio::test]
async fn a_replay_teaches_nothing_old() {
    let room = Room::new(FIX).await;
    let change = |draft: bool, at: &str| {
        let mut body: Value =
            serde_json::from_slice(&std::fs::read("config/tests/github-change-draft.json").unwrap()).unwrap();
        let body = body["body"].take();
        let mut body = body;
        body["pull_request"]["draft"] = draft.into();
        body["pull_request"]["updated_at"] = at.into();
        body
    };
    let draft = room.send("pull_request", &change(true, "2026-03-01T10:00:00Z")).await;
    room.send("pull_request", &change(false, "2026-03-01T11:00:00Z")).await;
    let subject = room.delivery(&draft).await.subject.unwrap();
    let known = async || room.house.store.facts(&subject).await.unwrap().unwrap().draft;
    assert_eq!(known().await, Some(false));
    room.intake.replay(&draft.delivery, None, Some("ops")).await.unwrap();
    assert_eq!(known().await, Some(false));
}

#[tokio::test]
async fn other_rules_are_asked_the_same_way_and_nothing_comes_of_it() {
    let room = Room::new(FIX).await;
    let receipt = room.send("check_run", &check(1, &sha(1), Some("fix"), "failure")).await;
    let quiet = room.send("check_run", &check(2, &sha(2), Some("fix"), "success")).await;
    let shift = async |text: String, id: &str| {
        let others =
            candidate(vec![("new.toml".to_owned(), text)], &BTreeMap::new(), &room.intake.terms()).rules.unwrap();
        let compared = room.intake.compare(id, &others).await.unwrap();
        compared.into_iter().map(|it| (it.rule, it.shift, it.was, it.would)).collect::<Vec<_>>()
    };
    let holds = || Some("queued: every condition holds".to_owned());
    let fix = || "fix".to_owned();
    assert_eq!(shift(FIX.to_owned(), &receipt.delivery).await, [(fix(), Shift::Stays, holds(), holds())]);
    let narrow = FIX.replace("acme/*", "acme/tools");
    let not = Some("no_match: repos: acme/widgets is not wanted".to_owned());
    assert_eq!(shift(narrow, &receipt.delivery).await, [(fix(), Shift::Stops, holds(), not)]);
    let louder = FIX.replace("Fix {{", "Please fix {{");
    assert_eq!(shift(louder, &receipt.delivery).await, [(fix(), Shift::Changes, holds(), holds())]);
    let renamed = FIX.replace("\"fix\"", "\"mend\"");
    let both = [(fix(), Shift::Stops, holds(), None), ("mend".to_owned(), Shift::Starts, None, holds())];
    assert_eq!(shift(renamed, &receipt.delivery).await, both);
    let wider = FIX.replace("ci.failed", "ci.*");
    let starts =
        shift(wider.replace("{% for check in failed %} {{ check.name }}{% endfor %}", ""), &quiet.delivery).await;
    assert_eq!(starts.iter().map(|it| (it.0.as_str(), it.1)).collect::<Vec<_>>(), [("fix", Shift::Starts)]);
    assert_eq!(room.jobs().await.len(), 1);
}

#[tokio::test]
async fn what_is_exported_is_read_as_the_same_request_and_holds_no_signature() {
    let room = Room::new(FIX).await;
    let receipt = room.send("check_run", &check(1, &sha(1), Some("fix"), "failure")).await;
    let exported = room.intake.export(&receipt.delivery).await.unwrap();
    let text = exported.get();
    assert!(!text.contains("signature") && text.contains("x-github-event"), "{text}");
    let recorded = Recorded::read(text).unwrap();
    let again = room.intake.explain_recorded(Some("repo-hook"), &recorded).await.unwrap();
    let first = room.explain(&receipt).await;
    assert_eq!((again.events, &again.verdicts[0].key), (first.events, &first.verdicts[0].key));
}
