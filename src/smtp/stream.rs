//! The octets of a connection, plain or encrypted, and the header that a balancer puts before them.

use super::proxy;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

/// A TLS handshake, or a PROXY header, takes this long at most.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(30);

/// Plain or encrypted.
pub(super) enum Stream<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
    /// Between the two.
    None,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
            Self::None => Poll::Ready(Ok(())),
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Self::None => Ok(()),
        }
    }

    /// Reads what comes and throws it away, to the end: a socket that is closed with input unread resets the connection, and the client may lose the last words.
    pub(super) async fn drain(&mut self) {
        let mut chunk = [0; 512];
        let read = |stream: &mut Self, cx: &mut Context<'_>| {
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(stream.poll_read(cx, &mut chunk))?;
            Poll::Ready(std::io::Result::Ok(chunk.filled().len()))
        };
        let mut read = read;
        while matches!(poll_fn(|cx| read(self, cx)).await, Ok(1..)) {}
    }

    pub(super) async fn shutdown(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown().await,
            Self::Tls(stream) => stream.shutdown().await,
            Self::None => Ok(()),
        }
    }
}

/// Reads the PROXY header that a balancer sends first. Returns the client behind it, and what came after the header.
pub(super) async fn proxy_header<S: AsyncRead + Unpin>(stream: &mut S) -> Option<(Option<IpAddr>, Vec<u8>)> {
    let mut input = Vec::new();
    let read = async {
        loop {
            match proxy::read(&input) {
                proxy::Header::Is { length, client } => return Some((client, input.split_off(length))),
                proxy::Header::Bad => return None,
                proxy::Header::More => {
                    if stream.read_buf(&mut input).await.ok()? == 0 {
                        return None;
                    }
                }
            }
        }
    };
    timeout(HANDSHAKE, read).await.ok().flatten()
}
