//! HTTP/1.1 client for the upstreams: BBB servers and tenants' frontends.
//!
//! `pool` keeps idle connections, a `link` is one connection, an `answer` a response. Requests use the pool; each WebSocket has
//! its own connection. Both open connections in the same way.

mod answer;
mod api_call;
mod backends;
mod body;
mod carried;
mod connector;
mod discard;
#[doc(hidden)]
pub mod fuzzing;
mod incoming;
mod link;
mod pool;
mod rate;
mod receivers;
mod resolver;
#[cfg(test)]
mod tests;
mod upgrade;
mod version;
mod watch;

pub use answer::Answer;
pub use api_call::{ApiCall, Caller, Referrer, Reply};
pub use backends::Backends;
pub use body::{Body, whole};
pub use carried::Carried;
pub use connector::{CONNECT_TIMEOUT, Connector, Stream};
pub use discard::{Discards, Source};
pub use incoming::Incoming;
pub use pool::{Once, Pool};
pub use rate::LeastRate;
pub use receivers::{Lookup, Receivers, Undelivered};
pub use resolver::Resolver;
pub use upgrade::Upgrade;
pub use version::version;
pub use watch::{BodyError, Watch};
