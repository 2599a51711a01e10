//! The system calls of a process: killed or failed at the n-th of them, or written down.

use std::path::Path;

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
