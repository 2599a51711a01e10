//! The database of a test: a file of its own, or a database of its own on the PostgreSQL that `TEST_POSTGRES_URL` names
//! when `HOOKRUN_TEST_DATABASE` says `postgres`.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hookrun::model::clock::Clock;
use hookrun::model::limits::ClassLimits;
use hookrun::store::{Result, Store, StoreOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};
use tempfile::TempDir;

/// A database that nobody else uses.
pub(crate) struct Database {
    /// What the store is opened with.
    pub(crate) url: String,
    folder: TempDir,
}

/// Whether the tests run on PostgreSQL.
pub(crate) fn on_postgres() -> bool {
    std::env::var("HOOKRUN_TEST_DATABASE").is_ok_and(|name| name == "postgres")
}

fn server() -> String {
    std::env::var("TEST_POSTGRES_URL").expect("TEST_POSTGRES_URL names the server; scripts/test starts one")
}

async fn server_says(database: &str, sql: &str) -> u64 {
    let options = PgConnectOptions::from_str(&server()).unwrap().database(database);
    let mut conn = PgConnection::connect_with(&options).await.unwrap();
    let changed = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut conn).await.unwrap().rows_affected();
    conn.close().await.unwrap();
    changed
}

impl Database {
    pub(crate) async fn new() -> Self {
        if on_postgres() { Self::postgres().await } else { Self::sqlite() }
    }

    /// A file, whatever the tests run on.
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("data/hookrun.db").display());
        Self { url, folder }
    }

    /// A database that several processes can share, whatever the tests run on.
    pub(crate) async fn postgres() -> Self {
        Self { url: Self::made_from("template1").await, folder: tempfile::tempdir().unwrap() }
    }

    /// Ends every session with it, as a restart of the server does.
    pub(crate) async fn cut_off(&self) {
        let others =
            format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'", self.name());
        server_says("postgres", &others).await;
    }

    /// Makes a database like another one; its address.
    async fn made_from(template: &str) -> String {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let at = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("hookrun_test_{}_{at}", std::process::id());
        server_says("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        server_says("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
        let server = server();
        let (server, query) = server.split_once('?').map_or((server.as_str(), None), |(it, query)| (it, Some(query)));
        let server = server.trim_end_matches('/');
        let server =
            server.rsplit_once('/').filter(|(front, _)| !front.ends_with('/')).map_or(server, |(front, _)| front);
        query.map_or_else(|| format!("{server}/{name}"), |query| format!("{server}/{name}?{query}"))
    }

    /// The store in it.
    pub(crate) async fn open(&self, limits: ClassLimits, clock: Arc<dyn Clock>) -> Result<Store> {
        Store::open(StoreOptions { url: self.url.clone(), limits }, clock).await
    }

    /// The file, where it is one.
    pub(crate) fn file(&self) -> PathBuf {
        PathBuf::from(self.url.strip_prefix("sqlite:").expect("only SQLite has a file"))
    }

    /// Another program changes something: how many rows. The text is the test's own.
    pub(crate) async fn alter(&self, sql: &str) -> u64 {
        if let Some(file) = self.url.strip_prefix("sqlite:") {
            let conn = rusqlite::Connection::open(file).unwrap();
            conn.busy_timeout(Duration::from_secs(5)).unwrap();
            return conn.execute(sql, []).unwrap() as u64;
        }
        server_says(&self.name(), sql).await
    }

    /// Every row of a table as text, in an order that depends on nothing else.
    pub(crate) async fn rows(&self, table: &str, columns: &[String]) -> Vec<Vec<Option<String>>> {
        let mut rows = if let Some(file) = self.url.strip_prefix("sqlite:") {
            let text = |name: &String| {
                format!(
                    "CASE typeof({name}) WHEN 'blob' THEN '\\x' || lower(hex({name})) ELSE CAST({name} AS TEXT) END"
                )
            };
            let select = columns.iter().map(text).collect::<Vec<_>>().join(", ");
            let conn = rusqlite::Connection::open(file).unwrap();
            let mut rows = conn.prepare(&format!("SELECT {select} FROM {table}")).unwrap();
            let row = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|at| row.get(at)).collect();
            rows.query_map([], row).unwrap().collect::<rusqlite::Result<Vec<_>>>().unwrap()
        } else {
            let text = |name: &String| format!("CAST({name} AS TEXT)");
            let select = columns.iter().map(text).collect::<Vec<_>>().join(", ");
            let options = PgConnectOptions::from_str(&server()).unwrap().database(&self.name());
            let mut conn = PgConnection::connect_with(&options).await.unwrap();
            let rows = sqlx::raw_sql(AssertSqlSafe(format!("SELECT {select} FROM {table}")));
            let rows = rows.fetch_all(&mut conn).await.unwrap();
            conn.close().await.unwrap();
            rows.iter().map(|row| (0..columns.len()).map(|at| row.get(at)).collect()).collect()
        };
        rows.sort();
        rows
    }

    /// The tables of a file, each with its columns, those included that are worked out from others.
    pub(crate) fn tables(&self) -> Vec<(String, Vec<String>)> {
        let conn = rusqlite::Connection::open(self.file()).unwrap();
        let names = |sql: &str| -> Vec<String> {
            let mut names = conn.prepare(sql).unwrap();
            names.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
        };
        let tables = names("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
        let columns = |table: &str| names(&format!("SELECT name FROM pragma_table_xinfo('{table}')"));
        tables.into_iter().map(|table| (table.clone(), columns(&table))).collect()
    }

    fn name(&self) -> String {
        let name = self.url.rsplit('/').next().unwrap_or_default();
        name.split('?').next().unwrap_or_default().to_owned()
    }

    /// What another process finds after this one was killed.
    pub(crate) async fn found_after_kill(self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if self.url.starts_with("sqlite:") {
            let data = folder.path().join("data");
            std::fs::create_dir(&data).unwrap();
            for file in std::fs::read_dir(self.file().parent().unwrap()).unwrap() {
                let file = file.unwrap();
                std::fs::copy(file.path(), data.join(file.file_name())).unwrap();
            }
            return Self { url: format!("sqlite:{}", data.join("hookrun.db").display()), folder };
        }
        // It ends when its sessions do, and is not heard of any more.
        server_says(&self.name(), "UPDATE replicas SET seen_at = seen_at - 3600000").await;
        self
    }

    /// A folder that lives as long as the database.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}
