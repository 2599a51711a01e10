//! The hookrun command: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    hookrun::cli::main()
}
