//! The schema: which steps a database has taken, and those that it still has to take.

use super::{Conn, Database, Link, postgres, query};
use crate::store::errors::{Result, StoreError};

/// One step, by its number.
struct Step {
    version: i64,
    sqlite: &'static str,
    /// PostgreSQL came when SQLite had taken two steps already: it takes them as one.
    postgres: &'static str,
}

const STEPS: [Step; 8] = [
    Step { version: 1, sqlite: include_str!("../../../migrations/sqlite/0001_first.sql"), postgres: "" },
    Step {
        version: 2,
        sqlite: include_str!("../../../migrations/sqlite/0002_rules.sql"),
        postgres: include_str!("../../../migrations/postgres/0002_rules.sql"),
    },
    Step {
        version: 3,
        sqlite: include_str!("../../../migrations/sqlite/0003_breakers.sql"),
        postgres: include_str!("../../../migrations/postgres/0003_breakers.sql"),
    },
    Step {
        version: 4,
        sqlite: include_str!("../../../migrations/sqlite/0004_replicas.sql"),
        postgres: include_str!("../../../migrations/postgres/0004_replicas.sql"),
    },
    Step {
        version: 5,
        sqlite: include_str!("../../../migrations/sqlite/0005_filing.sql"),
        postgres: include_str!("../../../migrations/postgres/0005_filing.sql"),
    },
    Step {
        version: 6,
        sqlite: include_str!("../../../migrations/sqlite/0006_packs.sql"),
        postgres: include_str!("../../../migrations/postgres/0006_packs.sql"),
    },
    Step {
        version: 7,
        sqlite: include_str!("../../../migrations/sqlite/0007_lists.sql"),
        postgres: include_str!("../../../migrations/postgres/0007_lists.sql"),
    },
    Step {
        version: 8,
        sqlite: include_str!("../../../migrations/sqlite/0008_replays.sql"),
        postgres: include_str!("../../../migrations/postgres/0008_replays.sql"),
    },
];

/// The number of the last step.
pub(in crate::store) const LATEST: i64 = STEPS[STEPS.len() - 1].version;

/// Takes every step that was not taken yet, all or none.
pub(super) async fn migrate(database: &Database) -> Result<()> {
    let mut tx = database.begin().await?;
    run(&mut tx, "CREATE TABLE IF NOT EXISTS schema_steps (version BIGINT PRIMARY KEY)").await?;
    let mut taken = taken(&mut tx).await?;
    if taken.is_empty() && was_kept_elsewhere(&mut tx).await? {
        taken = inherit(&mut tx).await?;
    }
    if let Some(unknown) = taken.iter().find(|version| **version > LATEST) {
        return Err(newer(*unknown));
    }
    for step in STEPS.iter().filter(|step| !taken.contains(&step.version)) {
        let sql = if tx.is_postgres() { step.postgres } else { step.sqlite };
        run(&mut tx, sql).await.map_err(|error| match error {
            StoreError::Database(cause) => {
                StoreError::Schema(format!("step {} of the schema failed: {cause}", step.version))
            }
            other => other,
        })?;
        query("INSERT INTO schema_steps (version) VALUES ($1)").bind(step.version).execute(&mut tx).await?;
    }
    tx.commit().await
}

/// Fails when the schema has taken a step that this version does not know: another process has brought it.
pub(in crate::store) async fn must_be_known(conn: &mut Conn) -> Result<()> {
    match taken(conn).await?.iter().find(|version| **version > LATEST) {
        Some(unknown) => Err(newer(*unknown)),
        None => Ok(()),
    }
}

fn newer(unknown: i64) -> StoreError {
    StoreError::Schema(format!(
        "the database was used by a newer hookrun (its schema is at step {unknown}, this one knows {LATEST}); use that \
         version, or restore a backup that was made before"
    ))
}

async fn taken(conn: &mut Conn) -> Result<Vec<i64>> {
    let rows = query("SELECT version FROM schema_steps ORDER BY version").fetch_all(conn).await?;
    rows.iter().map(|row| row.try_get("version")).collect()
}

/// Until step 2 sqlx kept the steps, in SQLite.
async fn was_kept_elsewhere(conn: &mut Conn) -> Result<bool> {
    if conn.is_postgres() {
        return Ok(false);
    }
    let row = query("SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations'").fetch_optional(conn).await?;
    Ok(row.is_some())
}

async fn inherit(conn: &mut Conn) -> Result<Vec<i64>> {
    query("INSERT INTO schema_steps (version) SELECT version FROM _sqlx_migrations WHERE success")
        .execute(conn)
        .await?;
    taken(conn).await
}

/// The columns of a table that are written, in their order, with their types.
pub(in crate::store) async fn columns_of(conn: &mut Conn, table: &str) -> Result<Vec<(String, String)>> {
    let sql = if conn.is_postgres() {
        "SELECT CAST(column_name AS TEXT) AS name, CAST(data_type AS TEXT) AS type FROM information_schema.columns \
         WHERE table_schema = current_schema() AND table_name = $1 AND is_generated = 'NEVER' ORDER BY ordinal_position"
    } else {
        "SELECT name, type FROM pragma_table_xinfo($1) WHERE hidden = 0 ORDER BY cid"
    };
    let rows = query(sql).bind(table).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("type")?))).collect()
}

/// Runs a text of several statements.
async fn run(conn: &mut Conn, sql: &str) -> Result<()> {
    match &mut conn.link {
        Link::Sqlite(conn) => Ok(conn.execute_batch(sql)?),
        Link::Postgres(conn) => postgres::tell(conn, sql).await,
        Link::Closed => Err(super::closed()),
    }
}
