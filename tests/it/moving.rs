//! Backup and restore, moving to another database, and databases of versions before this one.

use std::process::Command;
use std::time::Duration;

use hookrun::model::clock::Clock;
use hookrun::model::decision::Ruling;
use hookrun::model::gate::WindowUse;
use hookrun::model::job::JobState;
use hookrun::model::limits::ClassLimits;
use hookrun::store::{JobFilter, PageRequest, Store, StoreError, back_up, restore, transfer};

use super::database::Database;
use super::store_support::{House, alive, request};
use super::support::ManualClock;

/// A house on a file with a job in each of several states.
async fn lived_in() -> (House, Vec<String>) {
    let (database, clock) = (Database::sqlite(), ManualClock::new());
    let store = database.open(ClassLimits::default(), clock.clone()).await.unwrap();
    let house = House { database, clock, store };
    let mut jobs = Vec::new();
    for (at, state) in [JobState::Queued, JobState::Running, JobState::Succeeded, JobState::Held, JobState::Uncertain]
        .into_iter()
        .enumerate()
    {
        let job = house.queued(request(&format!("k{at}"), &at.to_string())).await;
        house.bring(&job.id, state, at as i64 + 10).await;
        house.clock.advance(Duration::from_secs(1));
        jobs.push(job.id);
    }
    (house, jobs)
}

/// Tables that are about a process or about the database itself: they stay where they are.
const STAY: [&str; 3] = ["leases", "replicas", "schema_steps"];

/// Rows for the tables that [`lived_in`] leaves empty.
const MORE: [&str; 10] = [
    "INSERT INTO heads VALUES ('github.com', 'acme/widgets', 'a1', 'github.com/acme/widgets@fix', 1, 12)",
    "INSERT INTO checks VALUES ('github.com', 'acme/widgets', 'a1', 'unit', 0, 'failure', 13)",
    "INSERT INTO freezes VALUES ('logs', 14, 'said so')",
    "INSERT INTO breakers VALUES ('billing', '', 'no money', NULL, 15, 2, NULL, 3, 16, 17)",
    "INSERT INTO shrinks VALUES ('logs', 40, 18, 19, 20)",
    "INSERT INTO repos VALUES ('acme/widgets', 21, 22)",
    "INSERT INTO lanes VALUES ('a lane', 23)",
    "INSERT INTO pauses VALUES ('rule', 'other', 'a holiday', 'mia', 24, NULL)",
    "INSERT INTO notices VALUES ('n', 'attempts', 'widgets', 'fix', 'j', 25, NULL, 'a text', '{}')",
    "INSERT INTO aliases VALUES ('ACME-1', 'github.com/acme/widgets@fix', 26)",
];

/// Every row of every table that moves, as text. What marks a move or a backup is left out, and so is what says how far the
/// deliveries are filed: that depends on how quiet it was.
async fn everything(tables: &[(String, Vec<String>)], database: &Database) -> Vec<(String, Vec<Vec<Option<String>>>)> {
    let mut all = Vec::new();
    for (table, columns) in tables.iter().filter(|(table, _)| !STAY.contains(&table.as_str())) {
        let columns: Vec<String> = columns.iter().filter(|column| *column != "unfiled").cloned().collect();
        let mut rows = database.rows(table, &columns).await;
        rows.retain(|row| !row.iter().flatten().any(|cell| ["moved_away", "backup_made_at"].contains(&cell.as_str())));
        // A state that had a job once is counted as none, or not at all.
        rows.retain(|row| table != "job_counts" || row[1].as_deref() != Some("0"));
        assert!(!rows.is_empty(), "nobody would notice if {table} were left behind");
        all.push((table.clone(), rows));
    }
    all
}

/// What was remembered counts in the new place: a happening that was acted upon is a duplicate, and attempts and windows
/// are as they were.
async fn counts_on(house: &House, job: &str, attempts: Option<u32>, windows: &[WindowUse]) {
    assert_eq!(house.store.windows().await.unwrap(), windows);
    assert_eq!(house.counted(job).await, attempts);
    assert_eq!(house.accept(request("k0", "0")).await.verdicts[0].decision, Ruling::Duplicate);
}

async fn all_of(store: &Store) -> Vec<hookrun::model::job::Job> {
    store.jobs(&JobFilter::default(), &PageRequest { limit: 100, cursor: None }).await.unwrap().items
}

