//! The Codegen API played locally.
