//! The commands: each in a file of its own; arguments are read here and exit codes made here.

mod backup;
mod bench;
mod brakes;
mod check;
mod deliveries;
mod demo;
mod demo_story;
mod demo_timeline;
mod explain;
mod folder;
mod healthcheck;
mod operate;
mod printer;
mod remote;
mod replay;
mod rules;
mod sandbox;
mod schema;
mod serve;
mod settings;
mod table;
mod tell;
mod test;
mod why;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use printer::Printer;

use crate::telemetry;

/// What a command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// 0: done.
    Done,
    /// 1: failed while running.
    Failed,
    /// 78 (`EX_CONFIG` of sysexits.h): the configuration is wrong; every problem was listed.
    Configuration,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::FAILURE,
            Exit::Configuration => Self::from(78),
        }
    }
}

/// Webhooks of GitHub, GitLab and Jira become coding-agent runs: verified, matched, queued, sent inside the limits and
/// followed to their end.
#[derive(Debug, Parser)]
#[command(name = "hookrun", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole product on this machine: signed example webhooks go through to finished runs
    Demo(demo::DemoArguments),
    /// Receive webhooks, send and follow runs, serve the status API and the dashboard
    Serve(serve::ServeArguments),
    /// List every problem of settings and rules at once; exit code 78 when there is one
    Check(check::CheckArguments),
    /// Show what a running hookrun does: pauses, problems, jobs, windows, budgets
    Status(operate::StatusArguments),
    /// List jobs: where each stands, when it is expected to be sent, and why
    Jobs(operate::JobsArguments),
    /// Show one job with every gate's verdict
    Job(operate::JobArguments),
    /// Stop sending: everything, a rule, a repository, a source or a subject; receiving goes on
    Pause(brakes::PauseArguments),
    /// Lift a pause; shows first what would be let go
    Resume(brakes::ResumeArguments),
    /// Close a breaker before its probe does: calls that it holds back go again
    Release(brakes::ReleaseArguments),
    /// Agree to a job that is held for approval
    Approve(operate::JobArguments),
    /// Cancel a job, or many: by rule, state and time, shown first
    Cancel(brakes::CancelArguments),
    /// Repeat an ended job, or queue a held one again
    Retry(operate::JobArguments),
    /// Run the tests that stand in the rules files
    Test(test::TestArguments),
    /// Tell what follows from a stored delivery or a payload in a file: events, each rule's verdict, prompt
    Explain(explain::ExplainArguments),
    /// Tell why something did or did not happen: the whole story of a URL, commit, ticket, job or run, or of a rule
    Why(why::WhyArguments),
    /// Take stored deliveries once more, dry by default
    Replay(replay::ReplayArguments),
    /// Compare rules
    Rules(rules::RulesArguments),
    /// Look at stored deliveries
    Deliveries(deliveries::DeliveriesArguments),
    /// Copy the database into a new file while hookrun runs (SQLite; PostgreSQL has `pg_dump`)
    Backup(backup::BackupArguments),
    /// Put a backup where the settings say that the database is; nothing is overwritten
    Restore(backup::RestoreArguments),
    /// Move everything from one database into another, empty one, e.g. from SQLite to PostgreSQL
    Migrate(backup::MigrateArguments),
    /// Play the Codegen API locally
    Sandbox(sandbox::SandboxArguments),
    /// Print a JSON schema, the OpenAPI document, or the annotated default settings
    Schema(schema::SchemaArguments),
    /// Ask a running hookrun whether it is ready; for containers
    Healthcheck(healthcheck::HealthcheckArguments),
}

/// Reads the arguments, runs the command and makes the exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let printer = Printer::new();
    // reqwest is built without a TLS provider of its own; only a second installation could fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match arguments.command {
        Command::Demo(arguments) => block_on(demo::run(arguments, printer)),
        Command::Serve(arguments) => block_on(serve::run(arguments, printer)),
        Command::Check(arguments) => check::run(arguments, printer),
        Command::Status(arguments) => block_on(operate::status(arguments, printer)),
        Command::Jobs(arguments) => block_on(operate::jobs(arguments, printer)),
        Command::Job(arguments) => block_on(operate::job(arguments, printer)),
        Command::Pause(arguments) => block_on(brakes::pause(arguments, printer)),
        Command::Resume(arguments) => block_on(brakes::resume(arguments, printer)),
        Command::Release(arguments) => block_on(brakes::release(arguments, printer)),
        Command::Approve(arguments) => block_on(operate::approve(arguments, printer)),
        Command::Cancel(arguments) => block_on(brakes::cancel(arguments, printer)),
        Command::Retry(arguments) => block_on(operate::retry(arguments, printer)),
        Command::Test(arguments) => block_on(test::run(arguments, printer)),
        Command::Explain(arguments) => block_on(explain::run(arguments, printer)),
        Command::Why(arguments) => block_on(why::run(arguments, printer)),
        Command::Replay(arguments) => block_on(replay::run(arguments, printer)),
        Command::Rules(arguments) => block_on(rules::run(arguments, printer)),
        Command::Deliveries(arguments) => block_on(deliveries::run(arguments, printer)),
        Command::Backup(arguments) => block_on(backup::backup(arguments, printer)),
        Command::Restore(arguments) => block_on(backup::restore(arguments, printer)),
        Command::Migrate(arguments) => block_on(backup::migrate(arguments)),
        Command::Sandbox(arguments) => block_on(sandbox::run(arguments)),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Healthcheck(arguments) => block_on(healthcheck::run(arguments)),
    };
    telemetry::end_log();
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            Printer::talk(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs a command on a thread of the runtime: memory that it needs to start is then used again for its work, which the
/// allocator would keep for the first thread of the process.
fn block_on(command: impl Future<Output = anyhow::Result<Exit>> + Send + 'static) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(runtime.spawn(command))?
}
