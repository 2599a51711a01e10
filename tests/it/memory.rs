//! What senders of large bodies can make the real binary hold, and that it gives it back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;

use crate::daemon::Process;
use crate::support::until;

const MIB: usize = 1 << 20;
/// The largest body that is taken.
const BODY: usize = 25 * MIB;
/// What all large bodies may hold together.
const IN_FLIGHT: usize = 64 * MIB;
/// What connections, their tasks and the allocator may need beside the bodies.
const BESIDE: usize = 12 * MIB;

/// A line of the process's memory, in bytes.
fn memory(process: &Process, line: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|it| it.strip_prefix(line)).unwrap();
    let kib: usize = line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse().unwrap();
    kib * 1024
}

/// Begins a request and sends so much of a body of [`BODY`] bytes, or as much as is taken of it.
fn begin(address: &str, bytes: usize, announces: bool) -> TcpStream {
    let mut wire = TcpStream::connect(address).unwrap();
    let size = if announces { format!("content-length: {BODY}") } else { "transfer-encoding: chunked".to_owned() };
    let head = format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
         x-hub-signature-256: sha256={}\r\n{size}\r\n\r\n",
        "0".repeat(64)
    );
    wire.write_all(head.as_bytes()).unwrap();
    let piece = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    // Refused while it sends: then the answer is there to be read.
    while sent < bytes {
        let sending = if announces {
            wire.write_all(&piece)
        } else {
            wire.write_all(format!("{:x}\r\n", piece.len()).as_bytes())
                .and_then(|()| wire.write_all(&piece))
                .and_then(|()| wire.write_all(b"\r\n"))
        };
        if sending.is_err() {
            break;
        }
        sent += piece.len();
    }
    if sent == BODY && !announces {
        let _ = wire.write_all(b"0\r\n\r\n");
    }
    wire
}

/// The status of the answer; empty when the connection was cut first.
fn status(mut wire: TcpStream) -> String {
    let mut answer = [0; 12];
    let read = wire.read_exact(&mut answer);
    read.map(|()| String::from_utf8_lossy(&answer[9..]).into_owned()).unwrap_or_default()
}

#[tokio::test]
async fn large_bodies_hold_no_more_than_their_share_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "
[webhooks]
listen = \"127.0.0.1:0\"
body_timeout = \"10m\"
max_in_flight = \"64MiB\"
[admin]
listen = \"127.0.0.1:0\"
[codegen]
base_url = \"http://127.0.0.1:9\"
org_id = 1
token = \"a-token-that-is-not-used\"
[rules]
path = \"rules.toml\"
[sources.github]
kind = \"github\"
secrets = [\"a-secret-that-is-not-used\"]
";
    std::fs::write(folder.path().join("hookrun.toml"), settings).unwrap();
    std::fs::write(folder.path().join("rules.toml"), "").unwrap();
    let mut process = Process::start(&["serve", "--config", "hookrun.toml"], folder.path());
    let address = process.address().trim_start_matches("http://").to_owned();
    let idle = memory(&process, "VmRSS");

    // Two that stop half way and stay; what they have sent is held.
    let slow = [true, false].map(|announces| begin(&address, 12 * MIB, announces));
    until("the slow bodies to be held", async || (memory(&process, "VmRSS") >= idle + 20 * MIB).then_some(())).await;
    // Many that send all they have, at once.
    let (tell, told) = mpsc::channel();
    for number in 0..12 {
        let (tell, address) = (tell.clone(), address.clone());
        std::thread::spawn(move || tell.send(status(begin(&address, BODY, number % 3 != 0))));
    }
    drop(tell);
    let answers = tokio::task::spawn_blocking(move || told.iter().collect::<Vec<_>>()).await.unwrap();
    assert!(answers.iter().all(|status| ["401", "503", ""].contains(&status.as_str())), "{answers:?}");
    // Those may all have met each other half way. One that has what is left to itself is read to its end.
    let alone = tokio::task::spawn_blocking({
        let address = address.clone();
        move || status(begin(&address, BODY, true))
    });
    assert_eq!(alone.await.unwrap(), "401", "after {answers:?}");
    let peak = memory(&process, "VmHWM");
    assert!(peak <= idle + IN_FLIGHT + BESIDE, "{} MiB beyond idle", (peak - idle) / MIB);

    drop(slow);
    until("all of it to be given back", async || (memory(&process, "VmRSS") <= idle + BESIDE).then_some(())).await;
}
