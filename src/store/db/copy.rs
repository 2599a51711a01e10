//! Copies of a SQLite file as it is at one moment, and whether a file is fit to be one.

use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{Conn, Link, closed, sqlite};
use crate::store::errors::{Result, StoreError};

/// Copies a file while others use it. It is read within one read transaction, so writers go on and are not seen.
pub(in crate::store) async fn copy_file(from: &Path, into: &Path) -> Result<()> {
    let (from, into) = (from.to_owned(), into.to_owned());
    let copied = tokio::task::spawn_blocking(move || {
        let source = reading(&from)?;
        let mut copy = Connection::open(&into)?;
        match Backup::new(&source, &mut copy)?.step(-1)? {
            StepResult::Done => Ok(()),
            other => Err(StoreError::Busy(format!("the file cannot be read now ({other:?})"))),
        }
    });
    copied.await.map_err(|_| StoreError::Busy("the copy was abandoned".to_owned()))?
}

/// A copy that nobody else uses, to be written to.
pub(in crate::store) fn open_copy(path: &Path) -> Result<Conn> {
    Ok(Conn::new(Link::Sqlite(sqlite::writer(path)?)))
}

/// Folds everything into the one file.
pub(in crate::store) fn finish_copy(conn: Conn) -> Result<()> {
    let Link::Sqlite(conn) = conn.link else { return Err(closed()) };
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE;")?;
    conn.close().map_err(|(_, error)| error.into())
}

/// Fails when a file is not a database of ours, or is damaged.
pub(in crate::store) fn check_file(path: &Path) -> Result<()> {
    let conn = reading(path)?;
    let said: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if said != "ok" {
        return Err(StoreError::Damaged(said));
    }
    let ours = "SELECT COUNT(*) FROM sqlite_master WHERE name IN ('schema_steps', '_sqlx_migrations')";
    if conn.query_row(ours, [], |row| row.get::<_, i64>(0))? == 0 {
        return Err(StoreError::Address(format!("{} is no database of hookrun", path.display())));
    }
    Ok(())
}

fn reading(path: &Path) -> Result<Connection> {
    if !path.is_file() {
        let cause = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(StoreError::File { path: PathBuf::from(path), cause });
    }
    Ok(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?)
}
