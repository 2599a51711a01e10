//! All that is peculiar to SQLite: opening a file, the one-owner lock, statements run in the process, what its errors mean.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OpenFlags, ToSql};

use super::query::Query;
use super::value::{Cell, Row, Value};
use crate::store::errors::{Result, StoreError};

/// Statements that a connection keeps prepared: more than we have.
const STATEMENTS: usize = 512;

/// How long a reader waits for a file that somebody holds; in WAL mode only who opens or repairs it does.
const READER_WAITS: Duration = Duration::from_millis(500);

/// What every connection is told. FULL: a commit returns when it is on the disk. A small cache: who reads forgets it at every
/// commit.
const EVERY: &str = "PRAGMA foreign_keys = 1; PRAGMA cache_size = -500; PRAGMA temp_store = memory; \
    PRAGMA synchronous = FULL;";

/// Who reads must not write by mistake.
const READING: &str = "PRAGMA query_only = 1;";

/// The log is folded behind the commits; when it has grown to 16 MB all the same, because commits never paused, one of them
/// folds what is left. It then begins anew and is written over, which syncs faster than a file that grows. Room for the pages
/// that every group of deliveries touches, and for those by which a hundred lanes are walked among a million jobs; after a
/// burst the log gives its space back.
const WRITING: &str = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -1500; \
    PRAGMA journal_size_limit = 67108864;";

/// A table without a number of its own as its key is searched twice by its key, once by this.
pub(super) const PLACE_OF_ROWS: &str = "rowid";

/// The file of `sqlite:PATH`.
pub(super) fn path_of(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    Some(PathBuf::from(path.strip_prefix("//").unwrap_or(path))).filter(|path| !path.as_os_str().is_empty())
}

/// Makes the folder of a file and takes the lock that only one process holds. The system lets go of it when the process
/// dies, however it dies.
pub(in crate::store) fn own(path: &Path) -> Result<File> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| StoreError::File { path, cause }
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
        Err(TryLockError::Error(cause)) => Err(StoreError::File { path: name, cause }),
    }
}

/// The connection that writes; the file is made when it is missing.
pub(super) fn writer(path: &Path) -> Result<Connection> {
    let conn = Connection::open_with_flags(path, flags() | OpenFlags::SQLITE_OPEN_CREATE)?;
    // Who writes waits for others without holding up a thread: see `begin`.
    prepare(conn, Duration::ZERO, WRITING)
}

/// A connection that only folds the log into the file.
pub(super) fn folder(path: &Path) -> Result<Connection> {
    prepare(Connection::open_with_flags(path, flags())?, Duration::ZERO, "PRAGMA wal_autocheckpoint = 0;")
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection> {
    prepare(Connection::open_with_flags(path, flags())?, READER_WAITS, READING)
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

fn prepare(conn: Connection, waits: Duration, more: &str) -> Result<Connection> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Plans do not hang on the values that are bound: else statements are prepared anew at every use.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.execute_batch(EVERY)?;
    conn.execute_batch(more)?;
    conn.busy_timeout(waits)?;
    Ok(conn)
}

/// A value as SQLite takes it, without a copy.
struct Bound<'v>(&'v Value<'v>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Value::Number(Some(number)) => ValueRef::Integer(*number),
            Value::Bytes(Some(bytes)) => ValueRef::Blob(bytes),
            Value::Text(None) | Value::Number(None) | Value::Bytes(None) => ValueRef::Null,
        }))
    }
}

fn bind(statement: &mut CachedStatement<'_>, values: &[Value<'_>]) -> Result<()> {
    for (at, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(at + 1, Bound(value))?;
    }
    Ok(())
}

/// Runs a statement; how many rows it changed.
pub(super) fn execute(conn: &Connection, query: &Query<'_>) -> Result<u64> {
    let (sql, times) = query.one_by_one();
    let mut statement = conn.prepare_cached(&sql)?;
    let mut changed = 0;
    for values in times {
        bind(&mut statement, values)?;
        changed += statement.raw_execute()? as u64;
    }
    Ok(changed)
}

/// Runs a statement; every row that it answers.
pub(super) fn fetch(conn: &Connection, query: &Query<'_>) -> Result<Vec<Row>> {
    let (sql, times) = query.one_by_one();
    let mut statement = conn.prepare_cached(&sql)?;
    let columns: Arc<[String]> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut found = Vec::new();
    for values in times {
        bind(&mut statement, values)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let cells = (0..columns.len()).map(|at| row.get_ref(at).map(cell)).collect::<rusqlite::Result<_>>()?;
            found.push(Row::new(Arc::clone(&columns), cells));
        }
    }
    Ok(found)
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Number(number),
        // We store none.
        ValueRef::Real(number) => Cell::Number(number as i64),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes.to_vec()),
    }
}

/// Whether somebody else holds the file just now.
pub(super) fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked))
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, DiskFull, NotADatabase, OutOfMemory, ReadOnly,
            SystemIoFailure,
        };
        match error.sqlite_error_code() {
            Some(DatabaseBusy | DatabaseLocked | ReadOnly | SystemIoFailure | DiskFull | CannotOpen | OutOfMemory) => {
                Self::Busy(error.to_string())
            }
            Some(DatabaseCorrupt | NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Database(Box::new(error)),
        }
    }
}
