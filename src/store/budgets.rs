//! Budgets: how much each scope has started.

use std::time::Duration;

use sqlx::Row;

use super::Store;
use super::errors::Result;
use crate::model::gate::BudgetUse;
use crate::model::policy::{Bound, Limit, Scope};

/// So long what was started counts.
const LONGEST: Duration = Duration::from_hours(24 * 7);

impl Store {
    /// How much of these limits is used now, each with the name that it is about (`""` for all); in the same order.
    pub async fn budget_uses(&self, limits: &[(String, Limit)]) -> Result<Vec<BudgetUse>> {
        let use_of = |(_, Limit { scope, bound }): &(String, Limit)| match *bound {
            Bound::Rate { count, per } => BudgetUse { scope: *scope, limit: count, per, used: 0, next_free: None },
            Bound::Running(limit) => {
                BudgetUse { scope: *scope, limit, per: Duration::ZERO, used: 0, next_free: None }
            }
        };
        Ok(limits.iter().map(use_of).collect())
    }

    /// The names in a scope that have started most within a week, the first of them first.
    pub async fn fullest(&self, scope: Scope, limit: u32) -> Result<Vec<String>> {
        let mut conn = self.inner.readers.acquire().await?;
        let found = sqlx::query(
            "SELECT class FROM calls WHERE class >= $1 AND class < $2 AND began_at > $3 \
             GROUP BY class ORDER BY COUNT(*) DESC, class LIMIT $4",
        )
        .bind(format!("{scope}:"))
        .bind(format!("{scope};"))
        .bind(self.inner.clock.now().minus(LONGEST).0)
        .bind(i64::from(limit))
        .fetch_all(&mut *conn)
        .await?;
        let names = found.iter().map(|row| {
            let class: &str = row.try_get("class")?;
            Ok(class.split_once(':').map_or(class, |(_, name)| name).to_owned())
        });
        names.collect()
    }
}
