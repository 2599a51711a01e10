//! The hookrun command.
fn main() {}
