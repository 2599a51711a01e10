//! A month of a busy team, under a clock that the test moves: agents that push bad fixes for ever, bots that answer each
//! other, people who push, floods, every event told more than once.

mod team;
mod told;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use hookrun::model::clock::Timestamp;
use hookrun::model::gate::GateOutcome;
use hookrun::model::job::{Job, JobState};
use hookrun::rules::gates;
use hookrun::store::{JobFilter, PageRequest};

use team::{Loop, Team, repo};

const DAY: Duration = Duration::from_hours(24);

/// Two rules about the same failures, bots that may talk, and a flood that can wait.
const RULES: &str = r#"
[[rule]]
name = "fix"
on = ["ci.failed"]
repos = ["acme/*"]
allow = ["agent"]
limits = { attempts = 3, rule = "200/day" }
prompt = "Fix {{ event.repo }} at {{ event.sha }}:{% for check in failed %} {{ check.name }}{% endfor %}."

[[rule]]
name = "explain"
on = ["ci.failed"]
repos = ["acme/*"]
allow = ["agent"]
limits = { rule = "300/day" }
prompt = "Explain to the author why {{ event.sha }} is red."

[[rule]]
name = "answer"
on = ["comment.created"]
repos = ["acme/*"]
who = ["anyone"]
allow = ["bots", "agent"]
limits = { subject = "5/day", rule = "20/day" }
prompt = "Answer {{ event.comment.url }}."

[[rule]]
name = "look-at-pushes"
on = ["push"]
repos = ["acme/*"]
branches = ["flood-*"]
priority = "background"
limits = { rule = "2000/day" }
prompt = "Look at {{ event.sha }}."
"#;

/// What each rule may start at most, in how long.
const BUDGETS: [(&str, usize, Duration); 4] =
    [("fix", 200, DAY), ("explain", 300, DAY), ("answer", 20, DAY), ("look-at-pushes", 2000, DAY)];

#[tokio::test]
async fn a_month_of_bad_fixes_and_chatty_bots_stays_within_attempts_and_budgets() {
    // A busier team takes longer than a test should: 24 people are over a thousand commits, and many minutes.
    let people = std::env::var("HOOKRUN_TEST_PEOPLE").ok().map_or(3, |text| text.parse().unwrap());
    let mut team = Team::new(RULES).await;
    // One round in two minutes, in half an hour, in a day: none of them may escape the count.
    for (number, pause) in [(1, 2), (2, 31), (3, 24 * 60), (4, 7 * 60)] {
        team.opens_change(number, Loop::Agent(Duration::from_mins(pause)));
    }
    for number in 10..10 + people {
        team.opens_change(number, Loop::People);
    }
    for number in 50..53 {
        team.opens_change(number, Loop::Chat(Duration::from_secs(40)));
    }
    team.floods(Duration::from_hours(24 * 9 + 3), 150);
    team.lives(30 * DAY).await;
    // Time for everything that only the windows hold up.
    team.lives(3 * DAY).await;

    let jobs = team.jobs().await;
    let started: Vec<&Job> = jobs.iter().filter(|job| job.run.is_some()).collect();
    assert!(
        team.commits() > 40 * u64::from(people) && started.len() > 300,
        "{} commits, {} runs",
        team.commits(),
        started.len()
    );
    every_job_has_one_run(&team, &started);
    attempts_hold(&team, &started);
    for (rule, count, per) in BUDGETS {
        let mut times: Vec<Timestamp> = of_rule(&started, rule).map(sent_at).collect();
        assert!(!times.is_empty(), "{rule} started nothing");
        assert_eq!(busiest(&mut times, per).min(count + 1), busiest(&mut times, per), "{rule} went over its budget");
    }
    for number in 50..53 {
        let subject = subject(number);
        let mut times: Vec<_> = of_rule(&started, "answer").filter(|job| job.subject == subject).map(sent_at).collect();
        assert!(busiest(&mut times, DAY) <= 5, "the bots of change {number} talk too much");
    }
    nothing_waits_without_a_reason(&team, &jobs).await;
    nobody_starves(&started);
}

