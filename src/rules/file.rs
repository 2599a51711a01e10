//! The keys of a rules file: the types that read it and from which its JSON schema is made.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use super::read::{At, Read, Reader, Texts, table, words};

words! {
    /// Whether a rule acts.
    pub enum Mode {
        /// It acts.
        Live = "live",
        /// It decides and records, and can never send.
        Shadow = "shadow",
        /// It is not asked.
        Off = "off",
    }
}

words! {
    /// What starts nothing unless a rule allows it.
    pub(super) enum Allowance {
        /// Changes that are drafts.
        Drafts = "drafts",
        /// Changes whose head is in another repository.
        Forks = "forks",
        /// Acts and changes of bots.
        Bots = "bots",
        /// Acts and changes of our own agent.
        Agent = "agent",
    }
}

words! {
    /// How soon a job is sent.
    pub(super) enum Haste {
        /// Before all others that nobody waits for.
        Urgent = "urgent",
        /// The usual.
        Normal = "normal",
        /// When nothing else is to be done.
        Background = "background",
    }
}

words! {
    /// What a rule may ask of the service.
    pub(super) enum Deed {
        /// A run.
        Run = "run",
        /// Set-up commands for the repository.
        SetupCommands = "setup_commands",
        /// Codegen leaves the change alone until it is unbanned.
        Ban = "ban",
    }
}

words! {
    /// What a job may do with its prompt.
    pub(super) enum Way {
        /// Tell the run that worked on the same subject.
        Resume = "resume",
        /// Start a run.
        Start = "start",
        /// Hold the job for a person.
        Hold = "hold",
    }
}

words! {
    /// What is done about a run whose work became stale.
    pub(super) enum Stale {
        /// Nothing.
        Leave = "leave",
        /// The run is told.
        Tell = "tell",
        /// The change is banned, which stops its agents.
        Ban = "ban",
    }
}

words! {
    /// The agents that the service offers.
    pub(super) enum AgentType {
        /// Codegen's own.
        Codegen = "codegen",
        /// Claude Code.
        ClaudeCode = "claude_code",
    }
}

table! {
    /// A rules file of hookrun.
    #[schemars(title = "hookrun rules")]
    struct RulesFile("a rules file") {
        /// Keys that every rule of all files begins with; a rule's own key replaces it. One file may have it.
        defaults: RuleKeys,
        /// Names for lists: "@payments" in repos, "@pay-devs" in who and authors.
        groups: BTreeMap<String, At<Vec<At<String>>>>,
        /// Look-ups for templates: `{{ maps.component[event.issue.components | first] }}`.
        maps: BTreeMap<String, At<BTreeMap<String, At<String>>>>,
        /// The rules.
        rule: Vec<At<RuleKeys>>,
        /// What the rules are expected to say to recorded deliveries.
        test: Vec<At<TestKeys>>,
    }
}

table! {
    /// One rule: when something happened (`on`), where, and by whom, an agent is started with a prompt.
    struct RuleKeys("a rule") {
        /// Its name, unique over all files.
        name: String,
        /// Who answers for it, e.g. "payments".
        owner: String,
        /// The shipped rule that it begins with, e.g. "fix-failed-checks"; its own keys replace that one's.
        r#use: String,
        /// "live"; "shadow": decides and records, can never send; "off".
        mode: Mode,
        /// A word, e.g. "ci": of the rules with this word only the first that matches an event acts.
        one_of: String,
        /// What happened: kinds such as "ci.failed", or the host's own names such as "github:push".
        on: Vec<At<String>>,
        /// The new value: the label added, the status moved to, the assignee, the review state. Empty: any.
        to: Vec<At<String>>,
        /// For comment.created: words at the start of a line, not quoted; what follows is event.comment.args.
        command: Vec<At<String>>,
        /// For ci.*: at least one failed check has such a name; what "!x" bars never counts.
        checks: Vec<At<String>>,
        /// Repositories; ["**"] means all, said on purpose. `*` stops at "/", `**` does not, "!x" bars.
        repos: Vec<At<String>>,
        /// Projects of a tracker, e.g. "OPS".
        projects: Vec<At<String>>,
        /// The branch that the commit is on.
        branches: Vec<At<String>>,
        /// The branch that the change is to be merged into; when given, only changes match.
        base: Vec<At<String>>,
        /// Labels that it has now: one of these; "!x" must not be there. Case is ignored.
        labels: Vec<At<String>>,
        /// Whose act: "members", "anyone", logins, "@group", "!x". Machine events pass as members.
        who: Vec<At<String>>,
        /// Who opened the change or issue; naming a bot here lets it in.
        authors: Vec<At<String>>,
        /// What else may start it: "drafts", "forks", "bots", "agent" (our own agent's acts and changes).
        allow: Vec<At<Allowance>>,
        /// An expression for what no key says, e.g. "event.issue.priority == 'High'".
        when: String,
        /// One job for all events of a: "commit", "subject", "branch", "event", or a template.
        per: String,
        /// How long it must be quiet before the job is sent, e.g. "60s"; "checks": until every check of the commit has ended.
        settle: String,
        /// After how long it is sent whatever still comes.
        settle_max: String,
        /// How often and how much.
        limits: LimitKeys,
        /// Whether a person must agree before anything is sent.
        approval: ApprovalKey,
        /// When jobs may be sent, e.g. "Mon-Fri 07:00-19:00"; "always".
        hours: String,
        /// How soon a job is sent when several could be.
        priority: Haste,
        /// What is asked of the service.
        action: Deed,
        /// What a job does, in this order of preference.
        then: Vec<At<Way>>,
        /// What is done about a run whose head has moved or whose change was closed.
        on_stale: Stale,
        /// The repository to work in, a template; `repos` must allow it.
        repo: String,
        /// The model, a template; empty: Codegen's own choice.
        model: String,
        /// The agent.
        agent_type: AgentType,
        /// What the agent is told, a template.
        prompt: String,
        /// The same from a file in the rules' folder.
        prompt_file: String,
        /// What a run is told instead when it is resumed, a template; empty: the prompt.
        follow_up: String,
    }
}

