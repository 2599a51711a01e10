//! Moving house: everything of one database into another one, which is empty, so that a team can go from SQLite to PostgreSQL.

use std::sync::Arc;

use super::db::{Database, Query, Tx, columns_of, many, query};
use super::errors::{Result, StoreError};
use super::{filing, meta, replica};
use crate::model::clock::Timestamp;

/// Rows that are carried at a time.
const ROWS: usize = 200;

/// Every table with what makes a row of it one, those first that others refer to. What a process says of itself stays
/// behind, and what triggers count is counted anew.
const TABLES: [(&str, &str); 20] = [
    ("deliveries", "id"),
    ("bodies", "delivery"),
    ("jobs", "id"),
    ("job_events", "job, seq"),
    ("prompts", "job"),
    ("claims", "rule, happening"),
    ("attempts", "subject, sha, grp"),
    ("runs", "id"),
    ("subjects", "key"),
    ("heads", "host, repo, sha, subject"),
    ("checks", "host, repo, sha, name, aggregate"),
    ("calls", "id, class"),
    ("freezes", "class"),
    ("breakers", "name"),
    ("shrinks", "class"),
    ("repos", "full_name"),
    ("lanes", "lane"),
    ("pauses", "scope, name"),
    ("notices", "id"),
    ("aliases", "alias, subject"),
];

/// Where a database says that another one has taken its place.
const MOVED: &str = "moved_away";
/// What it says while that goes on.
const UNDER_WAY: &str = "under way";

