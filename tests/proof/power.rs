//! Power loss: the sync that covers a delivery has returned before its 2xx is written, and the one that covers a release
//! before its call is, by the system calls themselves.

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use crate::audit::audit;
use crate::cause::Cause;
use crate::daemon::send;
use crate::house::{Database, House, Service};
use crate::strace::{SENDS, SYNCS, WRITES, tracing};

/// A system call, or one half of it when another thread's came in between.
#[derive(Debug)]
struct Call<'a> {
    name: &'a str,
    text: &'a str,
    begins: bool,
    ends: bool,
}

/// Reads a line `PID NAME(ARGUMENTS) = RESULT`, or a half: `PID NAME(… <unfinished ...>`, `PID <... NAME resumed>…`.
fn read(line: &str) -> Option<(&str, Call<'_>)> {
    let (thread, text) = line.split_once(' ')?;
    let text = text.trim_start();
    if let Some(rest) = text.strip_prefix("<... ") {
        return Some((thread, Call { name: rest.split(' ').next()?, text, begins: false, ends: true }));
    }
    let name = text.split('(').next()?;
    let ends = !text.ends_with("<unfinished ...>");
    (name.len() < text.len()).then_some((thread, Call { name, text, begins: true, ends }))
}

/// A call from its beginning to its end, by the lines of the trace.
#[derive(Debug)]
struct Span<'a> {
    name: &'a str,
    begun: usize,
    ended: usize,
    text: &'a str,
    result: &'a str,
}

/// The calls of all threads in the order in which they began. One that never ended, because of a kill, is left out.
fn spans(trace: &str) -> Vec<Span<'_>> {
    let mut open = BTreeMap::<&str, (usize, &str, &str)>::new();
    let mut spans = Vec::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((thread, call)) = read(line) else { continue };
        if call.begins {
            open.insert(thread, (at, call.name, call.text));
        }
        if call.ends
            && let Some((begun, name, text)) = open.remove(thread)
        {
            assert_eq!(name, call.name, "the trace is not understood at line {at}: {line}");
            let result = call.text.rsplit(" = ").next().unwrap_or_default();
            spans.push(Span { name, begun, ended: at, text, result });
        }
    }
    spans.sort_by_key(|span| span.begun);
    spans
}

/// The first that leaves over the network and holds all of this.
fn first_sent<'s, 'a>(spans: &'s [Span<'a>], what: &[&str]) -> &'s Span<'a> {
    let sends = spans.iter().filter(|span| SENDS.split(',').any(|name| name == span.name));
    let mut sent = sends.filter(|span| what.iter().all(|part| span.text.contains(part)));
    sent.next().unwrap_or_else(|| panic!("{what:?} was never sent"))
}

/// Fails unless the delivery was synced before it was acknowledged.
fn synced_before_it_was_said(spans: &[Span<'_>], delivery: &str) {
    synced_before(spans, delivery, first_sent(spans, &["HTTP/1.1 202", delivery]));
}

/// Fails unless it was synced that the job is being sent before it was sent. Its prompt is written down by that very
/// transaction, and ends with a line that no other page has.
fn synced_before_it_was_sent(spans: &[Span<'_>], job: &str) {
    synced_before(
        spans,
        &format!("hookrun job {job}"),
        first_sent(spans, &["POST /v1/organizations/7/agent/run ", job]),
    );
}

/// Fails unless a sync of the log began after these bytes were in it and ended before this was begun.
fn synced_before(spans: &[Span<'_>], what: &str, said: &Span<'_>) {
    let of_log = |span: &&Span<'_>| span.text.contains("-wal>");
    let is_write = |span: &&Span<'_>| WRITES.split(',').any(|name| name == span.name);
    let is_sync = |span: &&Span<'_>| SYNCS.split(',').any(|name| name == span.name) && span.result.trim() == "0";
    let written = spans.iter().filter(of_log).filter(is_write).filter(|span| span.text.contains(what));
    let written =
        written.filter(|span| span.begun < said.begun).min_by_key(|span| span.ended).expect("its bytes in the log");
    // The first page that has it may be followed by others of the same transaction: the sync must cover those too.
    let last = spans.iter().filter(of_log).filter(is_write).filter(|span| span.ended < said.begun);
    let covers = |span: &&Span<'_>| {
        let between = last.clone().filter(|it| it.begun > written.begun && it.begun < span.begun);
        span.begun > written.ended && span.ended < said.begun && between.clone().all(|it| it.ended < span.begun)
    };
    let sync = spans.iter().filter(of_log).filter(is_sync).find(covers);
    assert!(sync.is_some(), "{what} left before it was synced: {written:#?} {said:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_is_synced_before_it_is_acknowledged_and_a_release_before_its_call() {
    let service = Service::start().await;
    let house = House::on(Database::sqlite, &service.address);
    let file = house.path().join("trace.txt");
    let behind = tracing(&[SYNCS, WRITES, SENDS].join(","), &file);
    let mut daemon = house.serve_behind(&behind.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut answers = Vec::new();
    // One by one, then many at once, which are committed in groups.
    for cause in (0..10).map(Cause) {
        answers.push(daemon.take(cause).await);
    }
    let mut senders = JoinSet::new();
    for cause in (10..60).map(Cause) {
        let (http, webhooks) = (daemon.http.clone(), daemon.webhooks.clone());
        senders.spawn(async move { send(&http, &webhooks, cause).await.expect("an answer") });
    }
    answers.extend(senders.join_all().await);
    audit(&daemon, &service, &answers).await;
    let jobs: Vec<_> = daemon.all("jobs").await.iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
    daemon.process.signal("-TERM");
    assert_eq!(daemon.process.wait().await, Some(0));

    let trace = std::fs::read_to_string(&file).unwrap();
    let spans = spans(&trace);
    for answer in &answers {
        assert_eq!(answer.status, 202, "{answer:?}");
        synced_before_it_was_said(&spans, answer.said["delivery"].as_str().unwrap());
    }
    assert_eq!(jobs.len(), answers.len());
    for job in &jobs {
        synced_before_it_was_sent(&spans, job);
    }
    // A new file's name is in its folder only when the folder is synced too.
    let folder = format!("<{}>", house.path().display());
    let first = spans.iter().find(|span| span.text.contains("HTTP/1.1 202")).expect("an answer").begun;
    let named = |span: &&Span<'_>| SYNCS.contains(span.name) && span.text.contains(&folder) && span.ended < first;
    assert!(spans.iter().any(|span| named(&span)), "the folder was not synced before the first answer");
    assert_the_check_can_fail(&trace, answers[0].said["delivery"].as_str().unwrap(), &jobs[0]);
}

/// Without the syncs of the log the same trace must not pass.
fn assert_the_check_can_fail(trace: &str, delivery: &str, job: &str) {
    let unsynced: String =
        trace.lines().filter(|line| !line.contains("sync")).fold(String::new(), |text, line| text + line + "\n");
    let said = std::panic::catch_unwind(|| synced_before_it_was_said(&spans(&unsynced), delivery));
    let sent = std::panic::catch_unwind(|| synced_before_it_was_sent(&spans(&unsynced), job));
    assert!(said.is_err() && sent.is_err(), "a trace without any sync passes");
}
