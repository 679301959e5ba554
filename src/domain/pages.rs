//! [`Pages`]: what people read where they do not get into a meeting, in their own language.
//!
//! One file per language, and one template. An operator can have others of both: what a language of theirs lacks is as it is
//! shipped, or else English.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
    sync::LazyLock,
};

use minijinja::{AutoEscape, Environment, ErrorKind, context};
use serde::Deserialize;

use super::denial::Denial;

/// Those that ship.
const SHIPPED: [(&str, &str); 4] = [
    ("en", include_str!("pages/en.toml")),
    ("de", include_str!("pages/de.toml")),
    ("fr", include_str!("pages/fr.toml")),
    ("es", include_str!("pages/es.toml")),
];
const TEMPLATE: &str = include_str!("pages/page.html");
const ENGLISH: &str = "en";
/// Where a tenant has no colour.
const ACCENT: &str = "#0f5fb5";
/// A page that tries again by itself does so after this many seconds, and up to as many again by chance.
const RETRY_SECONDS: u32 = 8;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// What is at the front of a tenant's host.
    Landing,
    /// A meeting that does not run, and has not a short while ago: people wait for it.
    NotYet,
    /// A meeting that has ended a short while ago.
    Over,
    /// An address that is not signed as it should be.
    WrongLink,
    /// What BBB itself refuses, in its words.
    Other(String),
    /// What the gateway refuses.
    Refused(Denial),
}

impl Page {
    /// The name of its texts.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Landing => "landing",
            Self::NotYet => "notYet",
            Self::Over => "over",
            Self::WrongLink => "wrongLink",
            Self::Other(_) => "other",
            Self::Refused(denial) => denial.key(),
        }
    }

    /// All names.
    #[must_use]
    pub fn names() -> BTreeSet<&'static str> {
        let own = [Self::Landing, Self::NotYet, Self::Over, Self::WrongLink, Self::Other(String::new())];
        own.into_iter().chain(Denial::ALL.map(Self::Refused)).map(|page| page.name()).collect()
    }

    /// Whether it tries again by itself: what people wait for may come.
    #[must_use]
    pub fn retries(&self) -> bool {
        match self {
            Self::NotYet => true,
            Self::Landing | Self::Over | Self::WrongLink | Self::Other(_) => false,
            Self::Refused(denial) => match denial {
                Denial::MaxParticipantsReached
                | Denial::NoServerAvailable
                | Denial::ServerUnavailable
                | Denial::StoreUnavailable
                | Denial::RateLimited
                | Denial::Overloaded => true,
                Denial::UnknownHost
                | Denial::TenantSuspended
                | Denial::AccountLimitReached
                | Denial::RoomLimitReached
                | Denial::DurationUsedUp
                | Denial::DocumentLimitReached
                | Denial::TooLarge
                | Denial::NotFound
                | Denial::UnknownSession => false,
            },
        }
    }

    fn leads_home(&self) -> bool {
        matches!(self, Self::Over | Self::WrongLink | Self::Other(_) | Self::Refused(Denial::NotFound))
    }
}

/// A language's tag, as a file is named by it: `de`, `pt-br`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Box<str>);

impl FromStr for Tag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_part = |part: &str| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_lowercase());
        match text.split('-').all(is_part) {
            true => Ok(Self(text.into())),
            false => Err("a language is named by letters, such as \"de\" or \"pt-br\""),
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What one language says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Language {
    /// What stands on buttons and beside.
    #[serde(default)]
    pub words: BTreeMap<String, String>,
    /// The texts of the pages.
    #[serde(default)]
    pub pages: BTreeMap<String, Text>,
}

/// The texts of one page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Text {
    /// What is the matter.
    pub title: Option<String>,
    /// What to do.
    pub detail: Option<String>,
}

static LANGUAGES: LazyLock<BTreeMap<&str, Language>> = LazyLock::new(|| {
    SHIPPED.into_iter().map(|(tag, text)| (tag, toml::from_str(text).expect("a test reads what ships"))).collect()
});

impl Language {
    /// The names of all words.
    pub fn words() -> impl Iterator<Item = &'static str> {
        LANGUAGES[ENGLISH].words.keys().map(String::as_str)
    }

    /// Takes over what another one says.
    fn take(&mut self, other: &Self) {
        self.words.extend(other.words.clone());
        for (name, text) in &other.pages {
            let own = self.pages.entry(name.clone()).or_default();
            own.title = text.title.clone().or(own.title.take());
            own.detail = text.detail.clone().or(own.detail.take());
        }
    }
}

/// Whose page it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look<'a> {
    /// The name of the tenant.
    pub tenant: &'a str,
    /// Where its logo is on its host.
    pub logo: Option<&'a str>,
    /// The same for dark backgrounds.
    pub dark_logo: Option<&'a str>,
    /// Its colour, `#rrggbb`.
    pub color: Option<&'a str>,
}

/// What a person is asked to mention to support.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mention<'a> {
    /// The key of the refusal; empty for a page that needs no support.
    pub key: &'a str,
    /// The id of the request, which the log has too.
    pub request: &'a str,
}

