//! What Anteroom is tried against: a simulated BigBlueButton server, and the signing that an API client does.
//!
//! Nothing in here shares code with the gateway, so that a fault of one cannot hide in the other.

pub mod chance;
pub mod clock;
pub mod h2;
pub mod load;
pub mod pgbouncer;
pub mod postgres;
pub mod sign;
pub mod sim;
