//! TLS: the certificates of the tenants' hosts. Knows hosts, knows nothing of tenants and levels.

pub mod certs;