/// A page as it goes out.
#[derive(Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The page.
    pub html: String,
    /// Its language.
    pub language: String,
    /// The seconds after which it tries again by itself.
    pub retry: Option<u32>,
}

/// What there is in which language, and the template.
#[derive(Debug)]
pub struct Pages {
    languages: BTreeMap<Tag, Language>,
    environment: Environment<'static>,
}

impl Default for Pages {
    fn default() -> Self {
        Self::new(None, &BTreeMap::new()).expect("a test renders what ships")
    }
}

impl Pages {
    /// Pages by an operator's template and languages, where there are any.
    ///
    /// # Errors
    /// What is wrong with the template, and in which line.
    pub fn new(template: Option<&str>, own: &BTreeMap<Tag, Language>) -> Result<Self, (Option<usize>, String)> {
        let mut english = LANGUAGES[ENGLISH].clone();
        let of_english = own.iter().find(|(tag, _)| &*tag.0 == ENGLISH);
        of_english.into_iter().for_each(|(_, own)| english.take(own));
        let mut languages = BTreeMap::new();
        let shipped = LANGUAGES.iter().map(|(tag, language)| (Tag((*tag).into()), language));
        for (tag, language) in shipped.chain(own.iter().map(|(tag, language)| (tag.clone(), language))) {
            languages.entry(tag).or_insert_with(|| english.clone()).take(language);
        }
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        let told = |error: minijinja::Error| {
            let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            (error.line(), detail)
        };
        environment.add_template_owned("page", template.unwrap_or(TEMPLATE).to_owned()).map_err(told)?;
        let pages = Self { languages, environment };
        // What only fails when it is shown is told now.
        let look = Look { tenant: "x", logo: Some("/x"), dark_logo: Some("/x"), color: None };
        pages.html(&Page::NotYet, Mention { key: "x", request: "x" }, &look, &english, ENGLISH, "x").map_err(told)?;
        Ok(pages)
    }

    /// A page for somebody who reads these languages, as `Accept-Language` has them. `nonce` admits the style of the
    /// page, `chance` is any number.
    #[must_use]
    pub fn render(
        &self,
        page: &Page,
        languages: &str,
        look: &Look<'_>,
        mention: Mention<'_>,
        nonce: &str,
        chance: u32,
    ) -> Rendered {
        let (tag, language) = self.language(languages);
        let html = self.html(page, mention, look, language, tag, nonce);
        let retry = page.retries().then(|| RETRY_SECONDS + chance % RETRY_SECONDS);
        let plain = || language.pages.get(page.name()).and_then(|text| text.title.clone()).unwrap_or_default();
        Rendered { html: html.unwrap_or_else(|_| plain()), language: tag.to_owned(), retry }
    }

    fn html(
        &self,
        page: &Page,
        mention: Mention<'_>,
        look: &Look<'_>,
        language: &Language,
        tag: &str,
        nonce: &str,
    ) -> Result<String, minijinja::Error> {
        let text = language.pages.get(page.name()).ok_or_else(|| minijinja::Error::from(ErrorKind::UndefinedError))?;
        let detail = match page {
            Page::Other(said) if !said.is_empty() => Some(said),
            _ => text.detail.as_ref(),
        };
        let accent = look.color.filter(|color| luminance(color).is_some()).unwrap_or(ACCENT);
        self.environment.get_template("page")?.render(context! {
            lang => tag,
            tenant => look.tenant,
            logo => look.logo,
            dark_logo => look.dark_logo,
            accent,
            on_accent => if luminance(accent).is_some_and(|light| light > 0.18) { "#000" } else { "#fff" },
            title => &text.title,
            detail,
            words => &language.words,
            retries => page.retries(),
            again => page.retries() || matches!(page, Page::Over),
            home => page.leads_home(),
            key => mention.key,
            request => mention.request,
            nonce,
        })
    }

    /// The language that is read best of those there are: of equal ones the first named; English where none is.
    fn language(&self, accepted: &str) -> (&str, &Language) {
        let mut wanted: Vec<(&str, f64)> = accepted
            .split(',')
            .take(32)
            .filter_map(|part| {
                let (tag, weight) = match part.split_once(';') {
                    Some((tag, weight)) => (tag, weight.trim().strip_prefix("q=")?.parse().ok()?),
                    None => (part, 1.0),
                };
                (weight > 0.0).then_some((tag.trim(), weight))
            })
            .collect();
        wanted.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let find = |tag: &str| self.languages.iter().find(|(have, _)| have.0.eq_ignore_ascii_case(tag));
        let primary = |tag: &'_ str| tag.split('-').next().unwrap_or("").to_owned();
        let found = wanted.iter().find_map(|(tag, _)| find(tag).or_else(|| find(&primary(tag))));
        let (tag, language) = found.or_else(|| find(ENGLISH)).expect("English ships");
        (&tag.0, language)
    }
}

