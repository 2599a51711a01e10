//! A call that breaks off at any byte: the daemon is killed when so many bytes of its POST have reached the service.

use std::collections::BTreeSet;

use crate::audit::audit;
use crate::cause::Cause;
use crate::daemon::Answer;
use crate::house::{House, Service};
use crate::proxy::{CREATE, Play, Proxy};
use crate::wait::long;

/// How many places between the ends are tried when not all are.
const SAMPLE: usize = 9;

/// Lets one job come to its POST and kills the daemon there. Answers how long the whole request was.
async fn killed_at(bytes: usize, cause: Cause, house: &House, proxy: &Proxy, answers: &mut Vec<Answer>) -> usize {
    let mut daemon = house.serve().await;
    let mut played = proxy.plan(CREATE, cause.sha(), Play::CutRequest(bytes));
    answers.push(daemon.take(cause).await);
    let length = played.length().await;
    daemon.process.kill().await;
    length
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_byte_of_a_create_it_makes_exactly_one_run() {
    let service = Service::start().await;
    let proxy = Proxy::start(&service.address).await;
    let house = House::new(&proxy.address);
    let mut answers = Vec::new();
    // A request names its repository from when the service's list was read once: then it is so much longer.
    let shortest = killed_at(usize::MAX, Cause(0), &house, &proxy, &mut answers).await;
    let length = shortest + "\"repo_id\":123,".len();

    let sample =
        [0, 1, shortest - 1, shortest, length].into_iter().chain((1..=SAMPLE).map(|nth| length * nth / (SAMPLE + 1)));
    let places: BTreeSet<usize> = if long() { (0..=length).collect() } else { sample.collect() };
    for (nth, bytes) in places.iter().enumerate() {
        let cause = Cause(nth as u64 + 1);
        let whole = killed_at(*bytes, cause, &house, &proxy, &mut answers).await;
        assert!(whole <= length, "a longer request is cut than was reckoned with: {whole} bytes");
    }

    let daemon = house.serve().await;
    audit(&daemon, &service, &answers).await;
}
