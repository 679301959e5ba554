//! A browser's connection.

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::corked::Corked;
use crate::net::orderly::Layered;

/// A browser's connection.
pub(crate) type Downstream = TlsStream<Corked<TcpStream>>;

impl Layered for Downstream {
    type Carrier = TcpStream;

    fn carrier(&mut self) -> &mut TcpStream {
        self.get_mut().0.inner_mut()
    }
}
