//! `hookrun demo`: the whole product on this machine, from signed example webhooks to finished runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Exit;
use super::demo_story::{self, Story};
use super::demo_timeline::Timeline;
use super::folder::Folder;
use super::printer::{Printer, Style};
use crate::app::App;
use crate::config::{Input, Overrides, Settings};
use crate::model::clock::{Clock, SystemClock};
use crate::model::id::random_key;
use crate::rules;
use crate::sandbox::{Sandbox, SandboxConfig, serve};
use crate::telemetry::{self, Metrics};

/// The organization that the sandbox plays.
const ORG_ID: i64 = 4242;

/// After how long the demo says that something is wrong: runs live five seconds, nothing here waits for a minute.
const PATIENCE: Duration = Duration::from_secs(90);

#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// End when all is finished, with exit code 0, instead of keeping the dashboard up
    #[arg(long)]
    once: bool,
}

/// The secrets that the demo makes up.
#[derive(Debug)]
struct Secrets {
    codegen: String,
    operator: String,
    story: demo_story::Keys,
}

impl Secrets {
    fn new() -> Self {
        let word = || hex::encode(&random_key()[..16]);
        Self { codegen: word(), operator: word(), story: demo_story::Keys::new() }
    }
}

pub(super) async fn run(arguments: DemoArguments, printer: Printer) -> anyhow::Result<Exit> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let folder = Folder::new("demo")?;
    let secrets = Secrets::new();

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let sandbox_address = listener.local_addr()?;
    let mut config = SandboxConfig::new(vec![SecretString::from(secrets.codegen.clone())], ORG_ID);
    config.repos = demo_story::REPOS.map(str::to_owned).to_vec();
    let sandbox = Sandbox::new(config, clock.clone());
    let stop_sandbox = CancellationToken::new();
    let sandbox_task = tokio::spawn(serve(listener, sandbox, stop_sandbox.clone().cancelled_owned()));

    let settings = settings(folder.path(), &format!("http://{sandbox_address}"), &secrets)?;
    telemetry::start_log(settings.log.format, &settings.log.level)?;
    let metrics = Metrics::start()?;
    let loaded = rules::load(&settings.rules.path, &settings.rules.terms);
    let Some(rules) = loaded.rules else {
        bail!(
            "the example rules have problems: {}",
            loaded.problems.iter().map(ToString::to_string).collect::<String>()
        );
    };
    let app = App::start(settings, Arc::new(rules::Live::new(rules, clock.now())), metrics, clock.clone()).await?;
    app.lifecycle().watch_signals()?;
    let admin = app.admin.context("the demo has an admin listener")?;
    let dashboard = format!("http://{admin}/");

    Printer::line(printer.paint(Style::Bold, "hookrun demo: everything runs on this machine, nothing costs money"));
    Printer::line("");
    Printer::line(format_args!("  Codegen API (played)   http://{sandbox_address}"));
    Printer::line(format_args!("  webhooks               http://{}/webhooks/{{github,gitlab,jira}}", app.webhooks));
    Printer::line(format_args!("  dashboard              {dashboard}"));
    Printer::line("");

    let mut timeline = Timeline::new(printer, clock.clone(), &format!("http://{admin}"), secrets.operator.clone())?;
    let story = Story::new(&secrets.story, &format!("http://{}", app.webhooks), clock.wall())?;
    let interrupted = app.lifecycle().soft();
    let told = tokio::select! {
        told = tokio::time::timeout(PATIENCE, timeline.tell(&story)) => match told {
            Ok(told) => told,
            Err(_) => Err(anyhow!("not everything was finished after {} seconds", PATIENCE.as_secs())),
        },
        () = interrupted.cancelled() => Err(anyhow!("interrupted")),
    };
    if told.is_ok() && !arguments.once {
        epilogue(printer, &dashboard, &secrets.operator, folder.path());
    } else {
        app.lifecycle().ask_to_stop();
    }
    let clean = app.run_until_stopped().await;
    stop_sandbox.cancel();
    sandbox_task.await??;
    told?;
    Ok(if clean { Exit::Done } else { Exit::Failed })
}

/// Writes the demo's settings and rules and reads them the way `serve` does.
fn settings(folder: &Path, codegen: &str, secrets: &Secrets) -> anyhow::Result<Settings> {
    demo_story::write_rules(folder)?;
    let file = folder.join("hookrun.toml");
    let text = format!(
        r#"[webhooks]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
tokens = [{{ name = "demo", role = "operator", secret = "{operator}" }}]
[database]
url = "sqlite:{folder}/hookrun.db"
[codegen]
base_url = "{codegen}"
org_id = {ORG_ID}
token = "{token}"
poll_interval = "1s"
[rules]
path = "{folder}/rules.toml"
[log]
level = "error"
{sources}"#,
        operator = secrets.operator,
        folder = folder.display(),
        token = secrets.codegen,
        sources = secrets.story.sources(),
    );
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    let input = Input { file: Some(file), env: Vec::new(), flags: Overrides::default() };
    match Settings::load(input) {
        Ok((settings, _)) => Ok(settings),
        Err(problems) => {
            bail!("the demo's settings have problems: {}", problems.iter().map(ToString::to_string).collect::<String>())
        }
    }
}

fn epilogue(printer: Printer, dashboard: &str, token: &str, folder: &Path) {
    let name = |text: &str| printer.paint(Style::Name, text);
    Printer::line("");
    Printer::line(printer.paint(Style::Bold, "What to open and try next"));
    Printer::line(format_args!("  open the dashboard     {}", name(dashboard)));
    Printer::line(format_args!("  log in with            {}", name(token)));
    Printer::line(format_args!(
        "  ask the status API     {}",
        name(&format!("curl -H 'Authorization: Bearer {token}' {dashboard}api/v1/status"))
    ));
    Printer::line(format_args!("  read the rules         {}", name(&folder.join("rules.toml").display().to_string())));
    Printer::line(format_args!("  for real               README.md, \"Ten minutes to a real webhook\""));
    Printer::line("");
    Printer::line(
        printer.paint(Style::Dim, "The dashboard stays up until Ctrl-C; what the demo wrote goes away with it."),
    );
}
