//! A worker that hangs between the commit that says "I send this" and the call, while another one goes on.

use std::future::poll_fn;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use hookrun::model::clock::Clock;
use hookrun::model::job::JobState;
use hookrun::model::limits::CallClass;
use hookrun::sandbox::Call;
use hookrun::store::{Slot, Store, StoreError};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use super::bench::{Setting, accept, config, open_store, sandbox, worker};
use crate::database::Database;
use crate::support::{ManualClock, install_tls, until};

/// The state of a job, for somebody who must not wait as tasks do.
fn state(of: &Runtime, store: &Store, job: &str) -> JobState {
    let (store, job, (tell, told)) = (store.clone(), job.to_owned(), mpsc::channel());
    of.spawn(async move { tell.send(store.job(&job).await.unwrap().unwrap().state) });
    told.recv().unwrap()
}

/// It stands still with its runtime, in whatever it does: nothing of it goes on while nobody drives that.
#[test]
fn what_hung_before_its_call_does_not_send_what_another_has_sent_since() {
    install_tls();
    let others = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let hung = Builder::new_current_thread().enable_all().build().unwrap();
    let (clock, setting, stop) = (ManualClock::new(), Setting::default(), CancellationToken::new());
    let (sandbox, address) = others.block_on(sandbox(config(), clock.clone()));
    let database = others.block_on(Database::postgres());
    let open = || open_store(&database, setting.limits, clock.clone());
    let theirs = others.block_on(open());
    let on = |store: &Store| worker(&setting, address, store, clock.clone(), Duration::from_secs(5), &stop);
    let (repo, sha) = (("github", "acme/widgets"), "a".repeat(40));
    let job = others.block_on(accept(&theirs, clock.now(), repo, "main", &sha, false));
    let creates = || sandbox.calls().iter().filter(|record| record.call == Some(Call::Create)).count();

    let ours = hung.block_on(open());
    let sending = on(&ours);
    let tick = sending.clone();
    let mut tick = Box::pin(async move { tick.release_tick().await });
    hung.block_on(poll_fn(|context| {
        assert!(tick.as_mut().poll(context).is_pending(), "it released nothing");
        // Looked at between two steps of it: the call is a task of its own, which begins after this one has had its turn.
        if state(&others, &theirs, &job) == JobState::Submitting { Poll::Ready(()) } else { Poll::Pending }
    }));
    assert_eq!(creates(), 0, "it did not hang before its call");

    others.block_on(async {
        clock.advance(Duration::from_secs(61));
        // It may have stopped with a transaction open, which the server then ends.
        let call =
            until("a turn to write", async || match theirs.take_slots(&[CallClass::LogAnalysis], "a call").await {
                Ok(Slot::Taken(call)) => Some(call),
                Err(StoreError::Busy(_)) => None,
                other => panic!("{other:?}"),
            });
        let call = call.await;
        assert!(theirs.may_make(&call).await.unwrap());
        let other = on(&theirs);
        // Proved absent, by a list that was read long after the call must have ended.
        clock.advance(Duration::from_mins(1));
        other.reconcile_tick().await.unwrap();
        clock.advance(Duration::from_mins(1));
        other.release_tick().await.unwrap();
        other.sent().await;
    });
    assert_eq!((creates(), state(&others, &theirs, &job)), (1, JobState::Running));

    hung.block_on(async {
        // It may find that its session is gone; what counts is what it sends.
        let _ = tick.await;
        sending.sent().await;
        let _ = ours.close().await;
    });
    assert_eq!((creates(), state(&others, &theirs, &job)), (1, JobState::Running));
}
