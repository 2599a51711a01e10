//! The databases below the store: one way to write, a few to read, and one text of every statement for SQLite and
//! PostgreSQL. Whatever differs between them stands in `sqlite.rs`, `postgres.rs` and `schema.rs`.

mod checkpoint;
mod copy;
mod postgres;
mod query;
mod readers;
mod schema;
pub(super) mod sqlite;
mod tx;
mod value;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use sqlx::PgConnection;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::sync::{Mutex, Notify, OwnedMutexGuard};

use super::errors::{Result, StoreError};

pub(super) use copy::{check_file, copy_file, finish_copy, open_copy};
pub(super) use query::{Query, many, query, runs, within};
pub(super) use schema::{columns_of, must_be_known};
pub(super) use tx::Tx;
pub(super) use value::{Row, Value};

use checkpoint::Checkpoints;
use readers::{Reader, Readers, Warm};

/// A database that is open.
#[derive(Debug)]
pub(super) struct Database {
    address: Address,
    writer: Arc<Mutex<Conn>>,
    readers: Arc<Readers>,
    told: tx::Told,
    /// Held for as long as a SQLite file is ours.
    _lock: Option<File>,
}

/// Where a database is.
#[derive(Clone)]
enum Address {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

impl std::fmt::Debug for Address {
    /// Without the options of a server: they hold its password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres"),
        }
    }
}

impl Address {
    fn of(url: &str) -> Result<Self> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(Box::new(postgres::options(url)?)));
        }
        sqlite::path_of(url).map(Self::Sqlite).ok_or_else(|| {
            StoreError::Address(
                "the database must be \"sqlite:PATH\", e.g. \"sqlite:data/hookrun.db\", or \"postgres://…\"".into(),
            )
        })
    }

    async fn reader(&self) -> Result<Conn> {
        Ok(Conn::new(match self {
            Self::Sqlite(path) => Link::Sqlite(sqlite::reader(path)?),
            Self::Postgres(options) => {
                Link::Postgres(Box::new(postgres::connect(options).await.map_err(StoreError::settled)?))
            }
        }))
    }

    async fn writer(&self) -> Result<Conn> {
        match self {
            Self::Sqlite(path) => Ok(Conn::new(Link::Sqlite(sqlite::writer(path)?))),
            Self::Postgres(_) => self.reader().await,
        }
    }
}

impl Database {
    /// Opens a database and brings its schema up to date; `wake` is told of what other processes commit.
    pub(super) async fn open(url: &str, wake: Arc<Notify>) -> Result<Self> {
        let address = Address::of(url)?;
        let lock = match &address {
            Address::Sqlite(path) => Some(sqlite::own(path)?),
            Address::Postgres(_) => None,
        };
        let writer = Arc::new(Mutex::new(address.writer().await?));
        let readers = Arc::new(Readers::new(address.clone()));
        let log = match &address {
            Address::Sqlite(path) => Some(Arc::new(Checkpoints::start(path.clone())?)),
            Address::Postgres(_) => None,
        };
        let database = Self { address, writer, readers, told: tx::Told { wake, log }, _lock: lock };
        schema::migrate(&database).await?;
        Ok(database)
    }

    /// The file that an address names, if it names one.
    pub(super) fn file_of(url: &str) -> Result<Option<PathBuf>> {
        Ok(match Address::of(url)? {
            Address::Sqlite(path) => Some(path),
            Address::Postgres(_) => None,
        })
    }

