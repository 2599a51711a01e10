//! The keys of a rules file: the types that read it and from which its JSON schema is made.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use super::read::{At, Read, Reader, table, words};

/// Keys of the language that a rule cannot use yet, with the value that each counts as.
const LATER: &[(&str, &str)] = &[
    ("owner", "\"\""),
    ("use", "\"\""),
    ("one_of", "\"\""),
    ("checks", "[\"**\"]"),
    ("settle_max", "\"30m\""),
    ("limits", "{ attempts = 3 }"),
    ("approval", "\"never\""),
    ("hours", "\"always\""),
    ("priority", "\"normal\""),
    ("action", "\"run\""),
    ("then", "[\"start\"]"),
    ("on_stale", "\"leave\""),
    ("follow_up", "\"\""),
];

const NONE_LATER: &[(&str, &str)] = &[];

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
    struct RulesFile("a rules file", later NONE_LATER) {
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
    struct RuleKeys("a rule", later LATER) {
        /// Its name, unique over all files.
        name: String,
        /// "live"; "shadow": decides and records, can never send; "off".
        mode: Mode,
        /// What happened: kinds such as "ci.failed", or the host's own names such as "github:push".
        on: Vec<At<String>>,
        /// The new value: the label added, the status moved to, the assignee, the review state. Empty: any.
        to: Vec<At<String>>,
        /// For comment.created: words at the start of a line, not quoted; what follows is event.comment.args.
        command: Vec<At<String>>,
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
        /// How long it must be quiet before the job is sent, e.g. "60s".
        settle: String,
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
    }
}

table! {
    /// A test of the rules.
    #[schemars(extend("required" = ["name", "delivery", "expect"]))]
    struct TestKeys("a test", later NONE_LATER) {
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
    struct ExpectKeys("what a test expects", later NONE_LATER) {
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
    /// Fills what the rule does not say from the defaults. A prompt of the rule's own replaces either form.
    pub(super) fn over(self, defaults: &Self) -> Self {
        macro_rules! fill {
            ($($key:ident)*) => { Self { $($key: self.$key.or_else(|| defaults.$key.clone()),)* ..self } };
        }
        let own_prompt = self.prompt.is_some() || self.prompt_file.is_some();
        let mut filled = fill!(mode on to command repos projects branches base labels who authors allow when per settle repo model agent_type);
        if !own_prompt {
            filled.prompt.clone_from(&defaults.prompt);
            filled.prompt_file.clone_from(&defaults.prompt_file);
        }
        filled
    }
}
