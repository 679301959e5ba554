//! [`Branding`]: what a tenant's meetings look like.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;

/// A file of a tenant that is served from its own host.
#[derive(Debug, PartialEq, Eq)]
pub struct Asset {
    /// The name of its file.
    pub name: Box<str>,
    /// Its digest: a part of its address, so that it may be kept for ever.
    pub digest: Box<str>,
    /// Its type, by the ending of its name.
    pub content_type: &'static str,
    /// Its content.
    pub bytes: Bytes,
}

/// Below this path a tenant's assets are found: `/.anteroom/<digest>/<name>`.
pub const ASSETS: &str = "/.anteroom/";

/// Where something that is shown is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// On the tenant's host.
    Asset(Arc<Asset>),
    /// Elsewhere, at this address.
    Address(Box<str>),
}

impl Source {
    /// Its address; `authority` is the tenant's host.
    #[must_use]
    pub fn address(&self, authority: &str) -> String {
        match self {
            Self::Asset(asset) => format!("https://{authority}{ASSETS}{}/{}", asset.digest, asset.name),
            Self::Address(address) => address.to_string(),
        }
    }
}

/// What a tenant's meetings look like; each part may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Branding {
    /// A picture for the client.
    pub logo: Option<Source>,
    /// The same for dark backgrounds.
    pub dark_logo: Option<Source>,
    /// A line above the meeting.
    pub banner_text: Option<Box<str>>,
    /// Its background, `#rrggbb`.
    pub banner_color: Option<Box<str>>,
    /// The message at the top of the chat.
    pub welcome: Option<Box<str>>,
    /// Where people go who leave.
    pub logout_url: Option<Box<str>>,
    /// The title of the browser's tab.
    pub client_title: Option<Box<str>>,
    /// A style sheet for the client.
    pub style: Option<Source>,
    /// The slides of meetings that bring none.
    pub slides: Option<Source>,
    /// The line below the client's settings.
    pub copyright: Option<Box<str>>,
}

impl Branding {
    /// That of a tenant that has none: one for all of them.
    #[must_use]
    pub fn none() -> Arc<Self> {
        static NONE: LazyLock<Arc<Branding>> = LazyLock::new(Arc::default);
        Arc::clone(&NONE)
    }

    /// An asset by its digest and name.
    #[must_use]
    pub fn asset(&self, digest: &str, name: &str) -> Option<&Arc<Asset>> {
        let sources = [&self.logo, &self.dark_logo, &self.style, &self.slides].into_iter().flatten();
        let assets = sources.filter_map(|source| match source {
            Source::Asset(asset) => Some(asset),
            Source::Address(_) => None,
        });
        assets.into_iter().find(|asset| &*asset.digest == digest && &*asset.name == name)
    }

    /// What a `create` gets where it does not say otherwise. `brings_slides` tells whether it has documents of its own.
    #[must_use]
    pub fn of_create(&self, authority: &str, brings_slides: bool) -> Vec<(&'static str, String)> {
        let text = |text: &Option<Box<str>>| text.as_ref().map(ToString::to_string);
        let at = |source: &Option<Source>| source.as_ref().map(|source| source.address(authority));
        let mut given = vec![
            ("logo", at(&self.logo)),
            ("darklogo", at(&self.dark_logo)),
            ("bannerText", text(&self.banner_text)),
            ("bannerColor", text(&self.banner_color)),
            ("welcome", text(&self.welcome)),
            ("logoutURL", text(&self.logout_url)),
            ("copyright", text(&self.copyright)),
        ];
        if !brings_slides && let Some(slides) = &self.slides {
            given.push(("preUploadedPresentation", Some(slides.address(authority))));
            if let Source::Asset(asset) = slides {
                given.push(("preUploadedPresentationName", Some(asset.name.to_string())));
            }
            given.push(("preUploadedPresentationOverrideDefault", Some("true".to_owned())));
        }
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// What a `join` gets where it does not say otherwise.
    #[must_use]
    pub fn of_join(&self, authority: &str) -> Vec<(&'static str, String)> {
        let given = [
            ("userdata-bbb_client_title", self.client_title.as_ref().map(ToString::to_string)),
            ("userdata-bbb_custom_style_url", self.style.as_ref().map(|style| style.address(authority))),
            ("userdata-bbb_display_branding_area", self.logo.as_ref().map(|_| "true".to_owned())),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}
