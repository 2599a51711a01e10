//! The only door to the Codegen API: what is sent, what is understood, and the windows that every call passes.
//!
//! [`wire`] holds requests and answers, [`error`] what a failed call means, [`http`] carries one call, [`verdict`] says what
//! its end means for the calls to come, and [`door`] joins them with the windows and breakers of the store. Facts about the service: OpenAPI 1.0.0 of `https://api.codegen.com` and its
//! published clients.

pub mod door;
pub mod error;
mod http;
mod quota;
pub mod verdict;
pub mod wire;

pub use door::{Codegen, CodegenOptions};
pub use error::{CallError, Denial, SetupError};
pub use verdict::About;
pub use wire::{CreateRun, Listing, Me, RepoRow, RunRow, Tag, Trace, TraceEntry};