table! {
    /// How often and how much: rates such as "10/day" (hour, day, week), caps such as "1 running", one or a list of them.
    struct LimitKeys("limits") {
        /// How many different commits of one subject may be acted upon, over all rules.
        attempts: u32,
        /// For one subject.
        subject: Texts,
        /// For the rule.
        rule: Texts,
        /// For one repository.
        repo: Texts,
        /// For one person who asked.
        person: Texts,
    }
}

table! {
    /// When a person must agree: above a rate, for the first so many runs, or, with a wait alone, always.
    struct ApprovalKeys("approval") {
        /// When the rule has started so many runs in this time already, e.g. "20/day".
        above: String,
        /// For the first so many runs of the rule.
        first: u32,
        /// For how long a job waits for a person, e.g. "24h"; then the answer is no.
        wait: String,
    }
}

words! {
    /// Whether a person must agree, in a word.
    pub(super) enum ApprovalWord {
        /// Nobody is asked.
        Never = "never",
        /// Every time.
        Always = "always",
    }
}

/// Whether a person must agree.
#[derive(Clone, Debug, schemars::JsonSchema)]
#[schemars(untagged)]
pub(super) enum ApprovalKey {
    /// In a word.
    Word(ApprovalWord),
    /// Sometimes, or for a limited time.
    Keys(ApprovalKeys),
}

impl Read for ApprovalKey {
    fn read(name: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(_) => ApprovalWord::read(name, value, reader).map(Self::Word),
            DeValue::Table(_) => ApprovalKeys::read(name, value, reader).map(Self::Keys),
            _ => {
                reader.mistyped(name, value, "text or a table");
                None
            }
        }
    }
}

table! {
    /// A test of the rules.
    #[schemars(extend("required" = ["name", "delivery", "expect"]))]
    struct TestKeys("a test") {
        /// What it shows.
        name: String,
        /// Deliveries that came before, files in the rules' folder.
        given: Vec<At<String>>,
        /// The delivery, a file in the rules' folder.
        delivery: String,
        /// What is to come of it.
        expect: ExpectKeys,
    }
}

words! {
    /// What a test expects a rule to say.
    pub(super) enum Decision {
        /// It makes a job.
        Queued = "queued",
        /// The event joins a job that waits.
        Joined = "joined",
        /// The rule has claimed the happening before.
        Duplicate = "duplicate",
        /// It comes after the one run of its key was sent.
        Late = "late",
        /// It is in shadow mode and would make one.
        Shadow = "shadow",
        /// A gate says no.
        Denied = "denied",
        /// A condition does not hold.
        NoMatch = "no_match",
        /// Its templates fail.
        Failed = "failed",
    }
}

table! {
    /// What is to come of a test's delivery.
    #[schemars(extend("required" = ["decision"]))]
    struct ExpectKeys("what a test expects") {
        /// The rule; may be left out when only one says anything.
        rule: String,
        /// Its decision.
        decision: Decision,
        /// A part of its reason.
        reason: String,
        /// The key of the job.
        key: String,
        /// The repository to work in.
        repo: String,
        /// Parts of the prompt.
        prompt: Vec<At<String>>,
    }
}

/// The JSON schema of a rules file, for editors: name it in the file's first line (`#:schema rules.schema.json`).
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(RulesFile).to_value()
}

impl RuleKeys {
    /// Fills what the rule does not say from `base`: the shipped rule that it uses, then the defaults. Tables are filled key
    /// by key. A prompt of the rule's own replaces either form.
    pub(super) fn over(self, base: &Self) -> Self {
        macro_rules! fill {
            ($($key:ident)*) => { Self { $($key: self.$key.or_else(|| base.$key.clone()),)* ..self } };
        }
        let own_prompt = self.prompt.is_some() || self.prompt_file.is_some();
        let (own_limits, own_approval) = (self.limits.clone(), self.approval.clone());
        let mut filled = fill!(
            owner mode one_of on to command checks repos projects branches base labels who authors allow when per settle
            settle_max limits approval hours priority action then on_stale repo model agent_type follow_up
        );
        if let (Some(own), Some(base)) = (own_limits, &base.limits) {
            filled.limits = Some(own.put(own.value.clone().over(&base.value)));
        }
        if let (Some(own), Some(base)) = (own_approval, &base.approval) {
            filled.approval = Some(own.put(own.value.clone().over(&base.value)));
        }
        if !own_prompt {
            filled.prompt.clone_from(&base.prompt);
            filled.prompt_file.clone_from(&base.prompt_file);
        }
        filled
    }
}

impl ApprovalKey {
    /// A word stands for itself.
    fn over(self, base: &Self) -> Self {
        match (self, base) {
            (Self::Keys(own), Self::Keys(base)) => Self::Keys(own.over(base)),
            (own, _) => own,
        }
    }
}

impl ApprovalKeys {
    /// Either condition replaces either.
    fn over(mut self, base: &Self) -> Self {
        if self.above.is_none() && self.first.is_none() {
            self.above.clone_from(&base.above);
            self.first.clone_from(&base.first);
        }
        self.wait = self.wait.or_else(|| base.wait.clone());
        self
    }
}

impl LimitKeys {
    fn over(self, base: &Self) -> Self {
        macro_rules! fill {
            ($($key:ident)*) => { Self { $($key: self.$key.or_else(|| base.$key.clone()),)* ..self } };
        }
        fill!(attempts subject rule repo person)
    }
}
