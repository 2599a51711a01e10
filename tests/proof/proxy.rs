//! A network that lies: stands between the daemon and the service, and cuts, swallows, delays or forges single exchanges.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// What is done to one exchange.
#[derive(Debug)]
pub(crate) enum Play {
    /// Only so many bytes of the request reach the service; the connection then stands still until the caller is gone.
    CutRequest(usize),
    /// The service never hears of it; the caller gets this status.
    Instead(u16),
    /// The service does it; the caller gets so many bytes of the answer, then the connection breaks.
    CutAnswer(usize),
    /// The service does it; the caller gets these bytes instead of the answer, and the connection breaks.
    Forge(Vec<u8>),
    /// The service does it; its answer is held back until this is told, or for ever.
    Hold(oneshot::Receiver<()>),
    /// The service does it; the caller gets an answer of this many bytes.
    Huge(usize),
    /// The service does it; the caller gets a byte of the answer each second.
    Trickle,
}

/// One exchange that is waited for.
struct Plan {
    /// In the request line.
    path: &'static str,
    /// Somewhere in the request.
    naming: String,
    play: Play,
    /// Told the length of the request when the play has done to the service what it does.
    done: mpsc::UnboundedSender<usize>,
}

/// The proxy. Exchanges that nobody has plans with pass as they are.
pub(crate) struct Proxy {
    pub(crate) address: String,
    plans: Arc<Mutex<Vec<Plan>>>,
}

/// Told when a play has reached the point that it was planned for.
pub(crate) struct Played(mpsc::UnboundedReceiver<usize>);

impl Played {
    /// The length of the request.
    pub(crate) async fn length(&mut self) -> usize {
        tokio::time::timeout(Duration::from_mins(2), self.0.recv()).await.expect("the call in time").unwrap()
    }
}

impl Proxy {
    pub(crate) async fn start(service: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let plans = Arc::new(Mutex::new(Vec::new()));
        let (known, service) = (plans.clone(), service.trim_start_matches("http://").to_owned());
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                tokio::spawn(connection(caller, service.clone(), known.clone()));
            }
        });
        Self { address, plans }
    }

    /// Plays this on the next request with `path` in its first line that names `naming` anywhere.
    pub(crate) fn plan(&self, path: &'static str, naming: impl Into<String>, play: Play) -> Played {
        let (done, played) = mpsc::unbounded_channel();
        self.plans.lock().unwrap().push(Plan { path, naming: naming.into(), play, done });
        Played(played)
    }
}

/// The create call's path, and what follows it in the request line.
pub(crate) const CREATE: &str = "POST /v1/organizations/7/agent/run HTTP";
pub(crate) const RESUME: &str = "POST /v1/organizations/7/agent/run/resume HTTP";
pub(crate) const LIST: &str = "GET /v1/organizations/7/agent/runs?";

async fn connection(mut caller: TcpStream, service: String, plans: Arc<Mutex<Vec<Plan>>>) {
    while let Some(request) = message(&mut caller).await {
        let plan = planned(&plans, &request);
        let Some(Plan { play, done, .. }) = plan else {
            let Some(answer) = exchange(&service, &request).await else { return };
            if caller.write_all(&answer).await.is_err() {
                return;
            }
            continue;
        };
        if let Play::CutRequest(bytes) = play {
            let Ok(mut upstream) = TcpStream::connect(&service).await else { return };
            let bytes = bytes.min(request.len());
            let _ = upstream.write_all(&request[..bytes]).await;
            if bytes == request.len() {
                message(&mut upstream).await;
            }
            let _ = done.send(request.len());
            gone(&mut caller).await;
            return;
        }
        if let Play::Instead(status) = play {
            let _ = done.send(request.len());
            let text = format!("HTTP/1.1 {status} Instead\r\ncontent-length: 0\r\n\r\n");
            let _ = caller.write_all(text.as_bytes()).await;
            return;
        }
        let Some(answer) = exchange(&service, &request).await else { return };
        let _ = done.send(request.len());
        if !answer_with(&mut caller, play, &answer).await {
            return;
        }
    }
}

/// Gives the caller what the play leaves of the answer; whether the connection goes on.
async fn answer_with(caller: &mut TcpStream, play: Play, answer: &[u8]) -> bool {
    match play {
        Play::CutAnswer(bytes) => {
            let _ = caller.write_all(&answer[..bytes.min(answer.len())]).await;
        }
        Play::Forge(bytes) => {
            let _ = caller.write_all(&bytes).await;
        }
        Play::Hold(released) => {
            let held = async {
                if released.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = held => return caller.write_all(answer).await.is_ok(),
                () = gone_by_look(caller) => {}
            }
        }
        Play::Huge(bytes) => {
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\n\r\n\"");
            let chunk = vec![b'x'; 64 * 1024];
            let mut left = bytes;
            if caller.write_all(head.as_bytes()).await.is_ok() {
                while left > 0 && caller.write_all(&chunk[..left.min(chunk.len())]).await.is_ok() {
                    left -= left.min(chunk.len());
                }
            }
        }
        Play::Trickle => {
            for byte in answer {
                if caller.write_all(&[*byte]).await.is_err() {
                    break;
                }
                // The pace is what is played.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Play::CutRequest(_) | Play::Instead(_) => unreachable!("played before the service was asked"),
    }
    false
}

fn planned(plans: &Mutex<Vec<Plan>>, request: &[u8]) -> Option<Plan> {
    let text = String::from_utf8_lossy(request);
    let mut plans = plans.lock().unwrap();
    let fits = |plan: &Plan| text.starts_with(plan.path) && text.contains(&plan.naming);
    plans.iter().position(fits).map(|at| plans.remove(at))
}

/// Asks the service and gives back its whole answer; none when it breaks the connection.
async fn exchange(service: &str, request: &[u8]) -> Option<Vec<u8>> {
    let mut upstream = TcpStream::connect(service).await.ok()?;
    upstream.write_all(request).await.ok()?;
    message(&mut upstream).await
}

/// One whole HTTP message whose head tells its length.
async fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut more = vec![0; 16 * 1024];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            assert!(!head.contains("transfer-encoding"), "a message without a length: {head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.map_or(0, |text| text.trim().parse().unwrap());
            if bytes.len() >= end + length {
                return Some(bytes);
            }
        }
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&more[..count]),
        }
    }
}

/// Returns when the other end has closed.
async fn gone(stream: &mut TcpStream) {
    let mut rest = [0; 1024];
    while matches!(stream.read(&mut rest).await, Ok(count) if count > 0) {}
}

/// The same without taking the stream for oneself.
async fn gone_by_look(stream: &TcpStream) {
    let mut rest = [0; 1];
    loop {
        if stream.readable().await.is_err() || matches!(stream.peek(&mut rest).await, Ok(0) | Err(_)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
