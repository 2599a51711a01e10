//! Starting with a million stored jobs is as quick as with none.

use std::path::Path;
use std::time::Duration;

use hookrun::model::clock::{Clock, SystemClock};

use crate::house::{Database, House};

const ROWS: u32 = 1_000_000;
/// How often each side is started, in turns.
const ROUNDS: usize = 7;
/// Far above what a start may take over another: the strict bound is the bench's, which measures nothing else.
const TIMES: u32 = 4;

/// Fills the file with jobs as they are after years: most have ended, some wait. The bench fills what came with them, too.
fn fill(file: &Path) {
    let db = rusqlite::Connection::open(file).unwrap();
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; PRAGMA cache_size = -200000;").unwrap();
    let rows = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) \
         INSERT INTO jobs (id, rule, source, key, lane, subject, context, repo, sha, failing, state, reason, created_at, \
         due_at, settled_by, updated_at, submitted_at, ended_at) \
         SELECT printf('0190%08x-0000-7000-8000-000000000000', i), 'fix', 'github', 'k' || i, \
         '2' || char(31) || 'fix' || char(31) || (i % 50), 'github.com/acme/r' || (i % 50) || '@b' || i, \
         'github.com/acme/r' || (i % 50) || '@b' || i, 'acme/r' || (i % 50), printf('%040x', i), 1, \
         CASE WHEN i % 4 = 0 THEN 'queued' ELSE 'succeeded' END, '', 1700000000000 + i, \
         CASE WHEN i % 4 = 0 THEN 4000000000000 ELSE 1700000000000 END, 1700000000000, 1700000000000 + i, \
         CASE WHEN i % 4 = 0 THEN NULL ELSE 1700000000000 + i END, \
         CASE WHEN i % 4 = 0 THEN NULL ELSE 1700000000000 + i END FROM n"
    );
    // Triggers and indexes are made anew over the rows that are there: that takes a third of the time.
    let beside: Vec<(String, String, String)> = db
        .prepare("SELECT type, name, sql FROM sqlite_master WHERE tbl_name = 'jobs' AND type <> 'table' AND sql <> ''")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let dropped: Vec<String> = beside.iter().map(|(kind, name, _)| format!("DROP {kind} {name};")).collect();
    let made: Vec<&str> = beside.iter().map(|(_, _, sql)| sql.as_str()).collect();
    let (dropped, made) = (dropped.concat(), made.join(";\n"));
    let counts = "INSERT INTO job_counts (state, jobs) SELECT state, COUNT(*) FROM jobs GROUP BY state; \
         INSERT INTO rule_counts (rule, jobs, last_at) SELECT rule, COUNT(*), MAX(created_at) FROM jobs GROUP BY rule;";
    db.execute_batch(&format!("BEGIN; {dropped} {rows}; {made}; {counts} COMMIT; PRAGMA journal_mode = WAL;")).unwrap();
}

/// From the start to the first line that says where it listens.
async fn start(house: &House) -> Duration {
    let clock = SystemClock::new();
    let begun = clock.now();
    let mut daemon = house.serve().await;
    let took = clock.now().since(begun);
    daemon.process.kill().await;
    took
}

#[tokio::test]
async fn starting_with_a_million_jobs_is_as_quick_as_with_none() {
    let (full, empty) =
        (House::on(Database::sqlite, "http://127.0.0.1:9"), House::on(Database::sqlite, "http://127.0.0.1:9"));
    for house in [&full, &empty] {
        let mut daemon = house.serve().await;
        daemon.process.signal("-TERM");
        assert_eq!(daemon.process.wait().await, Some(0));
    }
    fill(&full.path().join("hookrun.db"));
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(start(&empty).await);
        with.push(start(&full).await);
    }
    with.sort();
    without.sort();
    let (with, without) = (with[ROUNDS / 2], without[ROUNDS / 2]);
    println!("start to listening: {with:?} with a million jobs, {without:?} with none");
    assert!(with < without * TIMES, "{with:?} with a million jobs, {without:?} with none");
}
