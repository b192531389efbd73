//! The operator's endpoint: `/metrics` (OpenMetrics) and `/health`. Reads, never changes anything; nothing of a message is in it.

use crate::metrics::Metrics;
use crate::types::network::client_key;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What `/health` answers: `Err` names what is wrong, in our own words.
pub type Health = Arc<dyn Fn() -> Result<(), &'static str> + Send + Sync>;

/// Connections at once. The next one is taken all the same, and an older one ends for it.
const CONNECTIONS: usize = 64;
/// A scraper has this long to send its request.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// A connection lives this long at most.
const CONNECTION_TIME: Duration = Duration::from_secs(60);

/// Answers until the task is dropped.
pub async fn run(listener: TcpListener, metrics: Metrics, health: Health) {
    let mut open = Open::default();
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: they come back.
                tracing::warn!(kind = ?error.kind(), "metrics accept failed");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        open.make_room();
        let connection = tokio::spawn(serve(stream, metrics.clone(), Arc::clone(&health)));
        open.0.push_back((client_key(from.ip()), connection.abort_handle()));
    }
}

/// The connections that are served, the oldest first, each with its client.
#[derive(Default)]
struct Open(VecDeque<(u128, AbortHandle)>);

impl Open {
    /// Nobody waits in the kernel behind those who send half a request and then nothing: where all
    /// places are taken, the client that holds most of them loses its oldest.
    ///
    /// An honest scraper sends its request at once and is answered in a millisecond; one that keeps
    /// its connection may lose it under such an attack, and connects again. Who attacks learns
    /// nothing, and ends his own connections first.
    fn make_room(&mut self) {
        self.0.retain(|(_, connection)| !connection.is_finished());
        if self.0.len() < CONNECTIONS {
            return;
        }
        let mut held: HashMap<u128, usize> = HashMap::new();
        for (client, _) in &self.0 {
            *held.entry(*client).or_default() += 1;
        }
        let most = held.values().copied().max();
        let oldest = self.0.iter().position(|(client, _)| held.get(client).copied() == most);
        if let Some((_, connection)) = oldest.and_then(|at| self.0.remove(at)) {
            connection.abort();
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        for (_, connection) in &self.0 {
            connection.abort();
        }
    }
}

async fn serve(stream: TcpStream, metrics: Metrics, health: Health) {
    let service = hyper::service::service_fn(move |request| {
        let response = answer(&request, &metrics, &health);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    // A scraper that breaks off is its own affair.
    let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
}

fn answer(request: &Request<Incoming>, metrics: &Metrics, health: &Health) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n".into());
    }
    match request.uri().path() {
        "/metrics" => {
            let mut response = text(StatusCode::OK, metrics.text());
            let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        "/health" => match health() {
            Ok(()) => text(StatusCode::OK, "ok\n".into()),
            Err(what) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{what}\n")),
        },
        _ => text(StatusCode::NOT_FOUND, "/metrics and /health are here\n".into()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn get(port: u16, request: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream
            .write_all(format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut out = String::new();
        stream.read_to_string(&mut out).await.unwrap();
        out
    }

    #[tokio::test]
    async fn answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sick = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let health: Health = {
            let sick = Arc::clone(&sick);
            Arc::new(
                move || if sick.load(std::sync::atomic::Ordering::Relaxed) { Err("store: read only") } else { Ok(()) },
            )
        };
        let server = tokio::spawn(run(listener, Metrics::default(), health));
        // request, status line, somewhere in the body
        let cases = [
            ("GET /metrics", "HTTP/1.1 200", "# EOF"),
            ("GET /health", "HTTP/1.1 200", "ok"),
            ("GET /other", "HTTP/1.1 404", "/metrics"),
            ("POST /metrics", "HTTP/1.1 405", "GET"),
        ];
        for (request, status, body) in cases {
            let got = get(port, request).await;
            assert!(got.starts_with(status) && got.contains(body), "{request}: {got}");
        }
        sick.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(get(port, "GET /health").await.starts_with("HTTP/1.1 503"));
        server.abort();
    }

    /// However many send half a request and wait, the next whole one is answered, long before their
    /// time is over.
    #[tokio::test]
    async fn half_sent_requests_hold_nobody_up() {
        let halves = [
            "",
            "G",
            "GET /health",
            "GET /health HTTP/1.1\r\nHost: x\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
        ];
        for (count, half) in [(20, 2), (500, 0), (500, 1), (500, 2), (500, 3), (500, 4)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = tokio::spawn(run(listener, Metrics::default(), Arc::new(|| Ok(()))));
            let mut held = Vec::new();
            for _ in 0..count {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                // Those that were closed already say so.
                let _ = stream.write_all(halves[half].as_bytes()).await;
                held.push(stream);
            }
            let asked = tokio::time::timeout(HEADER_TIME / 2, get(port, "GET /health")).await;
            assert!(asked.expect("it waits for the others").starts_with("HTTP/1.1 200"), "{count} of {half}");
            server.abort();
        }
    }

    /// One client with many connections cannot end those of another.
    #[tokio::test]
    async fn the_client_with_most_connections_loses_its_oldest() {
        let waiting = || tokio::spawn(std::future::pending::<()>());
        let mut open = Open::default();
        let scraper = waiting();
        open.0.push_back((1, scraper.abort_handle()));
        for _ in 0..CONNECTIONS * 3 {
            open.make_room();
            open.0.push_back((2, waiting().abort_handle()));
            tokio::task::yield_now().await;
        }
        assert_eq!(open.0.len(), CONNECTIONS);
        assert!(!scraper.is_finished(), "the scraper keeps its connection");
        // All from one address: the oldest goes.
        let mut open = Open::default();
        for _ in 0..CONNECTIONS {
            open.0.push_back((3, waiting().abort_handle()));
        }
        let oldest = open.0.front().unwrap().1.clone();
        open.make_room();
        tokio::task::yield_now().await;
        assert!(oldest.is_finished() && open.0.len() == CONNECTIONS - 1);
        drop(open);
        drop(scraper);
    }
}