#[tokio::test]
async fn a_backup_is_made_while_the_store_is_used_and_comes_back_whole() {
    let (house, jobs) = lived_in().await;
    for row in MORE {
        house.database.alter(row).await;
    }
    let tables = house.database.tables();
    let there = everything(&tables, &house.database).await;
    let (attempts, windows) = (house.counted(&jobs[1]).await, house.store.windows().await.unwrap());
    let backup = house.database.folder().join("copy.db");
    back_up(&house.database.url, &backup, house.clock.now()).await.unwrap();
    let after = house.queued(request("later", "later")).await;
    let again = back_up(&house.database.url, &backup, house.clock.now()).await;
    assert!(matches!(again, Err(StoreError::File { .. })), "nothing is overwritten: {again:?}");

    let place = Database::sqlite();
    restore(&backup, &place.url).await.unwrap();
    let again = restore(&backup, &place.url).await;
    assert!(matches!(again, Err(StoreError::File { .. })), "nothing is overwritten: {again:?}");
    assert_eq!(everything(&tables, &place).await, there);
    let store = place.open(ClassLimits::default(), house.clock.clone()).await.unwrap();
    assert!(store.job(&after.id).await.unwrap().is_none());
    let (mut then, mut now) = (all_of(&house.store).await, all_of(&store).await);
    then.retain(|job| job.id != after.id && job.state != JobState::Queued);
    now.retain(|job| job.submitted_at.is_some() || job.state != JobState::Uncertain);
    now.retain(|job| then.iter().any(|known| known.id == job.id));
    assert_eq!(now, then);
    counts_on(&House { database: place, store, ..house }, &jobs[1], attempts, &windows).await;
}

/// The life that went on after a backup may have sent what waits in it.
#[tokio::test]
async fn what_waits_in_a_backup_is_looked_for_before_it_is_sent() {
    let (house, jobs) = lived_in().await;
    let made_at = house.clock.now();
    let backup = house.database.folder().join("copy.db");
    back_up(&house.database.url, &backup, made_at).await.unwrap();
    house.run(&jobs[0], 99).await;
    house.clock.advance(Duration::from_hours(3));
    let place = Database::sqlite();
    restore(&backup, &place.url).await.unwrap();
    let restored = House {
        store: place.open(ClassLimits::default(), house.clock.clone()).await.unwrap(),
        database: place,
        clock: house.clock.clone(),
    };
    assert_eq!(restored.state(&jobs[0]).await, JobState::Uncertain);
    let sought = restored.store.uncertain().await.unwrap();
    let sought = sought.iter().find(|each| each.job.id == jobs[0]).unwrap();
    assert_eq!((sought.began_at, sought.ended_at), (made_at, house.clock.now()));
    restored.store.adopt(&jobs[0], &alive(99), "found in the list").await.unwrap();
    // The next start is one like any other.
    let fresh = restored.queued(request("fresh", "fresh")).await;
    let restored = restored.restart().await;
    assert_eq!(restored.state(&fresh.id).await, JobState::Queued);
    assert_eq!(restored.state(&jobs[0]).await, JobState::Running);
}

/// What tells a run something leaves no trace in the list of runs.
#[tokio::test]
async fn what_a_list_cannot_show_a_person_settles_after_a_restore() {
    let (house, jobs) = lived_in().await;
    let told = house.queued(request("told", "told")).await;
    house.database.alter(&format!("UPDATE jobs SET target = 11 WHERE id = '{}'", told.id)).await;
    let backup = house.database.folder().join("copy.db");
    back_up(&house.database.url, &backup, house.clock.now()).await.unwrap();
    let place = Database::sqlite();
    restore(&backup, &place.url).await.unwrap();
    let store = place.open(ClassLimits::default(), house.clock.clone()).await.unwrap();
    let state = async |id: &str| store.job(id).await.unwrap().unwrap().state;
    assert_eq!((state(&told.id).await, state(&jobs[0]).await), (JobState::Held, JobState::Uncertain));
    store.absent(&told.id, "a person says so").await.unwrap();
    assert_eq!(state(&told.id).await, JobState::Queued);
}

/// SQLite would take the log of a file that is gone for that of the one in its place.
#[tokio::test]
async fn nothing_is_restored_beside_the_log_of_another_file() {
    let (house, _) = lived_in().await;
    let backup = house.database.folder().join("copy.db");
    back_up(&house.database.url, &backup, house.clock.now()).await.unwrap();
    let place = Database::sqlite();
    std::fs::create_dir_all(place.file().parent().unwrap()).unwrap();
    let log = format!("{}-wal", place.file().display());
    std::fs::write(&log, "left behind").unwrap();
    let refused = restore(&backup, &place.url).await;
    assert!(matches!(&refused, Err(StoreError::File { path, .. }) if path.ends_with("hookrun.db-wal")), "{refused:?}");
    std::fs::remove_file(log).unwrap();
    restore(&backup, &place.url).await.unwrap();
}

