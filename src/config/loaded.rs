//! What the loader has read: [`Loaded`], [`Reload`].

use super::{fault::Fault, settings::Settings};
use crate::{domain::directory::Directory, tls::brought::Certs};

/// A configuration that may go into service.
#[derive(Debug)]
pub struct Loaded {
    /// What belongs to the gateway as a whole.
    pub settings: Settings,
    /// Tenants and servers.
    pub directory: Directory,
    /// The certificates of the hosts.
    pub certs: Certs,
    /// What works, but hardly as it was meant.
    pub warnings: Vec<Fault>,
}

/// What a reload found.
#[derive(Debug)]
pub struct Reload {
    /// The configuration to swap in; `None` when what is in service stays as it is.
    pub loaded: Option<Loaded>,
    /// Everything that is wrong with the files as they are now, whether or not it was so before.
    pub faults: Vec<Fault>,
}
