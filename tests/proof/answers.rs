//! Answers that are lost, cut, forged, late, endless or errors: the run was made, or was not, and the daemon cannot know.

use tokio::sync::oneshot;

use crate::audit::audit;
use crate::cause::Cause;
use crate::house::{House, Service};
use crate::proxy::{CREATE, LIST, Play, Proxy};

/// More than two pages of the run list.
const FOREIGN: usize = 230;

fn forged(status: &str, body: &str) -> Play {
    let text =
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    Play::Forge(text.into_bytes())
}

/// Everything that a network and a gateway may make of a call. None of these tells whether there is a run.
fn plays(never: oneshot::Receiver<()>) -> Vec<Play> {
    vec![
        Play::CutAnswer(0),
        Play::CutAnswer(20),
        Play::CutAnswer(250),
        forged("500 Internal Server Error", r#"{"message": "something went wrong", "status_code": 500}"#),
        forged("502 Bad Gateway", "<html><body>Bad Gateway</body></html>"),
        forged("503 Service Unavailable", ""),
        forged("504 Gateway Timeout", r#"{"detail": "upstream"}"#),
        forged("408 Request Timeout", ""),
        forged("200 OK", r#"{"id": 17, "organization"#),
        forged("200 OK", "<html><body>Welcome</body></html>"),
        forged("200 OK", "{}"),
        Play::Forge(b"this is no HTTP at all\r\n\r\n".to_vec()),
        Play::Hold(never),
        Play::Huge(100 << 20),
        Play::Trickle,
        Play::Instead(500),
        Play::Instead(502),
        Play::Instead(408),
        Play::CutRequest(100),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_the_answer_to_a_create_there_is_one_run() {
    let service = Service::start().await;
    let proxy = Proxy::start(&service.address).await;
    let house = House::new(&proxy.address);
    let daemon = house.serve().await;
    foreign(&service).await;

    let (_late, never) = oneshot::channel();
    let (mut answers, mut played) = (Vec::new(), Vec::new());
    for (nth, play) in plays(never).into_iter().enumerate() {
        let cause = Cause(nth as u64);
        played.push(proxy.plan(CREATE, cause.sha(), play));
        answers.push(daemon.take(cause).await);
    }
    for play in &mut played {
        play.length().await;
    }
    // Pushes our runs off the first pages of the list in which they will be looked for; the list itself fails at first.
    foreign(&service).await;
    let mut list = proxy.plan(LIST, "skip=100", Play::Huge(100 << 20));

    audit(&daemon, &service, &answers).await;
    list.length().await;
    assert_eq!(service.runs().await.len(), answers.len() + 2 * FOREIGN);
}

async fn foreign(service: &Service) {
    for number in 0..FOREIGN {
        service.foreign_run(serde_json::json!({"theirs": number})).await;
    }
}
