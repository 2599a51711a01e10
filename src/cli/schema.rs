//! `hookrun schema`: prints the files in `config/` that are generated from the code, or explain it.

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
    /// The settings file with every setting explained: config/hookrun.toml
    Defaults,
}

/// The text of a generated file, as it stands in `config/`.
fn generated(of: Generated) -> serde_json::Result<String> {
    let document = match of {
        Generated::Settings => crate::config::json_schema(),
        Generated::Rules => crate::rules::json_schema(),
        Generated::Openapi => serde_json::to_value(crate::server::openapi())?,
        Generated::Defaults => return Ok(crate::config::annotated_default().to_owned()),
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

pub(super) fn run(arguments: &SchemaArguments) -> anyhow::Result<Exit> {
    Printer::line(generated(arguments.of)?.trim_end());
    Ok(Exit::Done)
}
