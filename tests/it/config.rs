//! Settings: layers, problems with their places, secrets.

use std::path::PathBuf;
use std::time::Duration;

use hookrun::config::{Input, Overrides, Settings};
use hookrun::model::access::Role;
use hookrun::model::limits::RateLimit;
use hookrun::model::policy::{Bound, FileTerms};
use hookrun::model::problem::Problem;
use secrecy::ExposeSecret;
use tempfile::TempDir;

const MINIMAL: &str = "[codegen]\norg_id = 7\ntoken = \"a-token\"\n[sources.github]\nkind = \"github\"\nsecrets = [\"0123456789abcdef\"]\n";
pub(crate) const LONG: &str = "0123456789abcdef";

pub(crate) type Loaded = Result<(Settings, Vec<Problem>), Vec<Problem>>;

pub(crate) struct Case {
    folder: TempDir,
    input: Input,
}

impl Case {
    pub(crate) fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookrun.toml");
        std::fs::write(&file, text).unwrap();
        Self { input: Input { file: Some(file), ..Input::default() }, folder }
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.input.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn flag(mut self, flag: &'static str, key: &'static str, value: &str) -> Self {
        self.input.flags = self.input.flags.with(flag, key, Some(value.to_owned()));
        self
    }

    pub(crate) fn load(self) -> Loaded {
        Settings::load(self.input)
    }

    pub(crate) fn settings(self) -> Settings {
        self.load().unwrap_or_else(|problems| panic!("{}", drawn(&problems))).0
    }

    /// All problems as they are drawn, the folder of the file left out.
    fn problems(self) -> String {
        let folder = format!("{}/", self.folder.path().display());
        drawn(&self.load().expect_err("problems")).replace(&folder, "")
    }

    fn warnings(self) -> String {
        let folder = format!("{}/", self.folder.path().display());
        drawn(&self.load().unwrap().1).replace(&folder, "")
    }
}

pub(crate) fn drawn(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// `MINIMAL` with `text` behind it.
fn with(text: &str) -> Case {
    Case::new(&format!("{MINIMAL}{text}"))
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = with("[webhooks]\nlisten = \"127.0.0.1:1\"\n");
    assert_eq!(with("").settings().webhooks.listen.port(), 8080);
    assert_eq!(file.settings().webhooks.listen.port(), 1);
    let file = || with("[webhooks]\nlisten = \"127.0.0.1:1\"\nmax_body = \"1MiB\"\n");
    let env = file().env("HOOKRUN_WEBHOOKS__LISTEN", "127.0.0.1:2");
    assert_eq!(env.settings().webhooks.listen.port(), 2);
    let flag = file().env("HOOKRUN_WEBHOOKS__LISTEN", "127.0.0.1:2").flag("--listen", "webhooks.listen", "127.0.0.1:3");
    let settings = flag.settings();
    assert_eq!((settings.webhooks.listen.port(), settings.webhooks.max_body), (3, 1 << 20));
}

#[test]
fn without_a_file_the_environment_is_enough() {
    let env = [("HOOKRUN_CODEGEN__ORG_ID", "7"), ("HOOKRUN_CODEGEN__TOKEN", "12345"), ("PATH", "/bin")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let (settings, warnings) = Settings::load(Input { env, ..Input::default() }).unwrap();
    assert_eq!(settings.codegen.org_id, 7);
    assert_eq!(settings.codegen.token.expose_secret(), "12345");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].message, "there are no `sources`, so that every webhook is refused");
}

#[test]
fn secrets_from_the_environment_stay_text() {
    for secret in [
        "12345678901234567890",
        "[1,2,3,4,5,6,7,8,9]",
        "{a=1,b=2,c=3,d=4}",
        "true            ",
        "\"quoted-quoted-quoted\"",
    ] {
        let settings = with("")
            .env("HOOKRUN_SOURCES__GITHUB__SECRETS", secret)
            .env("HOOKRUN_ADMIN__TOKENS", secret)
            .env("HOOKRUN_SOURCES__JIRA_AUTOMATION__KIND", "jira")
            .env("HOOKRUN_SOURCES__JIRA_AUTOMATION__HEADER_SECRET__NAME", "X-Token")
            .env("HOOKRUN_SOURCES__JIRA_AUTOMATION__HEADER_SECRET__SECRET", secret)
            .env("HOOKRUN_SOURCES__JIRA_AUTOMATION__EVENT", "issue.transitioned")
            .settings();
        let source = &settings.sources["github"].secrets;
        assert_eq!(source.len(), 1);
        assert_eq!((source[0].label.as_str(), source[0].secret.expose_secret()), ("secret-1", secret));
        assert_eq!(settings.admin.tokens[0].secret.expose_secret(), secret);
        assert_eq!(settings.admin.tokens[0].role, Role::Operator);
        let header = settings.sources["jira-automation"].header_secret.as_ref().unwrap();
        assert_eq!((header.name.as_str(), header.secret.expose_secret()), ("x-token", secret));
    }
}

