//! Single values that the database keeps under a name.

use super::db::{Conn, query};
use super::errors::Result;

/// Keeps a value under a name, in place of the one before.
pub(super) async fn set(conn: &mut Conn, name: &str, value: impl Into<Vec<u8>>) -> Result<()> {
    query("INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
        .bind(name)
        .bind(value.into())
        .execute(conn)
        .await?;
    Ok(())
}
