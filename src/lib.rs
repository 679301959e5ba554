//! Anteroom: a multi-tenant gateway in front of BigBlueButton.
//!
//! In reading order:
//!
//! * [`domain`]: tenants, policies, admission, placement; no I/O
//! * [`config`]: the operator's files, parsed into a directory
//! * [`bbb`]: BBB's protocol
//! * [`shares`]: what there is only so much of, shared fairly
//! * [`live`]: the meetings, sessions and servers of now
//! * [`store`]: the durable promises
//! * [`net`]: connections before they are HTTP: how many, how fast, from whom
//! * [`tls`]: certificates and handshakes
//! * [`dns`]: what name servers say about the hosts, and what to do about it
//! * [`acme`]: certificates from a CA
//! * [`certificates`]: how certificates are ordered, kept and renewed
//! * [`upstream`]: connections to the servers
//! * [`meetings`]: the use cases: create, join, find, list, end; the only writer of both state and store
//! * [`proxy`]: requests, and what becomes of them
//! * [`poll`]: what the servers say
//! * [`replicas`]: what other gateways on the same store do
//! * [`private`]: files that only their owner reads
//! * [`supervise`]: tasks that live as long as the gateway
//! * [`usage`]: what tenants have used
//! * [`metrics`], [`admin`]: what the operator sees
//! * [`app`], [`cli`]: all of it joined

pub mod acme;
pub mod admin;
pub mod app;
pub mod bbb;
pub mod certificates;
pub mod cli;
pub mod config;
pub mod dns;
pub mod domain;
pub mod live;
pub mod meetings;
pub mod metrics;
pub mod net;
pub mod poll;
pub mod private;
pub mod proxy;
pub mod replicas;
pub mod shares;
pub mod store;
pub mod supervise;
pub mod tls;
pub mod upstream;
pub mod usage;
