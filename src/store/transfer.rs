//! Moving house: everything of one database into another one, which is empty, so that a team can go from SQLite to PostgreSQL.

use std::sync::Arc;

use super::db::{Database, Query, Tx, columns_of, many, query};
use super::errors::{Result, StoreError};
use super::replica;
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

/// How many rows of each table were moved.
pub type Moved = Vec<(&'static str, u64)>;

/// Moves everything from one database into another, all or nothing. No hookrun may use either of them meanwhile; the old
/// one stays as it was, but cannot be opened any more: two that send would pay for everything twice.
pub async fn transfer(from: &str, to: &str, now: Timestamp) -> Result<Moved> {
    let (old, new) = (Database::open(from, Arc::default()).await?, Database::open(to, Arc::default()).await?);
    let mut source = old.begin().await?;
    must_be_here(&mut source).await?;
    let mut target = new.begin().await?;
    for (tx, name) in [(&mut source, "old"), (&mut target, "new")] {
        // Nobody else has a file that is open here.
        if tx.is_postgres() && !replica::alive(tx, now).await?.is_empty() {
            return Err(StoreError::Conflict(format!("a hookrun uses the {name} database: stop it first")));
        }
    }
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
    keep_counts(&mut source, &mut target).await?;
    target.commit().await?;
    query("INSERT INTO meta (name, value) VALUES ($1, $2)")
        .bind(MOVED)
        .bind(now.0.to_string().into_bytes())
        .execute(&mut source)
        .await?;
    source.commit().await?;
    for database in [old, new] {
        database.close().await?;
    }
    Ok(moved)
}

/// Fails when another database has taken the place of this one.
pub(super) async fn must_be_here(tx: &mut Tx) -> Result<()> {
    let row = query("SELECT value FROM meta WHERE name = $1").bind(MOVED).fetch_optional(tx).await?;
    let Some(row) = row else { return Ok(()) };
    let at = String::from_utf8_lossy(row.try_get("value")?).parse().map_or(Timestamp(0), Timestamp);
    Err(StoreError::Schema(format!(
        "everything in this database was moved to another one on {}; use that one (`database.url`)",
        at.to_rfc3339()
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