#[tokio::test]
async fn what_is_no_backup_is_not_restored() {
    let place = Database::sqlite();
    let file = place.folder().join("no.db");
    std::fs::write(&file, "this is no database, but a text that is long enough to look like one".repeat(100)).unwrap();
    let refused = restore(&file, &place.url).await;
    assert!(matches!(refused, Err(StoreError::Damaged(_))), "{refused:?}");
    let refused = restore(&place.folder().join("missing.db"), &place.url).await;
    assert!(matches!(refused, Err(StoreError::File { .. })), "{refused:?}");
    assert!(!place.file().exists());
}

#[tokio::test]
async fn everything_moves_to_postgres_and_the_old_place_is_shut() {
    let (house, jobs) = lived_in().await;
    house.store.reset_attempts("nobody").await.unwrap();
    let wave = house.wave(40).await;
    let before = all_of(&house.store).await;
    let counts = house.store.rule_counts().await.unwrap();
    let body = house.store.joined(&jobs[0]).await.unwrap();
    let target = Database::postgres().await;
    let refused = transfer(&house.database.url, &target.url, house.clock.now()).await;
    assert!(matches!(refused, Err(StoreError::Owned { .. })), "{refused:?}");
    for row in MORE {
        house.database.alter(row).await;
    }
    let (attempts, windows) = (house.counted(&jobs[1]).await, house.store.windows().await.unwrap());
    let House { database, clock, store } = house;
    store.close().await.unwrap();
    drop(store);
    let tables = database.tables();
    let there = everything(&tables, &database).await;
    let moved = transfer(&database.url, &target.url, clock.now()).await.unwrap();
    assert!(moved.contains(&("jobs", 45)) && moved.contains(&("deliveries", 45)), "{moved:?}");

    // As when it was broken off in the middle: neither can be used, and once more ends it.
    database.alter("UPDATE meta SET value = CAST('under way' AS BLOB) WHERE name = 'moved_away'").await;
    let shut = database.open(ClassLimits::default(), clock.clone()).await;
    assert!(matches!(&shut, Err(StoreError::Schema(reason)) if reason.contains("being moved")), "{shut:?}");
    let target = Database::postgres().await;
    let moved = transfer(&database.url, &target.url, clock.now()).await.unwrap();
    assert!(moved.contains(&("jobs", 45)), "{moved:?}");
    for (moved, table) in everything(&tables, &target).await.into_iter().zip(there) {
        assert_eq!(moved, table);
    }
    let shut = database.open(ClassLimits::default(), clock.clone()).await;
    assert!(matches!(&shut, Err(StoreError::Schema(reason)) if reason.contains("was moved")), "{shut:?}");
    let again = transfer(&database.url, &Database::postgres().await.url, clock.now()).await;
    assert!(again.is_err(), "{again:?}");
    let store = target.open(ClassLimits::default(), clock.clone()).await.unwrap();
    assert_eq!(all_of(&store).await, before);
    assert_eq!(store.joined(&jobs[0]).await.unwrap(), body);
    for (sent, job) in &wave {
        assert_eq!(store.joined(job).await.unwrap()[0].body.as_ref(), Some(&sent.body), "{}", sent.id);
    }
    assert_eq!(store.rule_counts().await.unwrap(), counts);
    let house = House { database: target, clock, store };
    counts_on(&house, &jobs[1], attempts, &windows).await;
    house.store.close().await.unwrap();
    let target = &house.database.url;
    let again = transfer(target, target, house.clock.now()).await;
    assert!(again.is_err(), "{again:?}");
}

