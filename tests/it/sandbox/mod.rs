//! The sandbox against Codegen's published OpenAPI document, its own promises and Codegen's own client.

mod acts;
mod answers;
mod bench;
mod faults;
mod life;
mod limits;
mod refusals;
mod sdk;
