//! `hookrun schema`: prints the files in `config/` that are generated from the code.

use clap::{Args, ValueEnum};

use super::Exit;
use super::printer::Printer;

#[derive(Debug, Args)]
pub(super) struct SchemaArguments {
    /// Which file
    of: Generated,
}

/// The generated files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Generated {
    /// JSON schema of the settings: config/hookrun.schema.json
    Settings,
    /// JSON schema of the rules file: config/rules.schema.json
    Rules,
    /// The status API: config/openapi.json
    Openapi,
}

pub(super) fn run(arguments: &SchemaArguments) -> anyhow::Result<Exit> {
    let text = match arguments.of {
        Generated::Settings => serde_json::to_string_pretty(&crate::config::json_schema())?,
        Generated::Rules => serde_json::to_string_pretty(&crate::rules::json_schema())?,
        Generated::Openapi => serde_json::to_string_pretty(&crate::server::openapi())?,
    };
    Printer::line(text);
    Ok(Exit::Done)
}