/// The schema as the version before this one left it, with a job that it was sending.
#[tokio::test]
async fn a_database_of_the_version_before_is_brought_up_to_date() {
    let place = Database::sqlite();
    std::fs::create_dir_all(place.file().parent().unwrap()).unwrap();
    let conn = rusqlite::Connection::open(place.file()).unwrap();
    for step in ["0001_first", "0002_rules"] {
        let path = format!("{}/migrations/sqlite/{step}.sql", env!("CARGO_MANIFEST_DIR"));
        conn.execute_batch(&std::fs::read_to_string(path).unwrap()).unwrap();
    }
    conn.execute_batch(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, installed_on TIMESTAMP \
         NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL, execution_time BIGINT NOT NULL); \
         INSERT INTO _sqlx_migrations VALUES (1, 'first', '', TRUE, x'00', 1), (2, 'rules', '', TRUE, x'00', 1); \
         INSERT INTO jobs (id, rule, source, key, lane, subject, failing, state, reason, created_at, due_at, settled_by, \
         updated_at, submitted_at) VALUES ('j', 'fix', 'github', 'k', 'l', 's', 1, 'submitting', '', 1, 1, 1, 1, 1); \
         INSERT INTO calls (id, class, purpose, began_at) VALUES ('c', 'create', 'j', 1);",
    )
    .unwrap();
    drop(conn);
    let clock = ManualClock::new();
    let store = place.open(ClassLimits::default(), clock.clone()).await.unwrap();
    assert_eq!(store.job("j").await.unwrap().unwrap().state, JobState::Uncertain);
    assert_eq!(store.windows().await.unwrap()[0].used, 1);
    store.close().await.unwrap();
    drop(store);
    place.open(ClassLimits::default(), clock.clone()).await.unwrap().close().await.unwrap();

    place.alter("INSERT INTO schema_steps (version) VALUES (9999)").await;
    let newer = place.open(ClassLimits::default(), clock).await;
    assert!(matches!(&newer, Err(StoreError::Schema(reason)) if reason.contains("newer hookrun")), "{newer:?}");
}

/// Bodies and checks as step 5 kept them.
#[tokio::test]
async fn bodies_and_checks_of_the_step_before_packs_are_still_there() {
    let place = Database::sqlite();
    std::fs::create_dir_all(place.file().parent().unwrap()).unwrap();
    let conn = rusqlite::Connection::open(place.file()).unwrap();
    let steps = ["0001_first", "0002_rules", "0003_breakers", "0004_replicas", "0005_filing"];
    conn.execute_batch("CREATE TABLE schema_steps (version BIGINT PRIMARY KEY)").unwrap();
    for (version, step) in (1..).zip(steps) {
        let path = format!("{}/migrations/sqlite/{step}.sql", env!("CARGO_MANIFEST_DIR"));
        conn.execute_batch(&std::fs::read_to_string(path).unwrap()).unwrap();
        conn.execute("INSERT INTO schema_steps (version) VALUES (?1)", [version]).unwrap();
    }
    let body = "{\"text\":\"as it arrived\"}".repeat(500);
    conn.execute_batch(&format!(
        "INSERT INTO deliveries (id, source, secret_label, body_sha256, body_bytes, received_at, native, outcome, reason, \
         verdicts) VALUES ('d', 'github', 'main', '', {}, 5, 'github:push', 'unmatched', '', '[]'); \
         INSERT INTO checks VALUES ('h', 'r', 'old', 'a', 0, 'failure', 1), ('h', 'r', 'new', 'b', 1, 'success', 900);",
        body.len()
    ))
    .unwrap();
    conn.execute(
        "INSERT INTO bodies (delivery, received_at, headers, body) VALUES ('d', 5, '[[\"x-github-event\",\"push\"]]', ?1)",
        [lz4_flex::block::compress_prepend_size(body.as_bytes())],
    )
    .unwrap();
    drop(conn);
    let store = place.open(ClassLimits::default(), ManualClock::new()).await.unwrap();
    let kept = store.body("d").await.unwrap().unwrap();
    assert_eq!((&*kept.body, kept.received_at.0), (body.as_bytes(), 5));
    assert_eq!(kept.headers, [("x-github-event".to_owned(), "push".to_owned())]);
    store.close().await.unwrap();
    let conn = rusqlite::Connection::open(place.file()).unwrap();
    let checks = "SELECT group_concat(sha || name || aggregate || outcome || seen_at, ' ') FROM checks";
    let checks: String = conn.query_row(checks, [], |row| row.get(0)).unwrap();
    assert_eq!(checks, "newb1success900 olda0failure1");
}

#[test]
fn a_file_that_is_not_there_is_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "[codegen]\nbase_url = \"http://127.0.0.1:9\"\norg_id = 1\ntoken = \"a-token-that-is-not-used\"\n\
        [rules]\npath = \"rules.toml\"\n[sources.github]\nkind = \"github\"\nsecrets = [\"a-secret-that-is-not-used\"]\n";
    std::fs::write(folder.path().join("hookrun.toml"), settings).unwrap();
    std::fs::write(folder.path().join("rules.toml"), "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookrun"));
    let out = command.args(["restore", "gone.db", "--config", "hookrun.toml"]).current_dir(&folder).output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(!out.status.success() && said.contains("gone.db"), "{said}");
    assert_eq!(said.matches("not found").count(), 1, "{said}");
}
