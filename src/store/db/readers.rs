//! Connections for reading: a few, made when they are needed, kept for the next one.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::{Address, Conn, closed};
use crate::store::errors::{Result, StoreError};

/// Few readers and small caches: the dashboard and the status API need no more, and idle memory counts.
const READERS: usize = 4;
/// How long to wait for one that is free.
const WAIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Readers {
    address: Address,
    idle: Mutex<Vec<Conn>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(address: Address) -> Self {
        Self { address, idle: Mutex::default(), permits: Arc::new(Semaphore::new(READERS)) }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Conn>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends those that are idle; the others end when they are given back.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle().clear();
    }
}

/// A connection for reading, given back when it is dropped.
#[derive(Debug)]
pub(in crate::store) struct Reader {
    conn: Option<Conn>,
    readers: Arc<Readers>,
    _permit: OwnedSemaphorePermit,
}

pub(super) async fn acquire(readers: &Arc<Readers>) -> Result<Reader> {
    let permit = tokio::time::timeout(WAIT, Arc::clone(&readers.permits).acquire_owned());
    let permit = permit.await.map_err(|_| StoreError::Busy("every reader is busy".to_owned()))?;
    let permit = permit.map_err(|_| closed())?;
    let idle = readers.idle().pop();
    let conn = match idle {
        Some(conn) => conn,
        None => readers.address.reader().await?,
    };
    Ok(Reader { conn: Some(conn), readers: Arc::clone(readers), _permit: permit })
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take().filter(|conn| !conn.lost && !self.readers.permits.is_closed()) {
            self.readers.idle().push(conn);
        }
    }
}

impl Deref for Reader {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        self.conn.as_ref().unwrap_or_else(|| unreachable!("a reader has a connection until it is dropped"))
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut Conn {
        self.conn.as_mut().unwrap_or_else(|| unreachable!("a reader has a connection until it is dropped"))
    }
}

/// A connection for reading that still knows what it has read before: that which writes, where others forget it.
#[derive(Debug)]
pub(in crate::store) enum Warm {
    Writer(OwnedMutexGuard<Conn>),
    Reader(Reader),
}

impl Deref for Warm {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        match self {
            Self::Writer(conn) => conn,
            Self::Reader(conn) => conn,
        }
    }
}

impl DerefMut for Warm {
    fn deref_mut(&mut self) -> &mut Conn {
        match self {
            Self::Writer(conn) => conn,
            Self::Reader(conn) => conn,
        }
    }
}
