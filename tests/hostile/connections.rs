//! Connections, handshakes and rates: a stranger's share is bounded, and the way to servers and store stays free.
