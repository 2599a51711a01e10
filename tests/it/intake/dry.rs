//! Dry is live: what `explain`, `replay` and `rules diff` tell is what the daemon does, byte by byte.

use std::collections::BTreeMap;

use hookrun::intake::{Recorded, Report, RuleReport, Shift, Unexplained, candidate};
use hookrun::model::event::Kind;
use hookrun::model::job::JobState;
use hookrun::store::{DeliveryFilter, Retention};
use serde_json::json;

use super::*;
use crate::webhook_support::real_payloads;

/// A rule for every kind, one for every native name, and stricter ones for what gates and templates look at.
fn broad() -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        text += &format!(
            "[[rule]]\nname = \"any-{kind}\"\non = [\"{kind}\"]\nrepos = [\"**\"]\nwho = [\"anyone\"]\n\
             allow = [\"drafts\", \"forks\", \"bots\", \"agent\"]\n\
             prompt = '''{{{{ event.kind }}}} {{{{ event.repo }}}} {{{{ event.subject }}}} {{{{ event.url }}}}\n\
             {{{{ event.payload.sender.login }}}} {{{{ events | length }}}} {{{{ failed | length }}}} {{{{ attempt }}}}'''\n",
        );
    }
    text + r#"
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