#[test]
fn other_texts_of_the_environment_become_what_is_wanted() {
    let settings = with("")
        .env("HOOKRUN_CODEGEN__ORG_ID", "42")
        .env("HOOKRUN_CODEGEN__REQUIRE_REPO", "true")
        .env("HOOKRUN_CODEGEN__LIMITS__CREATE", "3/10s")
        .env("HOOKRUN_SOURCES__GITHUB__REPOS", "[\"acme/a\", \"acme/b\"]")
        .env("HOOKRUN_ADMIN__HOSTS", "Hooks.Acme.Example")
        .env("HOOKRUN_RULES__PATH", "2024")
        .settings();
    assert_eq!((settings.codegen.org_id, settings.codegen.require_repo), (42, true));
    assert_eq!(settings.codegen.limits.create, RateLimit::new(3, 10));
    assert_eq!(settings.sources["github"].repos, ["acme/a", "acme/b"]);
    assert_eq!(settings.admin.hosts, ["hooks.acme.example"]);
    assert_eq!(settings.rules.path, PathBuf::from("2024"));
}

#[test]
fn a_secret_of_the_environment_replaces_the_file_of_the_file() {
    let text = MINIMAL.replace("token = \"a-token\"", "token_file = \"/nowhere\"");
    let settings = Case::new(&text).env("HOOKRUN_CODEGEN__TOKEN", "from-env").settings();
    assert_eq!(settings.codegen.token.expose_secret(), "from-env");
}

#[test]
fn secrets_are_read_from_files_without_their_line_break() {
    let case = Case::new("");
    let path = case.folder.path().join("secret");
    std::fs::write(&path, format!("{LONG} \r\n")).unwrap();
    let text = format!("[admin]\ntokens = [{{ name = \"eve\", role = \"viewer\", secret_file = {path:?} }}]\n");
    let settings = with(&text).settings();
    assert_eq!(settings.admin.tokens[0].secret.expose_secret(), format!("{LONG} "));
    assert_eq!((settings.admin.tokens[0].name.as_str(), settings.admin.tokens[0].role), ("eve", Role::Viewer));
}

