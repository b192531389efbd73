//! One GET over HTTPS, and no more than a policy needs (RFC 8461 3.3): the certificate is verified, redirects are not followed, the
//! answer is short and in time.

use crate::dns::Dns;
use crate::types::network::is_internal;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// All of it takes this long at most (RFC 8461 3.3 suggests a minute; mail waits for it).
const LIMIT: Duration = Duration::from_secs(20);
/// One address has this long to answer.
const CONNECT: Duration = Duration::from_secs(5);
/// Addresses that are tried.
const ADDRESSES: usize = 3;
/// Octets of a policy.
const SIZE: usize = 64 * 1024;
/// Octets of the head of the answer.
const HEAD: usize = 16 * 1024;

/// What it takes to fetch.
pub(super) struct Fetcher {
    /// Verifies.
    pub(super) tls: Arc<ClientConfig>,
    /// 443.
    pub(super) port: u16,
    /// Whether a policy host may be inside our network.
    pub(super) allow_private: bool,
}

impl Fetcher {
    /// The policy's text.
    ///
    /// # Errors
    /// A word on what is wrong, for the log.
    pub(super) async fn get(&self, dns: &dyn Dns, domain: &str) -> Result<String, &'static str> {
        timeout(LIMIT, self.fetch(dns, domain)).await.unwrap_or(Err("no answer in time"))
    }

    async fn fetch(&self, dns: &dyn Dns, domain: &str) -> Result<String, &'static str> {
        let host = format!("mta-sts.{domain}");
        let name = ServerName::try_from(host.clone()).map_err(|_| "not a host name")?;
        let addresses = dns.addresses(&host).await.map_err(|_| "no address")?.records;
        let mut allowed = addresses.into_iter().filter(|ip| self.allow_private || !is_internal(*ip)).take(ADDRESSES);
        let stream = loop {
            let ip = allowed.next().ok_or("cannot connect")?;
            let connect = TcpStream::connect(SocketAddr::new(ip, self.port));
            if let Ok(Ok(stream)) = timeout(CONNECT, connect).await {
                break stream;
            }
        };
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await;
        let stream = TokioIo::new(tls.map_err(|_| "the certificate is not good")?);
        let handshake = http1::Builder::new().max_buf_size(HEAD).handshake(stream).await;
        let (mut sender, connection) = handshake.map_err(|_| "not HTTP")?;
        let request = Request::get("/.well-known/mta-sts.txt").header(HOST, host.as_str()).body(Empty::<Bytes>::new());
        let request = request.map_err(|_| "not a host name")?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|_| "not HTTP")?;
            if response.status() != StatusCode::OK {
                return Err("the answer is not 200");
            }
            let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
            if !kind.split(';').next().unwrap_or("").trim().eq_ignore_ascii_case("text/plain") {
                return Err("the answer is not text/plain");
            }
            let body = Limited::new(response.into_body(), SIZE).collect().await.map_err(|_| "too long or cut")?;
            String::from_utf8(body.to_bytes().to_vec()).map_err(|_| "not UTF-8")
        };
        // The connection moves while the answer is awaited, and goes with it.
        tokio::pin!(answer);
        tokio::pin!(connection);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            _ = &mut connection => answer.await,
        }
    }
}