/// How light `#rrggbb` is, from 0 to 1 (WCAG 2, relative luminance); `None` for what is no such colour.
fn luminance(color: &str) -> Option<f64> {
    let digits = color.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    let part = |at: usize| {
        let value = f64::from(u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?) / 255.0;
        Some(if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) })
    };
    Some(0.2126 * part(0)? + 0.7152 * part(2)? + 0.0722 * part(4)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look<'_> = Look { tenant: "<b>Co-op</b>", logo: None, dark_logo: None, color: None };

    #[test]
    fn every_language_says_everything() {
        for (tag, language) in LANGUAGES.iter() {
            let names: BTreeSet<&str> = language.pages.keys().map(String::as_str).collect();
            assert_eq!(names, Page::names(), "{tag}");
            assert!(language.words.keys().map(String::as_str).eq(Language::words()), "{tag}");
            let is_full = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
            assert!(language.pages.values().all(|text| is_full(&text.title) && is_full(&text.detail)), "{tag}");
        }
    }

    #[test]
    fn what_a_page_says_is_escaped() {
        let pages = Pages::default();
        let said = Page::Other("<script>alert(1)</script>".into());
        let rendered = pages.render(&said, "en", &LOOK, Mention { key: "<key>", request: "<id>" }, "n0nce", 0);
        let html = &rendered.html;
        assert!(
            html.contains("&lt;b&gt;Co-op&lt;")
                && html.contains("&lt;script&gt;alert(1)&lt;")
                && html.contains("&lt;key&gt;")
                && html.contains("&lt;id&gt;")
        );
        assert!(!html.contains("<b>Co-op") && !html.contains("<script"), "{html}");
        assert!(html.contains("nonce=\"n0nce\"") && rendered.retry.is_none());
    }

    #[test]
    fn a_page_is_in_the_language_that_is_read_best() {
        let own = BTreeMap::from([("pt-br".parse().expect("a tag"), Language::default())]);
        let pages = Pages::new(None, &own).expect("sound");
        for (accepted, language) in [
            ("de", "de"),
            ("de-AT", "de"),
            ("DE-at,en;q=0.5", "de"),
            ("en;q=0.5, fr;q=0.9", "fr"),
            ("fr;q=0.9, es;q=0.9", "fr"),
            ("it, es;q=0.3", "es"),
            ("pt-BR", "pt-br"),
            ("pt", "en"),
            ("fr;q=0", "en"),
            ("fr;q=x, de;q=0.1", "de"),
            ("*", "en"),
            ("", "en"),
            (";;,,q=1", "en"),
        ] {
            assert_eq!(
                pages.render(&Page::Landing, accepted, &LOOK, Mention::default(), "", 0).language,
                language,
                "{accepted}"
            );
        }
    }

    #[test]
    fn what_an_operator_says_comes_before_what_ships() {
        let language = |text: &str| toml::from_str::<Language>(text).expect("TOML");
        let own = BTreeMap::from([
            ("de".parse().expect("a tag"), language("[pages.over]\ntitle = 'Feierabend.'")),
            ("en".parse().expect("a tag"), language("[pages.landing]\ntitle = 'Our meetings'")),
            ("eo".parse().expect("a tag"), language("[pages.over]\ntitle = 'Finita.'")),
        ]);
        let pages = Pages::new(Some("{{ title }}|{{ detail }}|{{ words.again }}"), &own).expect("sound");
        let html = |page, language| pages.render(&page, language, &LOOK, Mention::default(), "", 0).html;
        assert!(html(Page::Over, "de").starts_with("Feierabend.|Wird sie"), "{}", html(Page::Over, "de"));
        assert!(html(Page::Landing, "en").starts_with("Our meetings|To take"));
        assert!(html(Page::Over, "eo").starts_with("Finita.|If it goes on"), "what is missing is English");
        assert!(html(Page::Landing, "eo").starts_with("Our meetings|"), "as the operator has it");
        assert!(html(Page::Landing, "fr").starts_with("Réunions"));
    }

    #[test]
    fn a_faulty_template_is_told_with_its_line() {
        for (template, line) in [("a\n{{ title", 2), ("a\n\n{% if %}", 3), ("{{ title.upper().nothing() }}", 1)] {
            let (at, reason) = Pages::new(Some(template), &BTreeMap::new()).expect_err(template);
            assert!(at == Some(line) && !reason.is_empty(), "{template}: {at:?} {reason}");
        }
    }

    #[test]
    fn text_on_a_tenants_colour_can_be_read() {
        for color in ["#000000", "#ffffff", "#0a4b78", "#ffd400", "#7f7f7f", "#e00000", ACCENT] {
            let light = luminance(color).expect("a colour");
            let on: f64 = if light > 0.18 { 0.0 } else { 1.0 };
            let contrast = (light.max(on) + 0.05) / (light.min(on) + 0.05);
            assert!(contrast >= 4.5, "{color}: {contrast}");
        }
        for text in ["", "red", "#12345", "#1234567", "#ggaabb", "#é1234"] {
            assert!(luminance(text).is_none(), "{text}");
        }
    }
}