fn of_rule<'a>(jobs: &'a [&'a Job], rule: &'a str) -> impl Iterator<Item = &'a Job> {
    jobs.iter().copied().filter(move |job| job.rule == rule)
}

fn sent_at(job: &Job) -> Timestamp {
    job.submitted_at.unwrap()
}

/// The most that happened in any stretch of this length.
fn busiest(times: &mut [Timestamp], per: Duration) -> usize {
    times.sort();
    let within = |at: usize| times[at..].iter().take_while(|time| time.since(times[at]) < per).count();
    (0..times.len()).map(within).max().unwrap_or(0)
}

fn every_job_has_one_run(team: &Team, started: &[&Job]) {
    let runs = team.sandbox().runs();
    let mut of_job: HashMap<String, usize> = HashMap::new();
    for run in &runs {
        let job = run.metadata.as_ref().and_then(|metadata| metadata["hookrun"]["job"].as_str()).unwrap();
        *of_job.entry(job.to_owned()).or_default() += 1;
    }
    assert!(of_job.values().all(|count| *count == 1), "two runs of one job");
    assert_eq!(of_job.len(), started.len());
}

/// On a change that only our agent pushes to, three commits are acted upon in all the month; a person's push counts anew.
fn attempts_hold(team: &Team, started: &[&Job]) {
    let mut commits: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for job in started.iter().filter(|job| job.failing) {
        commits.entry(&job.subject).or_default().insert(job.sha.as_deref().unwrap());
    }
    for number in team.changes() {
        let subject = subject(number);
        let acted = commits.get(subject.as_str()).map_or(0, BTreeSet::len);
        let most = 3 * (1 + team.pushes_of_people(number));
        assert!(acted <= most, "{acted} commits of {subject} were acted upon, at most {most} may be");
        if let Loop::Agent(pause) = team.kind(number) {
            assert_eq!(acted, 3, "change {number}, one round in {pause:?}");
        }
    }
}

/// What still waits is what the bots asked for beyond their budget, and the gates say so and until when.
async fn nothing_waits_without_a_reason(team: &Team, jobs: &[Job]) {
    let unfinished = |job: &&Job| matches!(job.state, JobState::Submitting | JobState::Uncertain | JobState::Running);
    assert_eq!(jobs.iter().find(unfinished), None);
    let rules = team.rules();
    let waiting = jobs.iter().filter(|job| matches!(job.state, JobState::Queued | JobState::Held));
    let waiting: Vec<_> = waiting.map(|job| (job.clone(), rules.policy(&job.rule))).collect();
    assert!(!waiting.is_empty(), "the bots never stop talking");
    for snapshot in team.store().snapshots(waiting).await.unwrap() {
        let answer = gates::ask(&snapshot, &rules.policy(&snapshot.job.rule));
        let GateOutcome::Wait(reason, Some(until)) = answer.outcome else { panic!("{answer:?} to {:?}", snapshot.job) };
        assert_eq!((snapshot.job.rule.as_str(), answer.records.last().unwrap().gate.as_str()), ("answer", "budget"));
        assert!(reason.contains("is used up"), "{reason}");
        assert!(until > snapshot.now, "{reason}");
    }
}

/// What nothing but the windows held up was sent soon, also in the flood.
fn nobody_starves(started: &[&Job]) {
    for job in of_rule(started, "fix") {
        let waited = sent_at(job).since(job.due_at);
        assert!(waited < Duration::from_hours(2), "{} waited for {waited:?}", job.id);
    }
    for job in of_rule(started, "look-at-pushes") {
        let waited = sent_at(job).since(job.due_at);
        assert!(waited < DAY, "{} of the flood waited for {waited:?}", job.id);
    }
}

impl Team {
    /// Every job there is, with the reason why it waits.
    async fn jobs(&self) -> Vec<Job> {
        let mut all = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.store().jobs(&JobFilter::default(), &PageRequest { limit: 100, cursor }).await.unwrap();
            all.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return all;
            }
        }
    }
}

/// The subject of a change.
fn subject(number: u32) -> String {
    format!("github.com/{}@{}", repo(number), told::branch(number))
}