/// How many rows of each table were moved.
pub type Moved = Vec<(&'static str, u64)>;

/// Moves everything from one database into another, all or nothing. No hookrun may use either of them meanwhile; the old
/// one stays as it was, but cannot be opened any more: two that send would pay for everything twice.
pub async fn transfer(from: &str, to: &str, now: Timestamp) -> Result<Moved> {
    if from == to {
        return Err(StoreError::Conflict("the new database is the old one".to_owned()));
    }
    let (old, new) = (Database::open(from, Arc::default()).await?, Database::open(to, Arc::default()).await?);
    // From the first row on: whatever ends this in the middle, no two of them can ever send.
    let mut source = old.begin().await?;
    if moved_away(&mut source).await?.is_some_and(|when| when != UNDER_WAY) {
        return must_be_here(&mut source).await.map(|()| Moved::new());
    }
    must_be_idle(&mut source, "old", now).await?;
    meta::set(&mut source, MOVED, UNDER_WAY).await?;
    source.commit().await?;
    let moved = move_all(&old, &new, now).await;
    let mut source = old.begin().await?;
    match &moved {
        Ok(_) => meta::set(&mut source, MOVED, now.0.to_string()).await?,
        Err(_) => drop(query("DELETE FROM meta WHERE name = $1").bind(MOVED).execute(&mut source).await?),
    }
    source.commit().await?;
    for database in [old, new] {
        database.close().await?;
    }
    moved
}

async fn move_all(old: &Database, new: &Database, now: Timestamp) -> Result<Moved> {
    let (mut source, mut target) = (old.begin().await?, new.begin().await?);
    must_be_idle(&mut target, "new", now).await?;
    for table in ["deliveries", "jobs"] {
        let row = query(format!("SELECT COUNT(*) AS n FROM {table}")).fetch_one(&mut target).await?;
        if row.try_get::<i64>("n")? > 0 {
            return Err(StoreError::Conflict("the new database is not empty".to_owned()));
        }
    }
    // A key that was made by looking at it once gives way to the one that is carried.
    query("DELETE FROM meta").execute(&mut target).await?;
    let mut moved = Moved::new();
    for (table, key) in std::iter::once(("meta", "name")).chain(TABLES) {
        moved.push((table, carry(&mut source, &mut target, table, key).await?));
    }
    query("DELETE FROM meta WHERE name = $1").bind(MOVED).execute(&mut target).await?;
    filing::file_all(&mut target).await?;
    keep_counts(&mut source, &mut target).await?;
    target.commit().await?;
    Ok(moved)
}

/// Nobody else has a file that is open here; of a server those count who are alive by its own time.
async fn must_be_idle(tx: &mut Tx, name: &str, now: Timestamp) -> Result<()> {
    if !tx.is_postgres() {
        return Ok(());
    }
    let now = now.max(replica::time_of(tx).await?);
    if replica::alive(tx, now).await?.is_empty() {
        return Ok(());
    }
    Err(StoreError::Conflict(format!("a hookrun uses the {name} database: stop it first")))
}

/// When everything was moved away, in milliseconds, or [`UNDER_WAY`].
async fn moved_away(tx: &mut Tx) -> Result<Option<String>> {
    let row = query("SELECT value FROM meta WHERE name = $1").bind(MOVED).fetch_optional(tx).await?;
    row.map(|row| Ok(String::from_utf8_lossy(row.try_get("value")?).into_owned())).transpose()
}

/// Fails when another database has taken the place of this one.
pub(super) async fn must_be_here(tx: &mut Tx) -> Result<()> {
    let Some(when) = moved_away(tx).await? else { return Ok(()) };
    if when == UNDER_WAY {
        return Err(StoreError::Schema(
            "everything in this database is being moved to another one, or that was broken off: `hookrun migrate` once more \
             into an empty database ends it"
                .to_owned(),
        ));
    }
    let when = when.parse().map_or(Timestamp(0), Timestamp).to_rfc3339();
    Err(StoreError::Schema(format!(
        "everything in this database was moved to another one on {when}; use that one (`database.url`)"
    )))
}

/// Carries one table, a few rows at a time along its key.
async fn carry(source: &mut Tx, target: &mut Tx, table: &'static str, key: &str) -> Result<u64> {
    let columns = columns_of(target, table).await?;
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let keys: Vec<usize> = key.split(", ").filter_map(|part| names.iter().position(|name| *name == part)).collect();
    let list = names.join(", ");
    let marks: Vec<String> = (1..=keys.len()).map(|at| format!("${at}")).collect();
    let first = format!("SELECT {list} FROM {table} ORDER BY {key} LIMIT {ROWS}");
    let next = format!("SELECT {list} FROM {table} WHERE ({key}) > ({}) ORDER BY {key} LIMIT {ROWS}", marks.join(", "));
    let insert = format!("INSERT INTO {table} ({list})");
    let mut rows = query(first.as_str()).fetch_all(source).await?;
    let mut carried = 0;
    while let Some(last) = rows.last() {
        let mut into = many(&insert, rows.len(), names.len(), "");
        for row in &rows {
            for (cell, (_, column_type)) in row.cells().iter().zip(&columns) {
                into = into.bind(cell.as_value(column_type));
            }
        }
        carried += into.execute(target).await?;
        let after = keys
            .iter()
            .fold(query(next.as_str()), |query: Query<'_>, at| query.bind(last.cells()[*at].as_value(&columns[*at].1)));
        rows = after.fetch_all(source).await?;
    }
    Ok(carried)
}

/// What a rule has done is more than the jobs that are still there.
async fn keep_counts(source: &mut Tx, target: &mut Tx) -> Result<()> {
    for row in query("SELECT rule, last_at, sent FROM rule_counts").fetch_all(source).await? {
        query(
            "INSERT INTO rule_counts (rule, jobs, last_at, sent) VALUES ($1, 0, $2, $3) \
             ON CONFLICT (rule) DO UPDATE SET last_at = excluded.last_at, sent = excluded.sent",
        )
        .bind(row.try_get::<String>("rule")?)
        .bind(row.try_get::<i64>("last_at")?)
        .bind(row.try_get::<i64>("sent")?)
        .execute(target)
        .await?;
    }
    Ok(())
}
