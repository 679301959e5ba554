//! Settings of sockets, of browsers and of servers alike.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

/// How long a peer of a WebSocket may leave unanswered what was sent to it. Longer than a line is away now and then; as long
/// as keep-alive takes to notice the same where nothing is sent.
pub const UNANSWERED_MAX: Duration = Duration::from_secs(120);

/// Small frames go out at once, and a peer that has vanished is noticed within two minutes, on either side of the gateway, as
/// long as nothing is sent to it.
pub fn tune<'a>(socket: impl Into<SockRef<'a>>) {
    let socket = socket.into();
    let _ = socket.set_tcp_nodelay(true);
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);
    let _ = socket.set_tcp_keepalive(&keepalive);
}

/// What the system takes to be sent, in bytes, beyond what is on its way to the reader: the speed of a line is no matter of it.
const UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// For who reads slowly little is encrypted, and held by the system, ahead of what is taken. Holds for what a listener accepts.
pub fn bound_unsent(listener: &TcpListener) {
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(listener).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
}

/// The same where something is sent: by itself the system goes on trying for a quarter of an hour. Only for WebSockets: of other
/// connections there are time limits, and a paused download takes nothing for longer.
pub fn notice_loss(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    let _ = SockRef::from(stream).set_tcp_user_timeout(Some(UNANSWERED_MAX));
}
