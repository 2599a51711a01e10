//! The promises shown on the real binary: `hookrun serve` and `hookrun sandbox` as processes that are killed, cut off,
//! starved and stopped, and looked at only from outside.
//!
//! A run of this target is bounded; `HOOKRUN_TEST_LONG=1` makes it try every byte and every system call,
//! `HOOKRUN_TEST_KILLS=N` and `HOOKRUN_TEST_SEED=N` say how often the crash test kills, and in which order.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod answers;
mod audit;
mod bytes;
mod cause;
mod clocks;
mod commits;
mod crashes;
mod daemon;
mod disk;
mod files;
mod handles;
mod house;
mod lists;
mod million;
mod power;
mod proxy;
mod replicas;
mod resumes;
mod stops;
mod strace;
mod wait;
