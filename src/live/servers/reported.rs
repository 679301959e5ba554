//! [`Reported`]: what a server reports of itself.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Serialize};

use crate::bbb::release::Release;

/// What a server reports of itself, at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// `bbbVersion`; empty where it does not tell.
    pub bbb: String,
    /// `html5PluginSdkVersion`.
    pub plugin_sdk: String,
    /// Whether it is older than 3.0: it has no GraphQL then.
    pub before_3: bool,
}

/// What a server has reported of itself last.
#[derive(Debug, Default)]
pub struct Reported {
    bbb: ArcSwapOption<String>,
    plugin_sdk: ArcSwapOption<String>,
    /// Whether it is older than 3.0, as far as its version call has told.
    before_3: AtomicBool,
}

impl Reported {
    /// The BBB version that it tells; empty where it tells none.
    pub fn bbb(&self) -> Option<Arc<String>> {
        self.bbb.load_full()
    }

    /// `html5PluginSdkVersion` as the server reports it; `None` where it is to be asked.
    pub fn plugin_sdk(&self) -> Option<Arc<String>> {
        self.plugin_sdk.load_full()
    }

    /// Whether it is older than 3.0: it has no GraphQL, and takes some calls in other ways.
    pub fn is_before_3(&self) -> bool {
        self.before_3.load(Relaxed)
    }

    /// The release that it runs, as far as it tells.
    pub fn release(&self) -> Option<Release> {
        let (bbb, plugin_sdk) = (self.bbb.load(), self.plugin_sdk.load());
        Release::told(bbb.as_deref().map_or("", String::as_str), plugin_sdk.as_deref().map_or("", String::as_str))
    }

    /// Notes what the server reports of itself.
    pub fn set(&self, version: Version) {
        self.plugin_sdk.store(Some(Arc::new(version.plugin_sdk)));
        self.bbb.store(Some(Arc::new(version.bbb)));
        self.before_3.store(version.before_3, Relaxed);
    }

    /// It may have changed: the next poll asks for its version.
    pub(super) fn ask_again(&self) {
        self.plugin_sdk.store(None);
    }
}
