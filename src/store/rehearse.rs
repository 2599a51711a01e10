//! What accepting would do, without doing it: the accept transaction itself, taken back.

use bytes::Bytes;

use super::bodies::{Body, Packer};
use super::db::query;
use super::errors::Result;
use super::writer::Prepared;
use super::{Store, accept};
use crate::model::acceptance::{Acceptance, Accepted};

impl Store {
    /// What [`Self::accept`] would answer now. The jobs that it says were made are not there.
    pub async fn rehearse(&self, acceptance: Acceptance) -> Result<Accepted> {
        let mut tx = self.inner.db.begin().await?;
        let size = acceptance.body.len();
        let group = [Prepared { acceptance, size, body: Body::Plain(Bytes::new()) }];
        let packs = Packer::default().pack(&group);
        let (mut accepted, _) = accept::group(&mut tx, &group, &packs, self.inner.clock.now()).await?;
        tx.rollback().await;
        Ok(accepted.remove(0))
    }

    /// How often a rule has taken a happening once more on purpose (`HAPPENING#replay-N`).
    pub async fn replays(&self, rule: &str, happening: &str) -> Result<u64> {
        let mut conn = self.inner.db.read().await?;
        // '.' is the character after '-'.
        let row = query("SELECT COUNT(*) AS n FROM claims WHERE rule = $1 AND happening > $2 AND happening < $3")
            .bind(rule)
            .bind(format!("{happening}#replay-"))
            .bind(format!("{happening}#replay."))
            .fetch_one(&mut conn)
            .await?;
        Ok(row.try_get::<i64>("n")?.max(0) as u64)
    }
}
