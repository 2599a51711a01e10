//! Statements over many rows, in a few sizes so that they are prepared once and used again.

use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Database};

use super::sqlite::Db;

type Arguments = <Db as Database>::Arguments;

/// Cuts rows into runs of 64, 16, 4 and 1.
pub(super) fn runs<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = [64, 16, 4, 1].into_iter().find(|size| *size <= rows.len())?;
        let (run, rest) = rows.split_at(size);
        rows = rest;
        Some(run)
    })
}

/// `($1, $2), ($3, $4)` for `rows` rows of `columns` columns.
fn placeholders(rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 5);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            if column > 0 {
                text.push_str(", ");
            }
            text.push('$');
            text.push_str(&(row * columns + column + 1).to_string());
        }
        text.push(')');
    }
    text
}

/// A statement `before VALUES (…), (…) after`. Both texts are ours; values are always bound.
pub(super) fn many<'a>(before: &str, rows: usize, columns: usize, after: &str) -> Query<'a, Db, Arguments> {
    sqlx::query(AssertSqlSafe(format!("{before} VALUES {} {after}", placeholders(rows, columns))))
}

/// A statement `before ($1, $2, …)` over a list of values.
pub(super) fn within<'a>(before: &str, values: usize) -> Query<'a, Db, Arguments> {
    sqlx::query(AssertSqlSafe(format!("{before} {}", placeholders(1, values))))
}
