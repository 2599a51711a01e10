//! The demo's timeline: sends the story's webhooks and prints what the status API says becomes of each, as it happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::StatusCode;
use serde_json::Value;

use super::demo_story::{Chapter, Story};
use super::printer::{Printer, Style};
use crate::model::clock::{Clock, Timestamp};

/// How often the status API is asked; a person sees no delay.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Prints the story as it happens.
#[derive(Debug)]
pub(super) struct Timeline {
    printer: Printer,
    clock: Arc<dyn Clock>,
    began: Timestamp,
    http: reqwest::Client,
    admin: String,
    token: String,
    jobs: BTreeMap<String, Followed>,
}

/// A job that the timeline follows.
#[derive(Debug)]
struct Followed {
    chapter: usize,
    state: String,
}

impl Timeline {
    pub(super) fn new(printer: Printer, clock: Arc<dyn Clock>, admin: &str, token: String) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let began = clock.now();
        Ok(Self { printer, clock, began, http, admin: admin.to_owned(), token, jobs: BTreeMap::new() })
    }

    /// Sends every chapter, then follows the jobs until all have ended.
    pub(super) async fn tell(&mut self, story: &Story) -> anyhow::Result<()> {
        for (number, chapter) in story.chapters.iter().enumerate() {
            self.send(number, chapter).await?;
        }
        Printer::line("");
        while self.jobs.values().any(|job| !ended(&job.state)) {
            self.look().await?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let failed = self.jobs.values().filter(|job| job.state != "succeeded").count();
        if failed > 0 {
            bail!("{failed} of {} jobs did not succeed", self.jobs.len());
        }
        Printer::line("");
        Printer::line(self.printer.paint(
            Style::Good,
            format_args!(
                "{} webhooks, {} jobs, {} runs, all finished",
                story.chapters.len(),
                self.jobs.len(),
                self.jobs.len()
            ),
        ));
        Ok(())
    }

    async fn send(&mut self, number: usize, chapter: &Chapter) -> anyhow::Result<()> {
        self.say(number, Style::Bold, format_args!("{:<7} {}", chapter.host, chapter.title));
        let mut request = self.http.post(&chapter.url).body(chapter.body.clone());
        for (name, value) in &chapter.headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.context("the webhook listener does not answer")?;
        let status = answer.status();
        let said: Value = answer.json().await.context("the webhook listener answers no JSON")?;
        let word = said["outcome"].as_str().unwrap_or("refused").to_owned();
        if word != chapter.expected {
            let record = match said["delivery"].as_str() {
                Some(delivery) => self.get(&format!("deliveries/{delivery}")).await?,
                None => said,
            };
            bail!("\"{}\" was answered {status} {word}, expected {}: {record}", chapter.title, chapter.expected);
        }
        if status == StatusCode::UNAUTHORIZED {
            self.say(number, Style::Bad, "  refused    401: the signature is not ours; nothing is kept");
            return Ok(());
        }
        let delivery = said["delivery"].as_str().context("the answer names no delivery")?;
        self.say(number, Style::Dim, format_args!("  received   {status}, verified, committed as {}", short(delivery)));
        let record = self.get(&format!("deliveries/{delivery}")).await?;
        self.verdicts(number, &record);
        for id in said["jobs"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let known = self.jobs.contains_key(id);
            self.jobs.entry(id.to_owned()).or_insert(Followed { chapter: number, state: "queued".to_owned() });
            let verb = if known { "joined" } else { "queued" };
            self.say(number, Style::Dim, format_args!("  {verb:<10} job {}", short(id)));
        }
        Ok(())
    }

    /// The rules that matched or refused; those that merely wanted something else are counted.
    fn verdicts(&self, number: usize, record: &Value) {
        let verdicts = record["verdicts"].as_array().map_or(&[][..], Vec::as_slice);
        let mut others = 0;
        for verdict in verdicts {
            let (rule, reason) = (text(&verdict["rule"]), text(&verdict["reason"]));
            match verdict["decision"].as_str() {
                Some("queued" | "joined") => self.say(number, Style::Dim, format_args!("  matched    rule {rule}")),
                Some("no_match") => others += 1,
                decision => self.say(
                    number,
                    Style::Warn,
                    format_args!("  {:<10} rule {rule}: {reason}", decision.unwrap_or_default()),
                ),
            }
        }
        if others == verdicts.len() {
            self.say(number, Style::Dim, format_args!("  unmatched  {}", text(&record["reason"])));
        }
    }

    /// Asks for all jobs once and prints what changed.
    async fn look(&mut self) -> anyhow::Result<()> {
        let page = self.get("jobs?limit=100").await?;
        for item in page["items"].as_array().into_iter().flatten() {
            let id = text(&item["id"]);
            let state = text(&item["state"]);
            let Some(job) = self.jobs.get_mut(id) else { continue };
            if job.state == state {
                continue;
            }
            state.clone_into(&mut job.state);
            let number = job.chapter;
            let run = text(&item["run"]["url"]);
            match state {
                "running" => self.say(
                    number,
                    Style::Name,
                    format_args!("  running    run {} of job {}: {run}", item["run"]["id"], short(id)),
                ),
                "succeeded" => {
                    let run = self.get(&format!("runs/{}", item["run"]["id"])).await?;
                    self.say(number, Style::Good, format_args!("  finished   {}", first_line(text(&run["result"]))));
                    for change in run["pull_requests"].as_array().into_iter().flatten() {
                        self.say(number, Style::Good, format_args!("             opened {}", text(&change["url"])));
                    }
                }
                "submitting" => {}
                other => self.say(number, Style::Bad, format_args!("  {other:<10} {}", text(&item["reason"]))),
            }
        }
        Ok(())
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("{}/api/v1/{path}", self.admin);
        let answer = self.http.get(&url).bearer_auth(&self.token).send().await?.error_for_status()?;
        Ok(answer.json().await?)
    }

    fn say(&self, chapter: usize, style: Style, what: impl std::fmt::Display) {
        let seconds = self.clock.now().since(self.began).as_secs_f32();
        let lead = self.printer.paint(Style::Dim, format_args!("{seconds:>6.2}s [{:>2}]", chapter + 1));
        Printer::line(format_args!("{lead} {}", self.printer.paint(style, what)));
    }
}

fn ended(state: &str) -> bool {
    matches!(state, "succeeded" | "failed" | "stopped" | "superseded" | "cancelled" | "dead" | "lost" | "held")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The end of an id, which tells it from the others; the beginning is the time.
fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(8)..).unwrap_or(id)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
