//! Statements: one text for every database, with their values; also over many rows.

use std::borrow::Cow;
use std::fmt::Write;

use super::Conn;
use super::value::{Row, Value};
use crate::store::errors::{Result, StoreError};

/// A statement with the values that are bound to it. Its text is ours, with `$1`, `$2`, …; what is asked for is bound.
#[derive(Clone, Debug)]
pub(in crate::store) struct Query<'q> {
    sql: Cow<'q, str>,
    over: Over<'q>,
    pub(super) values: Vec<Value<'q>>,
}

/// What a statement goes over. A database in the process takes rows and members one by one by the same prepared statement,
/// one behind a socket all together.
#[derive(Clone, Copy, Debug)]
enum Over<'q> {
    /// Its values, once.
    Once,
    /// `VALUES` of many rows between the text of the statement and its end.
    Rows { columns: usize, after: &'q str },
    /// Members of a list, of which the text before ends with a column.
    Members,
}

/// A statement of our own text.
pub(in crate::store) fn query<'q>(sql: impl Into<Cow<'q, str>>) -> Query<'q> {
    Query { sql: sql.into(), over: Over::Once, values: Vec::new() }
}

/// A statement `before VALUES (…), (…) after` over rows of so many columns.
pub(in crate::store) fn many<'q>(before: &'q str, rows: usize, columns: usize, after: &'q str) -> Query<'q> {
    let values = Vec::with_capacity(rows * columns);
    Query { sql: Cow::Borrowed(before), over: Over::Rows { columns, after }, values }
}

/// A statement `before IN ($1, $2, …)` over a list of values, of which none comes twice; `before` ends with a column. Rows
/// come in no order.
pub(in crate::store) fn within(before: &str, values: usize) -> Query<'_> {
    Query { sql: Cow::Borrowed(before), over: Over::Members, values: Vec::with_capacity(values) }
}

/// Cuts rows into runs of powers of two up to 256, so that statements over many rows are prepared once and used again.
pub(in crate::store) fn runs<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = [256, 128, 64, 32, 16, 8, 4, 2, 1].into_iter().find(|size| *size <= rows.len())?;
        let (run, rest) = rows.split_at(size);
        rows = rest;
        Some(run)
    })
}

/// `($1, $2), ($3, $4)` for `rows` rows of `columns` columns, with that mark before the numbers.
fn placeholders(mark: char, rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 5);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            if column > 0 {
                text.push_str(", ");
            }
            let _ = write!(text, "{mark}{}", row * columns + column + 1);
        }
        text.push(')');
    }
    text
}

impl<'q> Query<'q> {
    /// Binds the next value.
    pub(in crate::store) fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs it; how many rows it changed.
    pub(in crate::store) async fn execute(self, conn: &mut Conn) -> Result<u64> {
        conn.execute(self).await
    }

    /// Every row that it answers.
    pub(in crate::store) async fn fetch_all(self, conn: &mut Conn) -> Result<Vec<Row>> {
        conn.fetch(self).await
    }

    /// The first row, if there is one.
    pub(in crate::store) async fn fetch_optional(self, conn: &mut Conn) -> Result<Option<Row>> {
        Ok(conn.fetch(self).await?.into_iter().next())
    }

    /// The first row, which must be there.
    pub(in crate::store) async fn fetch_one(self, conn: &mut Conn) -> Result<Row> {
        self.fetch_optional(conn).await?.ok_or_else(|| StoreError::NotFound("row where one must be".to_owned()))
    }

    /// The text for a database that takes everything at once, numbers marked by `$`.
    pub(super) fn at_once(&self) -> Cow<'_, str> {
        match self.over {
            Over::Once => Cow::Borrowed(&self.sql),
            Over::Rows { columns, after } => {
                let rows = self.values.len() / columns;
                Cow::Owned(format!("{} VALUES {} {after}", self.sql, placeholders('$', rows, columns)))
            }
            Over::Members => Cow::Owned(format!("{} IN {}", self.sql, placeholders('$', 1, self.values.len()))),
        }
    }

    /// The text for a database that takes rows and members one by one, numbers marked by `?`, and the values of each time.
    pub(super) fn one_by_one(&self) -> (Cow<'_, str>, impl Iterator<Item = &[Value<'q>]>) {
        let (sql, each) = match self.over {
            Over::Once if self.sql.contains('$') => (Cow::Owned(self.sql.replace('$', "?")), None),
            Over::Once => (Cow::Borrowed(&*self.sql), None),
            Over::Rows { columns, after } => {
                let sql = format!("{} VALUES {} {after}", self.sql, placeholders('?', 1, columns));
                (Cow::Owned(sql), Some(columns))
            }
            Over::Members => (Cow::Owned(format!("{} = ?1", self.sql)), Some(1)),
        };
        // A statement without values runs once all the same.
        let once = each.is_none().then_some(&self.values[..]);
        let many = if each.is_some() { &self.values[..] } else { &[] };
        (sql, many.chunks_exact(each.unwrap_or(1)).chain(once))
    }
}