#[test]
fn all_problems_come_at_once_with_line_and_caret() {
    let text = "[webhooks]
lisen = \"127.0.0.1:8080\"
max_body = \"25 parsecs\"
[admin]
tokens = [{ name = \"ops\", role = \"oprator\", secret = \"0123456789abcdef\" }]
[codegen]
org_id = \"seven\"
token = \"a-token\"
limits = [\"10/60s\"]
[sources.github]
kind = \"github\"
secrets = [\"short\", 1234567890123456, \"\"]
";
    assert_eq!(
        Case::new(text).problems(),
        "error: `webhooks.lisen` is no setting
 --> hookrun.toml:2:1
  |
2 | lisen = \"**************\"
  | ^^^^^
  = help: did you mean `listen`?

error: `webhooks.max_body`: \"25 parsecs\" is no size; write it as \"64KiB\" or \"25MiB\"
 --> hookrun.toml:3:12
  |
3 | max_body = \"25 parsecs\"
  |            ^^^^^^^^^^^^

error: `admin.tokens[0].role` cannot be \"oprator\"
 --> hookrun.toml:5:34
  |
5 | tokens = [{ name = \"ops\", role = \"oprator\", secret = \"****************\" }]
  |                                  ^^^^^^^^^
  = help: did you mean `operator`?

error: `codegen.org_id` must be a whole number, but is text
 --> hookrun.toml:7:10
  |
7 | org_id = \"seven\"
  |          ^^^^^^^

error: `codegen.limits` must be a table, but is a list
 --> hookrun.toml:9:1
  |
9 | limits = [\"10/60s\"]
  | ^^^^^^

error: `sources.github.secrets[0]` is shorter than 16 bytes
  --> hookrun.toml:12:12
   |
12 | secrets = [\"*****\", ****************, \"\"]
   |            ^^^^^^^
  = help: make one with: openssl rand -hex 32

error: `sources.github.secrets[1]` must be text or a table, but is a number
  --> hookrun.toml:12:21
   |
12 | secrets = [\"*****\", ****************, \"\"]
   |                     ^^^^^^^^^^^^^^^^

error: `sources.github.secrets[2]` is empty
  --> hookrun.toml:12:39
   |
12 | secrets = [\"*****\", ****************, \"\"]
   |                                       ^^
  = help: make one with: openssl rand -hex 32
"
    );
}

#[test]
fn what_is_missing_is_named_with_its_variable() {
    assert_eq!(
        Case::new("[codegen]\nheadroom = 0\n[sources.github]\nkind = \"github\"\n").problems(),
        "error: `codegen.org_id` is missing
 --> hookrun.toml:1:2
  |
1 | [codegen]
  |  ^^^^^^^
  = help: it is the number in the URL of your organisation's settings

error: `codegen.token` is missing
 --> hookrun.toml:1:2
  |
1 | [codegen]
  |  ^^^^^^^
  = help: set it here, or `token_file`, or HOOKRUN_CODEGEN__TOKEN

error: `sources.github` has no secret, so that anybody could send in its name
 --> hookrun.toml:3:10
  |
3 | [sources.github]
  |          ^^^^^^
  = help: set `secrets`, or HOOKRUN_SOURCES__GITHUB__SECRETS
"
    );
}

#[test]
fn problems_of_variables_and_flags_name_them_and_no_value() {
    assert_eq!(
        with("")
            .env("HOOKRUN_WEBHOKS__LISTEN", "x")
            .env("HOOKRUN_CODEGEN__ORG_IDD", "5")
            .env("HOOKRUN_SOURCES__GITHUB__SECRETS", "hunter2")
            .env("HOOKRUN_CODEGEN__HEADROOM", "-1")
            .flag("--log-format", "log.format", "xml")
            .problems(),
        "error: `codegen.headroom` must be a whole number from 0, or a table of them by class, but is a number
  --> HOOKRUN_CODEGEN__HEADROOM

error: `codegen.org_idd` is no setting
  --> HOOKRUN_CODEGEN__ORG_IDD
  = help: did you mean HOOKRUN_CODEGEN__ORG_ID?

error: `log.format` cannot be \"xml\"
  --> --log-format
  = help: there is text, json

error: `webhoks` is no setting
  --> HOOKRUN_WEBHOKS__LISTEN
  = help: did you mean HOOKRUN_WEBHOOKS__LISTEN?

error: `sources.github.secrets[0]` is shorter than 16 bytes
  --> HOOKRUN_SOURCES__GITHUB__SECRETS
  = help: make one with: openssl rand -hex 32
"
    );
}

#[test]
fn a_variable_with_one_underscore_is_warned_of() {
    assert_eq!(
        with("").env("HOOKRUN_CODEGEN_TOKEN", LONG).env("HOOKRUN_CONFIG", "x").env("HOOKRUN_PORT", "y").warnings(),
        "warning: this variable looks like a setting, but is none, and is not used
  --> HOOKRUN_CODEGEN_TOKEN
  = help: did you mean HOOKRUN_CODEGEN__TOKEN, with two underscores?
"
    );
}

#[test]
fn a_file_that_is_no_toml_shows_no_secret() {
    let drawn = Case::new("[codegen]\ntoken = \"hunter2-hunter2\n[sources.github]\nsecrets = [\n  \"hunter2\",\n  hunter2\n]\nmax_body = 25MB\n").problems();
    assert!(!drawn.contains("hunter2"), "{drawn}");
    assert!(drawn.contains("hookrun.toml:2:"), "{drawn}");
    assert!(drawn.contains("8 | max_body = 25MB\n"), "{drawn}");
    assert_eq!(
        Case {
            folder: tempfile::tempdir().unwrap(),
            input: Input { file: Some("/no/such.toml".into()), ..Input::default() }
        }
        .problems(),
        "error: the settings cannot be read: No such file or directory (os error 2)
  --> /no/such.toml
  = help: give its path with --config
"
    );
}

#[test]
fn whatever_is_forgotten_in_a_file_that_is_no_toml_no_secret_is_shown() {
    for text in [
        "[codegen]\norg_id = 7\ntoken: \"hunter2\"\n",
        "[codegen]\norg_id = 7\nhunter2\n",
        "[codegen]\norg_id = 7 tokn = \"hunter2\"\n",
        "[codegen] tokn = hunter2\n",
        "[sources.github]\nkind = \"github\"\nsecrets: [\"hunter2\"]\n",
        "[sources.github]\nkind = \"github\"\nsecrets =\n[hunter2]\n",
        "[sources.gitlab]\nsigning_tokens = [\n  \"whsec_hunter2Q=\"\n  \"whsec_hunter2Q=\",\n]\n",
        "[sources.gitlab]\nsigning_tokens = [\n  \"whsec_hunter2Q==,\n  \"whsec_hunter2Q==\",\n]\n",
        "[sources.gitlab]\nsigning_tokens = [\n  whsec_hunter2Q=,\n]\n",
        "hunter2 = \n",
    ] {
        let drawn = Case::new(text).problems();
        assert!(drawn.contains("hookrun.toml:"), "{drawn}");
        assert!(!drawn.contains("hunter2"), "{text}{drawn}");
    }
    let drawn = Case::new("[codegen]\norg_id = 7x\n  token  = hunter2\n[sources.github\n").problems();
    for shown in ["2 | org_id = 7x\n", "3 |   token  = *******\n", "4 | [sources.github\n"] {
        assert!(drawn.contains(shown), "{drawn}");
    }
}

#[test]
fn a_number_that_no_setting_can_hold_is_told_and_the_rest_of_the_file_is_not_forgotten() {
    let text = MINIMAL.replace("org_id = 7", "org_id = 7\nheadroom = 99999999999999999999");
    assert_eq!(
        Case::new(&text).problems(),
        "error: the number is too large for any setting
 --> hookrun.toml:3:12
  |
3 | headroom = 99999999999999999999
  |            ^^^^^^^^^^^^^^^^^^^^
"
    );
    let secret = MINIMAL.replace("[\"0123456789abcdef\"]", "[99999999999999999999]");
    let drawn = Case::new(&secret).problems();
    assert!(drawn.contains("hookrun.toml:6:12") && !drawn.contains("999"), "{drawn}");
}

/// The only message that `text` causes behind `MINIMAL`.
fn only(text: &str) -> String {
    let problems = match with(text).load() {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    let messages: Vec<_> = problems.iter().map(|problem| problem.message.clone()).collect();
    assert_eq!(messages.len(), 1, "{text}: {messages:?}");
    messages[0].clone()
}

#[test]
fn each_rule_of_the_sections_holds() {
    for (text, message) in [
        ("[database]\nurl = \"mysql://u:p@h/d\"", "`database.url` must begin with \"sqlite:\" or \"postgres://\""),
        (
            "[admin]\nlisten = \"0.0.0.0:1\"\nhosts = [\"a\"]",
            "`admin.listen` is open to the network, and there are no `admin.tokens`",
        ),
        (
            "[admin]\nlisten = \"[::]:1\"\ntokens = [\"0123456789abcdef\"]",
            "`admin.listen` is open to the network, but `admin.hosts` names no host, so that only requests to a loopback address are answered",
        ),
        (
            "[admin]\nhosts = [\"https://a\"]",
            "`admin.hosts[0]`: \"https://a\" is no host name; write it without scheme and port",
        ),
        ("[admin]\ntokens = [{ name = \"a\", role = \"viewer\" }]", "`admin.tokens[0].secret` is missing"),
        (
            "[admin]\ntokens = [\"0123456789abcdef\", \"0123456789abcdef\"]",
            "`admin.tokens[1]`: another token is called \"operator\" already",
        ),
        (
            "[limits]\nall = [\"0/day\"]",
            "`limits.all[0]`: \"0/day\" would let nothing through; a rule is stopped by mode = \"off\"",
        ),
        ("[rules.files.\"a/b.toml\"]", "`rules.files.\"a/b.toml\"` names a file by its folder"),
        ("[rules.files.\"b.toml\"]\nrepos = []", "`rules.files.\"b.toml\".repos` lets no rule of the file act"),
        (
            "[webhooks]\nmax_in_flight = \"1MiB\"",
            "`webhooks.max_in_flight` is less than one body of `webhooks.max_body` needs",
        ),
        (
            "[log]\nlevel = \"loud=very\"",
            "`log.level`: \"loud=very\" is no log level; write \"info\" or \"info,hookrun::worker=debug\"",
        ),
        (
            "[retention]\nbodies = \"0s\"",
            "`retention.bodies`: it must be longer than nothing; write it as \"60s\" or \"14d\"",
        ),
        (
            "[sources.Git_Hub]\nkind = \"github\"\nsecrets = [\"0123456789abcdef\"]",
            "\"Git_Hub\" cannot be the name of a source",
        ),
        (
            "[sources.a]\nkind = \"github\"\nsecrets = [\"0123456789abcdef\"]\ntokens = [\"0123456789abcdef\"]",
            "`sources.a.tokens` does not fit a source of kind github",
        ),
        (
            "[sources.a]\nkind = \"gitlab\"\nsigning_tokens = [\"whsec_c2hvcnQ=\"]",
            "`sources.a.signing_tokens[0]` is no signing token: whsec_ and the base64 of 24 to 64 bytes",
        ),
        (
            "[sources.a]\nkind = \"gitlab\"\ntokens = [\"0123456789abcdef\"]\nallow_token_fallback = true",
            "`sources.a.allow_token_fallback` needs both `signing_tokens` and `tokens`",
        ),
        (
            "[sources.a]\nkind = \"jira\"\nheader_secret = { name = \"X\", secret = \"0123456789abcdef\" }",
            "`sources.a.event` is missing",
        ),
        (
            "[sources.a]\nkind = \"jira\"\nevent = \"issue.transition\"\nheader_secret = { name = \"X\", secret = \"0123456789abcdef\" }",
            "`sources.a.event`: \"issue.transition\" is no kind of event",
        ),
        (
            "[sources.a]\nkind = \"jira\"\nevent = \"issue.opened\"\nsecrets = [\"0123456789abcdef\"]",
            "`sources.a.event` is only for senders that cannot sign; a signed body says itself what happened",
        ),
        (
            "[sources.a]\nkind = \"jira\"\ninsecure_unsigned = true",
            "`sources.a.insecure_unsigned` would let anybody on the network start runs",
        ),
        (
            "[sources.a]\nkind = \"jira\"\ninsecure_unsigned = true\n[webhooks]\nlisten = \"127.0.0.1:1\"",
            "`sources.a.insecure_unsigned`: whoever reaches this address can start runs",
        ),
        ("[sources.a]\nsecrets = [\"0123456789abcdef\"]", "`sources.a.kind` is missing"),
        ("[sources.a]\nkind = 0\nsecrets = [\"0123456789abcdef\"]", "`sources.a.kind` must be text, but is a number"),
        (
            "[sources.a]\nkind = \"github\"\nrepos = [\"a[\"]\nsecrets = [\"0123456789abcdef\"]",
            "`sources.a.repos[0]`: \"a[\" is no glob: unclosed character class; missing ']'",
        ),
        (
            "[codegen.repos]\n\"gitlap:a/b\" = \"a/b\"",
            "\"gitlap\" in `codegen.repos.\"gitlap:a/b\"` is neither a source nor a kind of host",
        ),
        (
            "[codegen.repos]\n\"gitlab:a/b\" = \"b\"",
            "`codegen.repos.\"gitlab:a/b\"`: \"b\" is no repository; write it as \"acme/widgets\"",
        ),
    ] {
        assert_eq!(only(text), message);
    }
}

#[test]
fn places_that_name_nothing_are_told() {
    let source = |repos: &str| format!("[sources.a]\nkind = \"github\"\nrepos = {repos}\nsecrets = [\"{LONG}\"]");
    let file = |repos: &str| format!("[rules.files.\"b.toml\"]\nrepos = {repos}");
    for (text, message) in [
        (source("[]"), "`sources.a.repos` lets the source speak for nothing"),
        (source("[\"\"]"), "`sources.a.repos[0]`: \"\" is no glob: it names nothing"),
        (source("[7]"), "`sources.a.repos[0]` must be text, but is a number"),
        (file("[\"!github:\"]"), "`rules.files.\"b.toml\".repos[0]`: \"!github:\" is no glob: it names nothing"),
    ] {
        assert_eq!(only(&text), message);
    }
    let many = source("[\"acme/*\", \"!acme/x\", \"github:acme/y\"]");
    assert_eq!(with(&many).settings().sources["a"].repos.len(), 3);
}

#[test]
fn the_service_is_reached_safely() {
    let url = |url: &str, more: &str| {
        Case::new(&MINIMAL.replace("org_id", &format!("base_url = \"{url}\"\n{more}\norg_id"))).load()
    };
    for good in ["https://codegen.example/", "http://127.0.0.1:9", "http://[::1]:9", "http://localhost:9"] {
        let settings = url(good, "").unwrap().0;
        assert_eq!(settings.codegen.base_url, good.trim_end_matches('/'));
    }
    for bad in [
        "http://codegen.example",
        "ftp://codegen.example",
        "https://u:p@codegen.example",
        "https://:p@codegen.example",
        "https://codegen.example/?t=p",
        "codegen",
    ] {
        assert_eq!(url(bad, "").unwrap_err().len(), 1, "{bad}");
    }
    assert!(url("http://codegen.example", "insecure_http = true").is_ok());
    let limits = url("https://codegen.example", "headroom = 2").unwrap().0.codegen.limits;
    assert_eq!((limits.create, limits.logs), (RateLimit::new(8, 60), RateLimit::new(58, 60)));
    assert_eq!(url("https://codegen.example", "headroom = 5").unwrap_err().len(), 1);
    let left = "headroom = { create = 3, standard = 40 }";
    let limits = url("https://codegen.example", left).unwrap().0.codegen.limits;
    assert_eq!((limits.create, limits.standard), (RateLimit::new(7, 60), RateLimit::new(20, 30)));
    assert_eq!((limits.setup_commands, limits.logs), (RateLimit::new(5, 60), RateLimit::new(60, 60)));
    for wrong in
        ["headroom = { standard = 60 }", "headroom = { creates = 1 }", "headroom = { logs = -1 }", "headroom = \"1\""]
    {
        assert_eq!(url("https://codegen.example", wrong).unwrap_err().len(), 1, "{wrong}");
    }
}

#[test]
fn a_password_in_an_address_is_not_shown() {
    for address in
        ["https://ops:hunter2@codegen.example", "https://:hunter2@codegen.example", "https://a.example/?token=hunter2"]
    {
        for more in ["", "tokn = 1\n", "[database\n"] {
            let text = format!("[codegen]\nbase_url = \"{address}\"\norg_id = 7\ntoken = \"a-token\"\n{more}");
            let drawn = Case::new(&text).problems();
            assert!(drawn.contains("error"), "{drawn}");
            assert!(!drawn.contains("hunter2"), "{drawn}");
        }
    }
}

#[test]
fn no_secret_is_shown_in_debug_output() {
    let settings = with("[admin]\ntokens = [\"0123456789abcdef\"]\n[sources.a]\nkind = \"jira\"\nevent = \"issue.opened\"\nheader_secret = { name = \"X\", secret = \"0123456789abcdef\" }\n").settings();
    let shown = format!("{settings:?}");
    assert!(!shown.contains(LONG) && !shown.contains("a-token"), "{shown}");
    assert!(shown.contains("secret-1"), "{shown}");
    let input = Input { flags: Overrides::default(), ..Input::default() };
    assert!(Settings::load(input).is_err());
}

#[test]
fn ceilings_and_the_time_zone_of_rules_are_read() {
    let text = "[limits]\nall = [\"200/day\", \"10 running\"]\n[rules]\ntimezone = \"Europe/Berlin\"\n\
                [rules.files.\"team.toml\"]\nrepos = [\"acme/team-*\"]\nlimits = [\"50/week\", \"3/hour\"]\n\
                [rules.files.\"other.toml\"]\n";
    let settings = with(text).settings();
    let terms = settings.rules.terms;
    let rate = |count, hours| Bound::Rate { count, per: Duration::from_hours(hours) };
    assert_eq!(terms.timezone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(terms.all, [rate(200, 24), Bound::Running(10)]);
    let team = FileTerms { repos: vec!["acme/team-*".to_owned()], limits: vec![rate(50, 7 * 24), rate(3, 1)] };
    assert_eq!(terms.files["team.toml"], team);
    assert_eq!(terms.files["other.toml"], FileTerms { repos: vec!["**".to_owned()], limits: Vec::new() });
    let one = with("").env("HOOKRUN_LIMITS__ALL", "7/day").env("HOOKRUN_RULES__TIMEZONE", "Asia/Tokyo").settings();
    assert_eq!((one.rules.terms.all, one.rules.terms.timezone), (vec![rate(7, 24)], Some("Asia/Tokyo".to_owned())));
}

#[test]
fn everything_wrong_about_ceilings_is_told_at_once() {
    let text = "[limits]\nall = [\"200/day\", \"10 runing\"]\n[rules]\ntimezone = \"Europe/Berln\"\n\
                [rules.files.\"team.toml\"]\nrepos = [\"acme/{\"]\nlimits = [\"50/month\"]\nlimit = []\n";
    let expected = r#"error: `limits.all[1]`: "10 runing" is no limit; write it as "10/hour", "50/day", "200/week" or "2 running"
 --> hookrun.toml:8:19
  |
8 | all = ["200/day", "10 runing"]
  |                   ^^^^^^^^^^^

error: `rules.timezone`: "Europe/Berln" is no time zone
  --> hookrun.toml:10:12
   |
10 | timezone = "Europe/Berln"
   |            ^^^^^^^^^^^^^^
  = help: did you mean "Europe/Berlin"?

error: `rules.files."team.toml".repos[0]`: "acme/{" is no glob: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)
  --> hookrun.toml:12:10
   |
12 | repos = ["acme/{"]
   |          ^^^^^^^^

error: `rules.files."team.toml".limits[0]`: "50/month" is no limit; write it as "10/hour", "50/day", "200/week" or "2 running"
  --> hookrun.toml:13:11
   |
13 | limits = ["50/month"]
   |           ^^^^^^^^^^

error: `rules.files."team.toml".limit` is no setting
  --> hookrun.toml:14:1
   |
14 | limit = []
   | ^^^^^
  = help: did you mean `limits`?
"#;
    assert_eq!(with(text).problems(), expected);
}

#[test]
fn a_run_may_be_said_to_cost_something() {
    let cost = |more: &str| {
        let text = MINIMAL.replace("org_id = 7\n", &format!("org_id = 7\n{more}\n"));
        Case::new(&text).load().map(|(settings, _)| settings.codegen.cost).map_err(|problems| drawn(&problems))
    };
    assert_eq!(cost("").unwrap(), None);
    assert_eq!(cost("cost = 0.8").unwrap().unwrap().of(50), "about 40.00 USD");
    assert_eq!(cost("cost = 2\ncurrency = \"EUR\"").unwrap().unwrap().of(3), "about 6.00 EUR");
    assert!(cost("cost = -0.5").unwrap_err().contains("`codegen.cost` must be 0 or more"));
    assert!(cost("cost = inf").unwrap_err().contains("`codegen.cost` must be 0 or more"));
    assert!(cost("cost = \"much\"").unwrap_err().contains("`codegen.cost` must be a number, but is text"));
}

#[test]
fn limits_are_spelled_as_they_are_read() {
    for text in ["10/hour", "50/day", "200/week", "2 running"] {
        assert_eq!(text.parse::<Bound>().unwrap().to_string(), text);
        assert_eq!(serde_json::to_value(text.parse::<Bound>().unwrap()).unwrap(), text);
    }
    for text in [
        "",
        "10",
        "10/",
        "/day",
        "-1/day",
        "1.5/day",
        "10/days",
        "10/minute",
        "running",
        "two running",
        "9999999999/day",
    ] {
        let wrong = text.parse::<Bound>().unwrap_err();
        assert!(wrong.contains(&format!("\"{text}\" is no limit")), "{wrong}");
    }
    for text in ["0/day", "0 running"] {
        assert!(text.parse::<Bound>().unwrap_err().contains("would let nothing through"));
    }
}
