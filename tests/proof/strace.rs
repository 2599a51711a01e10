//! The system calls of a process: killed or failed at the n-th of them, or written down.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};

/// What follows a commit to disk: the bytes of the log, and the sync.
pub(crate) const SYNCS: &str = "fsync,fdatasync";
pub(crate) const WRITES: &str = "pwrite64,pwritev";
/// What leaves over the network: an answer to a webhook, a call of the API.
pub(crate) const SENDS: &str = "sendto,sendmsg,writev";
pub(crate) const CONNECTS: &str = "connect";

/// The command that stands before another one: it becomes that one, which dies when it makes one of these calls for the
/// `nth` time on one of its threads.
pub(crate) fn killing(calls: &str, nth: u32) -> Vec<String> {
    injecting(calls, &format!("signal=KILL:when={nth}"))
}

/// The same, but the call fails with this error from the `first` time on to the `last`.
pub(crate) fn failing(calls: &str, error: &str, first: u32, last: u32) -> Vec<String> {
    injecting(calls, &format!("error={error}:when={first}..{last}"))
}

fn injecting(calls: &str, what: &str) -> Vec<String> {
    let inject = format!("inject={calls}:{what}");
    strace(&["-o", "/dev/null", "-e", &format!("trace={calls}"), "-e", &inject])
}

/// What watches a running process, until it is dropped.
pub(crate) struct Attached {
    _strace: Child,
    /// It says something about every thread that begins, so somebody has to listen.
    _said: BufReader<ChildStderr>,
}

/// Kills a running process when one of its threads makes one of these calls for the `nth` time from now on: the thread of
/// this name and no other, or any, those included that begin later.
pub(crate) async fn kill_from_now_on(process: u32, thread: Option<&str>, calls: &str, nth: u32) -> Attached {
    let mut arguments = vec!["-o", "/dev/null"];
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:signal=KILL:when={nth}"));
    arguments.extend(["-e", &trace, "-e", &inject]);
    let id = thread.map_or(process, |name| thread_of(process, name)).to_string();
    if thread.is_none() {
        arguments.push("-f");
    }
    arguments.extend(["-p", &id]);
    let strace = Command::new("strace").args(arguments).stderr(Stdio::piped()).kill_on_drop(true).spawn();
    let mut strace = strace.expect("strace is there");
    let mut said = BufReader::new(strace.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).await.unwrap();
    assert!(
        line.contains("attached"),
        "strace may not watch a process that it has not started: run as root, or set kernel.yama.ptrace_scope to 0: {line}"
    );
    Attached { _strace: strace, _said: said }
}

/// The one thread of a process that has this name.
fn thread_of(process: u32, name: &str) -> u32 {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap().map(Result::unwrap);
    let mut named = threads.filter(|it| std::fs::read_to_string(it.path().join("comm")).unwrap().trim() == name);
    let (Some(thread), None) = (named.next(), named.next()) else { panic!("there is not one thread {name}") };
    thread.file_name().to_str().unwrap().parse().unwrap()
}

/// The command that writes these calls down in full, with the paths and addresses that they are about.
pub(crate) fn tracing(calls: &str, file: &Path) -> Vec<String> {
    strace(&["--seccomp-bpf", "-yy", "-s", "70000", "-o", file.to_str().unwrap(), "-e", &format!("trace={calls}")])
}

fn strace(more: &[&str]) -> Vec<String> {
    let there = std::process::Command::new("strace").arg("-V").output();
    assert!(
        there.is_ok_and(|it| it.status.success()),
        "strace is missing: install it (Debian: apt-get install strace)"
    );
    // With -D the tracer is the grandchild, so that the process that we started is the one that is traced.
    let command = ["strace", "-D", "-f"];
    [&command, more].concat().iter().map(ToString::to_string).collect()
}
