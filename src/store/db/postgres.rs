//! All that is peculiar to PostgreSQL: connecting, the lock that writers take in turn, rows, what its errors mean.

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::Query as Statement;
use sqlx::{AssertSqlSafe, Column as _, Connection as _, PgConnection, Postgres, Row as _, TypeInfo as _};

use super::query::Query;
use super::value::{Cell, Row, Value};
use crate::store::errors::{Result, StoreError};

/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 512;
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take: longer than the server lets a statement run, so that only a server or a network that is gone
/// is met by it.
const ANSWER: Duration = Duration::from_secs(65);

/// What every session is told. A session that hangs in a transaction is ended, so that a replica which stops in the middle
/// of one holds nobody up; one whose machine is gone is noticed; a server that was told not to wait for its disk waits for
/// ours.
const SESSION: &str = "SET lock_timeout = '10s'; SET statement_timeout = '60s'; \
    SET idle_in_transaction_session_timeout = '10s'; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
    SET tcp_keepalives_count = 3; SET tcp_user_timeout = '15s'; SET client_min_messages = warning; \
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// One writer at a time in the whole cluster, as with SQLite: what is decided together is never decided twice. Each statement
/// sees what was committed before it, also where sessions are told otherwise by default. The number is our own; it stands
/// for nothing.
pub(super) const BEGIN: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock(7201518422)";

/// Every index finds a row at once.
pub(super) const PLACE_OF_ROWS: &str = "id";

/// The channel on which replicas tell each other that there is work.
pub(super) const CHANNEL: &str = "hookrun";

/// Commits, and tells every replica that there is work.
pub(super) const COMMIT_AND_TELL: &str = "SELECT pg_notify('hookrun', ''); COMMIT";

/// Reads `postgres://…`. The error does not show it: it may hold a password.
pub(super) fn options(url: &str) -> Result<PgConnectOptions> {
    let options = PgConnectOptions::from_str(url).map_err(|_| {
        StoreError::Address("the database is no address like \"postgres://user@host/database\"".to_owned())
    })?;
    Ok(options.application_name("hookrun").statement_cache_capacity(STATEMENTS))
}

/// A new session.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    let late = |_| StoreError::Busy("PostgreSQL does not answer".to_owned());
    // Apart: it is large, rarely needed, and part of everything that reads or writes, which is moved at every call.
    let connecting = Box::pin(PgConnection::connect_with(options));
    let mut conn = tokio::time::timeout(CONNECT, connecting).await.map_err(late)??;
    tell(&mut conn, SESSION).await?;
    Ok(conn)
}

/// Runs our own text that may be several statements and answers nothing.
pub(super) async fn tell(conn: &mut PgConnection, sql: &str) -> Result<()> {
    in_time(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn)).await?;
    Ok(())
}

/// An answer of the server, or that it is gone: nobody else would ever notice a host that has lost its power.
async fn in_time<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T> {
    let late = |_| StoreError::Lost("PostgreSQL does not answer any more".to_owned());
    Ok(tokio::time::timeout(ANSWER, answer).await.map_err(late)??)
}

/// PostgreSQL stores no NUL in a text. What shows one takes its place, in what is stored and in what is asked for alike.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{2400}")
}

fn prepare(query: &Query<'_>) -> Statement<'static, Postgres, PgArguments> {
    let mut statement = sqlx::query(AssertSqlSafe(query.at_once().into_owned()));
    for value in &query.values {
        statement = match value {
            Value::Text(text) => statement.bind(text.as_deref().map(without_nul)),
            Value::Number(number) => statement.bind(*number),
            Value::Bytes(bytes) => statement.bind(bytes.as_deref().map(<[u8]>::to_vec)),
        };
    }
    statement
}

/// Runs a statement; how many rows it changed.
pub(super) async fn execute(conn: &mut PgConnection, query: &Query<'_>) -> Result<u64> {
    Ok(in_time(prepare(query).execute(conn)).await?.rows_affected())
}

/// Runs a statement; every row that it answers.
pub(super) async fn fetch(conn: &mut PgConnection, query: &Query<'_>) -> Result<Vec<Row>> {
    let found = in_time(prepare(query).fetch_all(conn)).await?;
    let Some(first) = found.first() else { return Ok(Vec::new()) };
    let columns: Arc<[String]> = first.columns().iter().map(|column| column.name().to_owned()).collect();
    found.iter().map(|row| read(row, &columns)).collect()
}

fn read(row: &PgRow, columns: &Arc<[String]>) -> Result<Row> {
    let cell = |at: usize| -> Result<Cell> {
        Ok(match row.column(at).type_info().name() {
            "INT8" => row.try_get::<Option<i64>, _>(at)?.map_or(Cell::Null, Cell::Number),
            "INT4" => row.try_get::<Option<i32>, _>(at)?.map_or(Cell::Null, |number| Cell::Number(number.into())),
            "BOOL" => row.try_get::<Option<bool>, _>(at)?.map_or(Cell::Null, |truth| Cell::Number(truth.into())),
            "BYTEA" => row.try_get::<Option<Vec<u8>>, _>(at)?.map_or(Cell::Null, Cell::Bytes),
            "VOID" => Cell::Null,
            _ => row.try_get::<Option<String>, _>(at)?.map_or(Cell::Null, Cell::Text),
        })
    };
    let cells = (0..columns.len()).map(cell).collect::<Result<_>>()?;
    Ok(Row::new(Arc::clone(columns), cells))
}

/// Whether a session cannot be used any more.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P"))
        }
        _ => false,
    }
}

/// Whether an error means "not now": connections, resources, somebody ended or blocked it, a standby, the system below.
fn is_busy(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))
                || code == "25006"
                || code == "25P03"
        }),
        _ => is_lost(error),
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(database) = &error
            && database.code().is_some_and(|code| code.starts_with("XX"))
        {
            return Self::Damaged(database.message().to_owned());
        }
        if is_lost(&error) {
            // Once it is known to be lost, nobody uses the session again: see `Conn`.
            return Self::Lost(error.to_string());
        }
        if is_busy(&error) { Self::Busy(error.to_string()) } else { Self::Database(Box::new(error)) }
    }
}
