//! All that is peculiar to SQLite: connections, how a write begins, the one-owner lock, busy errors, migrations.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Transaction};
use sqlx_core::transaction::TransactionManager as _;

use super::errors::{Result, StoreError};

/// The driver.
pub(super) type Db = sqlx::Sqlite;
/// A connection of the driver.
pub(super) type Conn = SqliteConnection;
/// Connections for reading.
pub(super) type Readers = SqlitePool;
/// How deep in transactions the driver believes a connection to be.
type Depth = <Db as sqlx::Database>::TransactionManager;
/// A write transaction.
pub(super) type Tx<'a> = Transaction<'a, Db>;

/// Few readers and small caches: the dashboard and the status API need no more, and idle memory counts.
const READERS: u32 = 3;

/// Everything that was opened.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) writer: Conn,
    pub(super) readers: Readers,
    /// Held for as long as the store lives; the system lets go of it when the process dies, however it dies.
    pub(super) lock: File,
}

/// Opens `sqlite:PATH`: makes folder and file, takes the lock, migrates.
pub(super) async fn open(url: &str) -> Result<Opened> {
    let path = url
        .strip_prefix("sqlite:")
        .map(|path| PathBuf::from(path.strip_prefix("//").unwrap_or(path)))
        .filter(|path| !path.as_os_str().is_empty())
        .ok_or_else(|| {
            StoreError::Address("the database must be \"sqlite:PATH\", e.g. \"sqlite:data/hookrun.db\"".into())
        })?;
    let lock = own(&path)?;
    let options = SqliteConnectOptions::from_str("sqlite:")?
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .pragma("cache_size", "-2000")
        .pragma("temp_store", "memory")
        .disable_statement_logging();
    // Fewer, larger checkpoints; after a burst the log gives its space back.
    let writing = options.clone().pragma("wal_autocheckpoint", "4000").pragma("journal_size_limit", "67108864");
    let mut writer = SqliteConnection::connect_with(&writing).await?;
    sqlx::migrate!("migrations/sqlite").run(&mut writer).await?;
    let readers = SqlitePoolOptions::new()
        .min_connections(0)
        .max_connections(READERS)
        .acquire_timeout(Duration::from_secs(5))
        .idle_timeout(Duration::from_mins(1))
        .connect_lazy_with(options.create_if_missing(false).pragma("query_only", "1"));
    Ok(Opened { writer, readers, lock })
}

fn own(path: &Path) -> Result<File> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::File { path, source }
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&name).map_err(failed(&name))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Owned { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StoreError::File { path: name, source }),
    }
}

/// Begins a write transaction at once: a plain BEGIN that reads and then writes fails under contention.
pub(super) async fn begin(writer: &mut Conn) -> Result<Tx<'_>> {
    if Depth::get_transaction_depth(writer) > 0 {
        // A full or failing disk makes SQLite end the transaction by itself; the driver's own rollback then finds none
        // and goes on counting it. Both must agree again, or nothing is ever written until the next start.
        writer.ping().await?;
        if Depth::get_transaction_depth(writer) > 0 {
            let _ = sqlx::query("BEGIN").execute(&mut *writer).await;
            Depth::rollback(writer).await?;
        }
    }
    Ok(writer.begin_with("BEGIN IMMEDIATE").await?)
}

/// Whether an error means "not now": BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN (the low byte of SQLite's codes).
pub(super) fn is_busy(error: &dyn sqlx::error::DatabaseError) -> bool {
    let code = error.code().and_then(|code| code.parse::<i32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 10 | 13 | 14))
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn every_commit_is_synced_and_rows_belong_to_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("sub/hookrun.db").display());
        let mut opened = super::open(&url).await.unwrap();
        let pragma = async |name: &'static str, conn: &mut super::Conn| -> i64 {
            let text = sqlx::AssertSqlSafe(format!("PRAGMA {name}"));
            sqlx::query_scalar(text).fetch_one(conn).await.unwrap()
        };
        // 2 is FULL.
        assert_eq!(pragma("synchronous", &mut opened.writer).await, 2);
        assert_eq!(pragma("foreign_keys", &mut opened.writer).await, 1);
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut opened.writer).await.unwrap();
        assert_eq!(journal, "wal");
    }
}