    /// Whether other processes may use it at the same time.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.address, Address::Postgres(_))
    }

    /// Begins a write. There is one at a time, of all processes: what it reads stays so until it ends.
    pub(super) async fn begin(&self) -> Result<Tx> {
        tx::begin(self.writing().await?, self.told.clone()).await
    }

    async fn writing(&self) -> Result<OwnedMutexGuard<Conn>> {
        let mut conn = Arc::clone(&self.writer).lock_owned().await;
        if conn.lost {
            *conn = self.address.writer().await?;
        }
        Ok(conn)
    }

    /// A connection for reading, as soon as one is free.
    pub(super) async fn read(&self) -> Result<Reader> {
        readers::acquire(&self.readers).await
    }

    /// The same for a question that goes through hundreds of pages, again and again: in a file only the connection that
    /// writes still knows them when something was written. Nobody writes meanwhile.
    pub(super) async fn read_warm(&self) -> Result<Warm> {
        Ok(if self.is_shared() { Warm::Reader(self.read().await?) } else { Warm::Writer(self.writing().await?) })
    }

    /// Listens to what other processes commit, if there can be any.
    pub(super) async fn listen(&self) -> Result<Option<PgListener>> {
        let Address::Postgres(options) = &self.address else { return Ok(None) };
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with((**options).clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(postgres::CHANNEL).await?;
        Ok(Some(listener))
    }

    /// Reads and writes nothing more, and folds a file's log into it.
    pub(super) async fn close(&self) -> Result<()> {
        self.readers.close();
        if let Some(log) = self.told.log.clone() {
            let closed = tokio::task::spawn_blocking(move || log.close()).await;
            closed.map_err(|_| StoreError::Busy("the closing was abandoned".to_owned()))?;
        }
        let mut conn = self.writer.lock().await;
        let folded = match &mut conn.link {
            Link::Sqlite(conn) => conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").map_err(StoreError::from),
            Link::Postgres(_) | Link::Closed => Ok(()),
        };
        conn.link = Link::Closed;
        folded
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    link: Link,
    /// It cannot be used any more.
    lost: bool,
    /// A statement has failed since the transaction began: PostgreSQL would commit nothing and not say so.
    failed: bool,
}

#[derive(Debug)]
enum Link {
    Sqlite(rusqlite::Connection),
    Postgres(Box<PgConnection>),
    Closed,
}

impl Conn {
    fn new(link: Link) -> Self {
        Self { link, lost: false, failed: false }
    }

    async fn execute(&mut self, query: Query<'_>) -> Result<u64> {
        let Self { link, lost, .. } = self;
        let done = match link {
            Link::Sqlite(conn) => sqlite::execute(conn, &query),
            Link::Postgres(conn) => {
                // Whoever stops waiting here leaves a session in the middle of an answer: nobody may use it again.
                *lost = true;
                let done = Box::pin(postgres::execute(conn, &query)).await;
                *lost = false;
                done
            }
            Link::Closed => Err(closed()),
        };
        self.noted(done)
    }

    async fn fetch(&mut self, query: Query<'_>) -> Result<Vec<Row>> {
        let Self { link, lost, .. } = self;
        let found = match link {
            Link::Sqlite(conn) => sqlite::fetch(conn, &query),
            Link::Postgres(conn) => {
                *lost = true;
                let found = Box::pin(postgres::fetch(conn, &query)).await;
                *lost = false;
                found
            }
            Link::Closed => Err(closed()),
        };
        self.noted(found)
    }

    /// Whether it is PostgreSQL that answers.
    pub(super) fn is_postgres(&self) -> bool {
        matches!(self.link, Link::Postgres(_))
    }

    /// The column by which a row is found with the fewest pages, within one statement.
    pub(super) fn place_of_rows(&self) -> &'static str {
        match self.link {
            Link::Postgres(_) => postgres::PLACE_OF_ROWS,
            Link::Sqlite(_) | Link::Closed => sqlite::PLACE_OF_ROWS,
        }
    }

    fn noted<T>(&mut self, done: Result<T>) -> Result<T> {
        if let Err(error) = &done {
            self.failed = true;
            self.lost |= matches!(error, StoreError::Lost(_));
        }
        done.map_err(StoreError::settled)
    }
}

fn closed() -> StoreError {
    StoreError::Busy("the database is closed".to_owned())
}

/// A new database in a folder of its own, and a write to look at it with.
#[cfg(test)]
pub(super) async fn empty() -> (tempfile::TempDir, Tx) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("sub/hookrun.db").display());
    let database = Database::open(&url, Arc::default()).await.unwrap();
    let tx = database.begin().await.unwrap();
    (folder, tx)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_commit_is_synced_and_rows_belong_to_each_other() {
        let (_folder, mut conn) = empty().await;
        // 2 is FULL.
        for (pragma, wanted) in [("synchronous", 2), ("foreign_keys", 1)] {
            let row = query(format!("PRAGMA {pragma}")).fetch_one(&mut conn).await.unwrap();
            assert_eq!(row.try_get::<i64>(pragma).unwrap(), wanted);
        }
        let row = query("PRAGMA journal_mode").fetch_one(&mut conn).await.unwrap();
        assert_eq!(row.try_get::<&str>("journal_mode").unwrap(), "wal");
    }
}
