//! `pages/<language>.toml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// `pages/<language>.toml`: texts of the pages in one language, in place of those that ship.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Language {
    /// Texts of buttons and hints: `again`, `home`, `retries`, `support`.
    pub words: Option<BTreeMap<String, String>>,
    /// Texts of pages by their names (docs/reference/error-keys.md, "Pages"): `landing`, `notYet`, `over`,
    /// `wrongLink`, `other` and the error keys of the gateway.
    pub pages: Option<BTreeMap<String, PageText>>,
}

/// The texts of one page.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageText {
    /// Heading. Default: the text that ships.
    pub title: Option<String>,
    /// Why the page is shown, and what to do. Default: the text that ships.
    pub detail: Option<String>,
}
