//! From the bytes of a request to events in our words: verification, then understanding, both pure.
//!
//! [`verify`] says whether a request comes from its source and makes a [`Delivery`] of it; [`understand`] says what it
//! tells. Time is a parameter, nothing is read or written. One folder per host; a new event of a host is a new
//! function there.

mod delivery;
mod form;
mod github;
mod gitlab;
mod headers;
mod jira;
mod mentions;
mod names;
mod parsed;
mod refusal;
pub mod signature;
mod source;
mod tolerant;
mod understood;
mod verify;
mod words;

pub use delivery::{Delivery, Kept};
pub use headers::unambiguous;
pub use refusal::Refusal;
pub use source::{Auth, MIN_SECRET_BYTES, NamedSecret, SecretError, SourceSpec};
pub use understood::{Reading, Understood, understand};
pub use verify::{refuse_unknown, verify};
