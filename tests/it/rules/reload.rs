//! Reload: real files in a folder, changed in every way that they are changed out there, and one look after the other.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hookrun::lifecycle::{Ending, Lifecycle};
use hookrun::model::clock::Clock;
use hookrun::model::policy::{FileTerms, Terms};
use hookrun::rules::{Live, Look, Reload, drawn, load};
use hookrun::telemetry::Metrics;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::lifecycle::Log;
use crate::support::{ManualClock, START};

fn rule(name: &str) -> String {
    let limits = "limits = { rule = \"50/day\" }";
    format!("[[rule]]\nname = \"{name}\"\non = [\"push\"]\nrepos = [\"**\"]\nprompt = \"go\"\n{limits}\n")
}

/// Rules in force, and their files.
struct World {
    folder: TempDir,
    live: Arc<Live>,
    clock: Arc<ManualClock>,
    reload: Reload,
}

impl World {
    /// A folder with these files, of which `path` are the rules.
    fn new(path: &str, files: &[(&str, &str)]) -> Self {
        Self::under(path, Terms::default(), |folder| {
            for (name, text) in files {
                fs::write(folder.join(name), text).unwrap();
            }
        })
    }

    fn under(path: &str, terms: Terms, write: impl Fn(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        let path = folder.path().join(path);
        let loaded = load(&path, &terms);
        let clock = ManualClock::new();
        let live = Arc::new(Live::new(loaded.rules.unwrap_or_else(|| panic!("{:?}", loaded.problems)), START));
        let reload = Reload::new(path, terms, live.clone(), clock.clone());
        let mut world = Self { folder, live, clock, reload };
        assert_eq!(world.looks(), Look::Same, "nothing has changed since the start");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn look(&mut self) -> Look {
        self.reload.look()
    }

    /// Looks until the files are at rest.
    fn looks(&mut self) -> Look {
        self.clock.advance(Duration::from_secs(2));
        match self.look() {
            Look::Moving => self.look(),
            look => look,
        }
    }

    fn names(&self) -> Vec<String> {
        self.live.now().rules().map(|rule| rule.name).collect()
    }

    fn hash(&self) -> String {
        self.live.now().hash().to_owned()
    }

    /// What is wrong with the files, the folder left out.
    fn problems(&self) -> String {
        drawn(&self.live.in_force().problems).replace(&format!("{}/", self.folder.path().display()), "")
    }

    /// The rules are still the first, and amber.
    fn stands(&self, expected: &str) {
        assert_eq!(self.names(), ["first"]);
        assert!(self.live.in_force().stale);
        assert!(self.problems().contains(expected), "{}", self.problems());
    }
}

#[test]
fn changed_content_counts_and_says_since_when() {
    let mut world = World::new("rules.toml", &[("rules.toml", &rule("first"))]);
    let before = world.hash();
    world.write("rules.toml", &rule("second"));
    assert_eq!(world.looks(), Look::Taken);
    assert_eq!(world.names(), ["second"]);
    assert_ne!(world.hash(), before);
    assert_eq!(world.live.in_force().loaded_at, world.clock.now());
    assert_eq!(world.looks(), Look::Same);
}

#[test]
fn the_same_content_with_a_new_time_is_no_change() {
    let mut world = World::new("rules.toml", &[("rules.toml", &rule("first"))]);
    world.write("rules.toml", &rule("first"));
    assert_eq!(world.looks(), Look::Same);
    assert_eq!(world.live.in_force().loaded_at, START);
}

#[test]
fn a_config_map_that_is_swapped_by_its_link_counts() {
    let mut world = World::under("mount", Terms::default(), |folder| {
        let mount = folder.join("mount");
        fs::create_dir_all(mount.join("..one")).unwrap();
        fs::write(mount.join("..one/a.toml"), rule("first").replace("prompt = \"go\"", "prompt_file = \"p.md\""))
            .unwrap();
        fs::write(mount.join("..one/p.md"), "go").unwrap();
        symlink("..one", mount.join("..data")).unwrap();
        for name in ["a.toml", "p.md"] {
            symlink(Path::new("..data").join(name), mount.join(name)).unwrap();
        }
    });
    let mount = world.path("mount");
    fs::create_dir(mount.join("..two")).unwrap();
    fs::write(mount.join("..two/a.toml"), rule("second")).unwrap();
    fs::write(mount.join("..two/p.md"), "go").unwrap();
    symlink("..two", mount.join("..new")).unwrap();
    fs::rename(mount.join("..new"), mount.join("..data")).unwrap();
    fs::remove_dir_all(mount.join("..one")).unwrap();
    assert_eq!(world.looks(), Look::Taken);
    assert_eq!(world.names(), ["second"]);
}

#[test]
fn a_mounted_file_that_is_written_in_place_counts_and_never_when_half_written() {
    let mut world = World::new("rules.toml", &[("rules.toml", &rule("first"))]);
    let whole = rule("first") + &rule("second");
    // A file that is written in place is empty first, which would be rules that do nothing.
    for written in ["", &whole[..whole.len() / 3], &whole[..whole.len() - 9], &whole] {
        world.write("rules.toml", written);
        assert_eq!(world.look(), Look::Moving);
        assert_eq!(world.names(), ["first"]);
        assert!(!world.live.in_force().stale);
    }
    assert_eq!(world.look(), Look::Taken);
    assert_eq!(world.names(), ["first", "second"]);
}

#[test]
fn a_change_that_is_taken_back_at_once_was_none() {
    let mut world = World::new("rules.toml", &[("rules.toml", &rule("first"))]);
    world.write("rules.toml", &rule("second"));
    assert_eq!(world.look(), Look::Moving);
    world.write("rules.toml", &rule("first"));
    assert_eq!(world.look(), Look::Same);
    assert_eq!(world.look(), Look::Same);
}

#[test]
fn a_broken_file_leaves_the_rules_in_force_and_shows_its_caret() {
    let mut world = World::new("rules.toml", &[("rules.toml", &rule("first"))]);
    world.write("rules.toml", &rule("first").replace("push", "pushh"));
    assert_eq!(world.looks(), Look::Refused);
    world.stands(" --> rules.toml:3:7\n  |\n3 | on = [\"pushh\"]\n  |       ^^^^^^^\n");
    assert_eq!(world.looks(), Look::Same);
    world.stands("pushh");
    // The old text again: the rules are the same, but it is news that they are in force by right.
    world.write("rules.toml", &rule("first"));
    assert_eq!(world.looks(), Look::Taken);
    let now = world.live.in_force();
    assert_eq!((now.stale, now.problems.len(), now.loaded_at), (false, 0, START));
}

#[test]
fn a_file_of_the_folder_that_cannot_be_looked_at_does_not_go_without_a_word() {
    let mut world = World::under("rules", Terms::default(), |folder| {
        fs::create_dir_all(folder.join("rules/old.toml")).unwrap();
        fs::create_dir(folder.join("mount")).unwrap();
        fs::write(folder.join("mount/team.toml"), rule("first")).unwrap();
        symlink("../mount/team.toml", folder.join("rules/team.toml")).unwrap();
        fs::write(folder.join("rules/more.toml"), "").unwrap();
        symlink("mia@desk.1234:1", folder.join("rules/.#team.toml")).unwrap();
    });
    assert_eq!(world.names(), ["first"], "neither a folder nor the mark of an editor is a file of rules");
    fs::remove_dir_all(world.path("mount")).unwrap();
    assert_eq!(world.looks(), Look::Refused);
    world.stands("team.toml\n");
    world.stands("cannot be read: No such file or directory");
}

#[test]
fn whatever_is_wrong_with_the_files_the_rules_in_force_stay() {
    let mut world = World::new("rules.toml", &[("rules.toml", &rule("first"))]);
    let broken = [
        ("[[rule]\n", "rules.toml:1:"),
        ("[[rule]]\nnmae = \"x\"\n", "did you mean \"name\"?"),
        (&rule("first").replace("prompt = \"go\"", "prompt_file = \"gone.md\""), "\"gone.md\" cannot be read"),
        (&(rule("first") + &rule("first")), "two rules are named \"first\""),
    ];
    for (text, expected) in broken {
        world.write("rules.toml", text);
        assert_eq!(world.looks(), Look::Refused, "{text}");
        world.stands(expected);
    }
    fs::write(world.path("rules.toml"), b"\xff\xfe").unwrap();
    assert_eq!(world.looks(), Look::Refused);
    world.stands("cannot be read: stream did not contain valid UTF-8");
    fs::remove_file(world.path("rules.toml")).unwrap();
    assert_eq!(world.looks(), Look::Refused);
    world.stands("cannot be read: No such file");
    // Nobody ever writes into it: who opens it waits for ever.
    assert!(Command::new("mkfifo").arg(world.path("rules.toml")).status().unwrap().success());
    assert_eq!(world.looks(), Look::Refused);
    world.stands("cannot be read: it is no file");
    fs::remove_file(world.path("rules.toml")).unwrap();
    world.write("rules.toml", &rule("second"));
    assert_eq!(world.looks(), Look::Taken);
    assert_eq!((world.names(), world.live.in_force().stale), (vec!["second".to_owned()], false));
}

#[test]
fn a_file_without_an_end_is_not_read_for_ever() {
    let mut world = World::new("rules.toml", &[("rules.toml", &rule("first"))]);
    fs::File::create(world.path("rules.toml")).unwrap().set_len(100 << 30).unwrap();
    assert_eq!(world.looks(), Look::Refused);
    world.stands("cannot be read: the rules have more than 64 MiB together");
}

#[test]
fn a_prompt_file_alone_changes_the_hash_and_counts() {
    let prompted = rule("first").replace("prompt = \"go\"", "prompt_file = \"p.md\"");
    let files = [("rules.toml", &*prompted), ("p.md", "go {% include \"house.md\" %}"), ("house.md", "now")];
    let mut world = World::new("rules.toml", &files);
    let before = world.hash();
    world.write("p.md", "go on {% include \"house.md\" %}");
    assert_eq!(world.looks(), Look::Taken);
    let after = world.hash();
    assert_ne!(after, before);
    world.write("house.md", "soon");
    assert_eq!(world.looks(), Look::Taken);
    assert_ne!(world.hash(), after);
    fs::remove_file(world.path("house.md")).unwrap();
    assert_eq!(world.looks(), Look::Refused);
    world.stands("\"house.md\" cannot be read");
    world.write("house.md", "soon");
    assert_eq!(world.looks(), Look::Taken);
    assert!(!world.live.in_force().stale);
}

#[test]
fn files_come_and_go_in_a_folder_of_rules() {
    let mut world = World::under("rules", Terms::default(), |folder| {
        fs::create_dir(folder.join("rules")).unwrap();
        fs::write(folder.join("rules/a.toml"), rule("first")).unwrap();
    });
    world.write("rules/b.toml", &rule("second"));
    assert_eq!(world.looks(), Look::Taken);
    assert_eq!(world.names(), ["first", "second"]);
    world.write("rules/notes.txt", "not read");
    assert_eq!(world.looks(), Look::Same);
    fs::remove_file(world.path("rules/b.toml")).unwrap();
    assert_eq!(world.looks(), Look::Taken);
    assert_eq!(world.names(), ["first"]);
    let hash = world.hash();
    // Half of a folder does not count: the good file beside a broken one waits for it.
    world.write("rules/a.toml", &rule("other"));
    world.write("rules/b.toml", "[[rule]\n");
    assert_eq!(world.looks(), Look::Refused);
    assert_eq!((world.names(), world.hash()), (vec!["first".to_owned()], hash));
    fs::rename(world.path("rules"), world.path("elsewhere")).unwrap();
    assert_eq!(world.looks(), Look::Refused);
    assert!(world.problems().contains("cannot be read"), "{}", world.problems());
    fs::create_dir(world.path("rules")).unwrap();
    assert_eq!(world.looks(), Look::Refused);
    assert!(world.problems().contains("the folder holds no *.toml file"), "{}", world.problems());
    world.write("rules/c.toml", &rule("last"));
    assert_eq!(world.looks(), Look::Taken);
    assert_eq!(world.names(), ["last"]);
}

#[test]
fn a_file_that_the_settings_bind_cannot_shed_its_ceiling_by_another_name() {
    let terms = Terms { files: [("team.toml".to_owned(), FileTerms::default())].into(), ..Terms::default() };
    let mut world = World::under("", terms, |folder| fs::write(folder.join("team.toml"), rule("first")).unwrap());
    fs::rename(world.path("team.toml"), world.path("teams.toml")).unwrap();
    assert_eq!(world.looks(), Look::Refused);
    world.stands("the settings bind \"team.toml\" ([rules.files.\"team.toml\"]), and there is no such file");
    world.stands("did you mean \"teams.toml\"?");
    fs::rename(world.path("teams.toml"), world.path("team.toml")).unwrap();
    assert_eq!(world.looks(), Look::Taken);
}

#[test]
fn each_breakage_is_logged_once_and_the_metrics_follow() {
    let (log, _guard) = Log::start();
    let (recorder, metrics) = Metrics::recorder().unwrap();
    let _here = metrics::set_default_local_recorder(&recorder);
    let shows = |lines: [&str; 3]| {
        let text = metrics.render();
        for line in lines {
            assert!(text.lines().any(|shown| shown == line), "{line} in {text}");
        }
    };
    let mut world = World::new("rules.toml", &[("rules.toml", &rule("first"))]);
    let broken = rule("first").replace("push", "pushh");
    for text in [&broken, &broken, &format!("{broken}# a remark that changes nothing\n")] {
        world.write("rules.toml", text);
        world.looks();
    }
    let errors = || log.lines().iter().filter(|line| line.contains("ERROR")).count();
    assert_eq!(errors(), 1, "{:#?}", log.lines());
    assert!(log.lines().iter().any(|line| line.contains("^^^^^^^")), "{:#?}", log.lines());
    shows([
        "hookrun_rules_stale 1",
        "hookrun_rules_reloads_total{result=\"refused\"} 1",
        "hookrun_rules_reloads_total{result=\"taken\"} 0",
    ]);
    world.write("rules.toml", "[[rule]\n");
    world.looks();
    assert_eq!(errors(), 2);
    world.write("rules.toml", &rule("second"));
    assert_eq!(world.looks(), Look::Taken);
    shows([
        "hookrun_rules_stale 0",
        "hookrun_rules_reloads_total{result=\"refused\"} 2",
        "hookrun_rules_reloads_total{result=\"taken\"} 1",
    ]);
}

/// How long it takes in the loop's own time until a rule of this name is in force.
async fn until_in_force(world: &World, name: &str) -> Duration {
    const STEP: Duration = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    while world.names() != [name] {
        sleep(STEP).await;
        waited += STEP;
    }
    waited
}

#[tokio::test(start_paused = true)]
async fn the_loop_puts_changes_in_force_by_itself_and_at_once_when_it_is_hung_up_on() {
    let mut world = World::new("rules.toml", &[("rules.toml", &rule("first"))]);
    let again = Reload::new(world.path("rules.toml"), Terms::default(), world.live.clone(), world.clock.clone());
    let life = Lifecycle::new();
    let taken = Arc::new(AtomicU32::new(0));
    let counted = taken.clone();
    let count = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async {}
    };
    life.spawn("rules", std::mem::replace(&mut world.reload, again).keep(life.clone(), count));
    sleep(Duration::from_millis(100)).await;
    world.write("rules.toml", &rule("second"));
    let by_itself = until_in_force(&world, "second").await;
    assert!(by_itself > Duration::from_secs(2) && by_itself < Duration::from_secs(5), "{by_itself:?}");
    world.write("rules.toml", &rule("third"));
    life.hang_up();
    let hung_up = until_in_force(&world, "third").await;
    assert!(hung_up < Duration::from_secs(1), "{hung_up:?}");
    assert_eq!(taken.load(Ordering::SeqCst), 2);
    assert_eq!(life.stop(Duration::from_secs(12)).await, Ending::Clean);
}
