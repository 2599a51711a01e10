//! The connections of one listener: HTTP/1.1, timed headers, and an end that finishes what has begun.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How much a head may hold; hosts send about 1 KiB.
const HEAD_BYTES: usize = 64 * 1024;

/// When everything stops: how long a connection may still take to send the rest of a head. What has sent a whole one is
/// answered.
const LAST_HEAD: Duration = Duration::from_secs(2);

/// Serves `router` on `listener` until `soft` is cancelled; then accepts nothing more but what had connected before, ends
/// idle connections and lets the requests under way finish until `hard` is cancelled. `header_timeout` runs while a head is
/// awaited, so it also ends connections that stay idle.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    soft: CancellationToken,
    hard: CancellationToken,
    header_timeout: Duration,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(HEAD_BYTES);
    let connections = TaskTracker::new();
    let take = |stream| {
        let connection = connection(http.clone(), stream, router.clone(), soft.clone());
        let hard = hard.clone();
        connections.spawn(async move { hard.run_until_cancelled(connection).await });
    };
    while let Some(accepted) = soft.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, _)) => take(stream),
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                // Out of file descriptors or memory: the next accept would fail at once and spin.
                tracing::error!(%error, "cannot accept connections");
                soft.run_until_cancelled(tokio::time::sleep(Duration::from_millis(100))).await;
            }
        }
    }
    // Their peers know them as connected: closing the listener would reset them.
    while let Ok(Ok((stream, _))) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
        take(stream);
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(http: http1::Builder, stream: TcpStream, router: Router, soft: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let (router, under_way) = (TowerToHyperService::new(router), Arc::new(AtomicUsize::new(0)));
    let answering = Arc::clone(&under_way);
    let service = service_fn(move |request: Request<Incoming>| {
        answering.fetch_add(1, Ordering::Relaxed);
        let (answer, answering) = (router.call(request), Arc::clone(&answering));
        async move {
            let answer = answer.await;
            answering.fetch_sub(1, Ordering::Relaxed);
            answer
        }
    });
    let mut served = pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        biased;
        ended = served.as_mut() => ended,
        () = soft.cancelled() => {
            served.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST_HEAD, served.as_mut()).await {
                Ok(ended) => ended,
                // Who sends a head for ever would hold up the end of everything.
                Err(_) if under_way.load(Ordering::Relaxed) == 0 => return,
                Err(_) => served.await,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}
