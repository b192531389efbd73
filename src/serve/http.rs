//! The operator's endpoint: `/metrics` (OpenMetrics) and `/health`. Reads, never changes anything; nothing of a message is in it.

use crate::metrics::Metrics;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What `/health` answers: `Err` names what is wrong, in our own words.
pub type Health = Arc<dyn Fn() -> Result<(), &'static str> + Send + Sync>;

/// Scrapers at once; more wait in the kernel.
const CONNECTIONS: usize = 16;
/// A scraper has this long to send its request.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// A connection lives this long at most.
const CONNECTION_TIME: Duration = Duration::from_secs(60);

/// Answers until the task is dropped.
pub async fn run(listener: TcpListener, metrics: Metrics, health: Health) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, most likely: they come back.
                tracing::warn!(kind = ?error.kind(), "metrics accept failed");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let (metrics, health) = (metrics.clone(), Arc::clone(&health));
        tokio::spawn(async move {
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
            drop(place);
        });
    }
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
}
