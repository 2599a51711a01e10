//! The windows against limiters that are not ours: property tests, simulated days, what others use up, and breakers.
//!
//! Times are simulated: a test moves the clock from event to event, so that a day takes seconds and nothing waits.

mod arithmetic;
mod breakers;
mod day;
mod limiter;
mod shown;
mod shrink;
mod world;
