//! The words: plain data, legal state changes and the clock. Nothing here does input or output.

pub mod acceptance;
pub mod access;
pub mod breaker;
pub mod clock;
pub mod decision;
pub mod delivery;
pub mod event;
pub mod gate;
pub mod hours;
pub mod id;
pub mod job;
pub mod limits;
pub mod name;
pub mod notice;
pub mod outcome;
pub mod pause;
pub mod policy;
pub mod problem;
pub mod run;
pub mod span;
pub mod subject;
