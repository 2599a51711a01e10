//! The words: plain data, legal state changes and the clock. Nothing here does input or output.

pub mod clock;
pub mod id;
