//! The worker on a real store in a temporary file, against the sandbox on a loopback port, under a clock that is held.

mod acts;
pub(crate) mod bench;
mod brakes;
mod follow;
mod hangs;
mod loops;
mod reconcile;
mod release;
mod submit;
pub(crate) mod told;
mod windows;
