//! A client that sends any bytes, over TLS as a tenant's browser does, or over nothing but TCP.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::support::{DEADLINE, Stage};

/// A TLS connection whose bytes are one's own.
pub struct Raw(pub TlsStream<TcpStream>);

impl Raw {
    /// Opens one for a host.
    pub async fn open(stage: &Stage, host: &str) -> Self {
        Self(stage.client().connect(host).await.unwrap())
    }

    /// Sends bytes; a connection that has been closed is no error, since that may be what is tried.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.0.write_all(bytes.as_ref()).await;
        let _ = self.0.flush().await;
        self
    }

    /// Everything that comes until the other side closes, or nothing has come for a while.
    pub async fn read_for(&mut self, most: Duration) -> String {
        let mut bytes = Vec::new();
        while let Ok(Ok(n)) = timeout(most, self.0.read_buf(&mut bytes)).await {
            if n == 0 {
                break;
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The head of the next answer, with its empty line; what came behind it is in it too.
    pub async fn head(&mut self) -> String {
        let mut bytes = Vec::new();
        while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
            if timeout(DEADLINE, self.0.read_buf(&mut bytes)).await.unwrap().unwrap_or(0) == 0 {
                break;
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Sends one request of these bytes on a connection of its own, and returns all that comes back.
pub async fn one(stage: &Stage, host: &str, request: &str) -> String {
    let mut raw = Raw::open(stage, host).await;
    raw.send(request).await.read_for(Duration::from_millis(500)).await
}

/// A text frame as a client sends it (RFC 6455, 5.2): whole and masked.
pub fn text_frame(text: &str) -> Vec<u8> {
    let mask = [7, 1, 8, 2];
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..126 => frame.push(0x80 | u8::try_from(short).unwrap()),
        long => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(text.bytes().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}
