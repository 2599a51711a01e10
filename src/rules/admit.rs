//! Who and what may start a run: forks, drafts, our own agent, bots and strangers start nothing unless a rule says so.

use serde_json::{Value, json};

use super::file::Allowance;
use super::judge::{Occasion, Refusal};
use super::pattern::From;
use super::people::{Answer, same_login};
use super::rule::Rule;
use crate::model::delivery::SourceKind;
use crate::model::event::{Event, Kind, Origin, Person};
use crate::model::subject::Facts;

/// Asks the gates in order; the first that refuses answers. `event` is the completed one.
pub(super) fn admit(rule: &Rule, event: &Event, occasion: &Occasion<'_>) -> Result<(), Refusal> {
    let case = Case { rule, event, occasion, facts: occasion.facts };
    case.fork()?;
    case.draft()?;
    case.agent()?;
    case.actor()?;
    case.author()
}

struct Case<'a> {
    rule: &'a Rule,
    event: &'a Event,
    occasion: &'a Occasion<'a>,
    facts: Option<&'a Facts>,
}

impl Case<'_> {
    fn from(&self) -> From<'_> {
        self.occasion.from()
    }

    /// Whether it is about a change, as far as anybody said.
    fn of_change(&self) -> bool {
        self.event.change.is_some()
    }

    /// What to do about a fact of a change that nobody told.
    fn unknown(&self, what: &str) -> Refusal {
        let help = match self.occasion.source_kind {
            SourceKind::Github => "subscribe to pull_request",
            SourceKind::Gitlab => "subscribe to merge request events",
            // Automation tells of an issue as it is now, and never by whose act.
            SourceKind::Jira if what == "actor" => "this sender names nobody; give the rule who = [\"anyone\"]",
            SourceKind::Jira => "the webhook must send the issue's fields",
        };
        Refusal::denied(format!("{what} unknown: {help}"), what, Value::Null)
    }

    fn fork(&self) -> Result<(), Refusal> {
        if self.rule.allows(Allowance::Forks) {
            return Ok(());
        }
        let known = self.facts.and_then(|facts| facts.fork);
        // A stored change from another repository with this head wins over what the body says.
        let fork = match self.event.subject.origin {
            _ if known == Some(true) => Some(true),
            Origin::Fork => Some(true),
            Origin::Unknown => known,
            Origin::None if self.of_change() => known,
            Origin::Base | Origin::None => Some(false),
        };
        match fork {
            Some(false) => Ok(()),
            Some(true) => Err(Refusal::denied(
                not_allowed("fork: the head is in another repository", Allowance::Forks),
                "fork",
                json!(true),
            )),
            None => Err(self.unknown("fork")),
        }
    }

    fn draft(&self) -> Result<(), Refusal> {
        if self.rule.allows(Allowance::Drafts) || !self.of_change() {
            return Ok(());
        }
        match self.event.change.as_ref().and_then(|change| change.draft) {
            Some(false) => Ok(()),
            Some(true) => Err(Refusal::denied(
                not_allowed("draft: the change is a draft", Allowance::Drafts),
                "draft",
                json!(true),
            )),
            None => Err(self.unknown("draft")),
        }
    }

    fn agent(&self) -> Result<(), Refusal> {
        if self.rule.allows(Allowance::Agent) {
            return Ok(());
        }
        let ours = |who: &Person| self.occasion.agents.iter().any(|agent| same_login(agent, &who.login));
        let pusher = self.facts.and_then(|facts| facts.last_pusher.as_ref());
        let author = self.event.author.as_ref().filter(|_| self.of_change());
        for (role, who) in [("actor", self.event.actor.as_ref()), ("author", author), ("last pusher", pusher)] {
            if let Some(who) = who.filter(|who| ours(who)) {
                let reason =
                    not_allowed(&format!("agent: the {role} {} is our own agent", who.login), Allowance::Agent);
                return Err(Refusal::denied(reason, role, json!(who.login)));
            }
        }
        if self.facts.and_then(|facts| facts.ours) == Some(true) {
            let reason = not_allowed("agent: a run of ours made this branch", Allowance::Agent);
            return Err(Refusal::denied(reason, "branch", json!(self.event.branch)));
        }
        Ok(())
    }

    fn actor(&self) -> Result<(), Refusal> {
        let who = &self.rule.who;
        let by_machine = machine(self.event.kind);
        let Some(actor) = &self.event.actor else {
            // Nobody is named: a machine's event passes unless the list names people, any other only if anyone may.
            let passes = who.is_anyone()
                || (by_machine && matches!(who.ask("", self.from(), Some(true)), Answer::IfMember | Answer::Anyone));
            return if passes { Ok(()) } else { Err(self.unknown("actor")) };
        };
        let member = if by_machine { Some(true) } else { self.member(actor) };
        let answer = who.ask(&actor.login, self.from(), member);
        let denied = |reason: String| Err(Refusal::denied(reason, "who", json!(actor.login)));
        let login = &actor.login;
        if answer == Answer::Barred {
            return denied(format!("who: {login} is barred"));
        }
        if answer == Answer::Named {
            return Ok(());
        }
        let named_author = || self.rule.authors.ask(login, self.from(), None) == Answer::Named;
        let pushes = matches!(self.event.kind, Some(Kind::Push | Kind::TagPushed | Kind::RepoCreated));
        if (!by_machine || pushes) && bot(actor) && !self.rule.allows(Allowance::Bots) && !named_author() {
            return denied(format!("bot: {login} is a bot; add \"bots\" to allow or name it in who"));
        }
        match answer {
            Answer::Anyone => Ok(()),
            Answer::IfMember => match member {
                Some(true) => Ok(()),
                _ if bot(actor) => Ok(()),
                Some(false) => {
                    let relation = actor.association.as_deref().unwrap_or("none");
                    denied(format!("who: {login} is no member ({relation})"))
                }
                None => denied(match self.occasion.source_kind {
                    SourceKind::Github => format!("who: whether {login} is a member is unknown; name people in who"),
                    SourceKind::Gitlab => format!(
                        "who: GitLab does not tell whether {login} is a member of a public project; name people in who"
                    ),
                    SourceKind::Jira => {
                        format!("who: the account type of {login} is unknown; name people in who")
                    }
                }),
            },
            _ => denied(format!("who: {login} is not in the list")),
        }
    }

    fn author(&self) -> Result<(), Refusal> {
        let authors = &self.rule.authors;
        let Some(author) = &self.event.author else {
            // Of a change it must be known: it may be a bot or our own agent.
            let passes = authors.is_anyone() && !self.of_change();
            return if passes { Ok(()) } else { Err(self.unknown("author")) };
        };
        let login = &author.login;
        let denied = |reason: String| Err(Refusal::denied(reason, "authors", json!(login)));
        let member = self.member(author);
        let answer = authors.ask(login, self.from(), member);
        let named_actor = || self.rule.who.ask(login, self.from(), None) == Answer::Named;
        match answer {
            Answer::Named => return Ok(()),
            Answer::Barred => return denied(format!("authors: {login} is barred")),
            Answer::Stranger => return denied(format!("authors: {login} is not in the list")),
            Answer::IfMember if member != Some(true) => {
                return denied(format!("authors: {login} is not known as a member"));
            }
            Answer::IfMember | Answer::Anyone => {}
        }
        if self.of_change() && bot(author) && !self.rule.allows(Allowance::Bots) && !named_actor() {
            return denied(format!("bot: the author {login} is a bot; add \"bots\" to allow or name it in authors"));
        }
        Ok(())
    }

    /// Whether a person belongs to the team; `None` when nobody tells.
    ///
    /// GitHub gives the relation of whoever wrote a text, not of who labels or assigns; but those acts need the triage
    /// role (GitHub docs, "Repository roles for an organization"), except that a stranger's own new issue may get the
    /// labels of its template in the stranger's name. GitLab gives no relation at all.
    fn member(&self, person: &Person) -> Option<bool> {
        let own = self.event.author.as_ref().filter(|author| same_login(&author.login, &person.login));
        let relation = person.association.as_deref().or_else(|| own?.association.as_deref());
        match (self.occasion.source_kind, relation) {
            (SourceKind::Jira, Some(account)) => Some(account == "atlassian"),
            (_, Some("OWNER" | "MEMBER" | "COLLABORATOR")) => Some(true),
            _ if self.event.repo_private == Some(true) => Some(true),
            (_, Some(_)) => Some(false),
            (SourceKind::Github, None) if own.is_none() && self.event.author.is_some() && triaged(self.event.kind) => {
                Some(true)
            }
            _ => None,
        }
    }
}

/// Events that no person's act stands for, or whose act needs write access.
fn machine(kind: Option<Kind>) -> bool {
    kind.is_some_and(|kind| {
        kind.is_ci()
            || matches!(
                kind,
                Kind::Push | Kind::TagPushed | Kind::DeploymentFailed | Kind::AlertOpened | Kind::RepoCreated
            )
    })
}

fn triaged(kind: Option<Kind>) -> bool {
    matches!(kind, Some(Kind::ChangeLabeled | Kind::IssueLabeled | Kind::IssueAssigned | Kind::ChangeMerged))
}

/// Whether an account is a bot, by the host's word or by its name.
pub(super) fn bot(person: &Person) -> bool {
    person.bot.unwrap_or_else(|| person.login.to_lowercase().ends_with("[bot]"))
}

fn not_allowed(what: &str, word: Allowance) -> String {
    format!("{what}; \"{}\" is not in allow", word.as_str())
}
