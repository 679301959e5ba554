//! The XML body of `create` and `insertDocument`: `<modules>` with the documents to show.

use std::collections::BTreeMap;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::params::Params;

/// What such a body holds, as far as the simulator has a use for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modules {
    /// Names of the documents, the current one first: `filename`, else `name`, else the last part of `url`.
    pub(crate) documents: Vec<String>,
    /// The texts of the modules that have one, by their names: settings, which a stock server ignores, and notes.
    pub(crate) texts: BTreeMap<String, String>,
}

impl Modules {
    /// Reads a body; what is not well-formed XML ends the reading, as bbb-web only logs that.
    pub(crate) fn parse(body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let mut reader = Reader::from_str(&body);
        let mut modules = Self::default();
        let mut module = String::new();
        loop {
            match reader.read_event() {
                Ok(Event::Start(element) | Event::Empty(element)) => match element.name().as_ref() {
                    "module" => module = attribute(&element, "name").unwrap_or_default(),
                    "document" => {
                        let is_current = attribute(&element, "current").is_some_and(|value| value == "true");
                        let place = if is_current { 0 } else { modules.documents.len() };
                        modules.documents.splice(place..place, document_name(&element));
                    }
                    _ => {}
                },
                Ok(Event::CData(text)) => {
                    modules.texts.entry(module.clone()).or_default().push_str(&text.xml10_content());
                }
                Ok(Event::Eof) | Err(_) => return modules,
                Ok(_) => {}
            }
        }
    }
}

/// The document of `preUploadedPresentation`, by its name or the last part of its URL.
pub(crate) fn pre_uploaded(params: &Params) -> Option<String> {
    let url = params.text("preUploadedPresentation")?;
    params.text("preUploadedPresentationName").or(url.rsplit('/').next()).map(str::to_owned)
}

fn document_name(element: &BytesStart<'_>) -> Option<String> {
    attribute(element, "filename").or_else(|| attribute(element, "name")).or_else(|| {
        let url = attribute(element, "url")?;
        url.rsplit('/').next().map(str::to_owned)
    })
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok()??;
    attribute.normalized_value(XmlVersion::Implicit1_0).ok().map(|value| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_named_and_settings_kept_apart() {
        let body = r#"<modules><module name="presentation">
            <document url="https://x.test/a.pdf" filename="A &amp; B.pdf"/>
            <document name="b.pdf" current="true">QkJC</document><document url="https://x.test/c.pdf"/></module>
            <module name="clientSettingsOverride"><![CDATA[{"public":{}}]]></module></modules>"#;
        let expected = Modules {
            documents: vec!["b.pdf".into(), "A & B.pdf".into(), "c.pdf".into()],
            texts: [("clientSettingsOverride".into(), r#"{"public":{}}"#.into())].into(),
        };
        assert_eq!(Modules::parse(body.as_bytes()), expected);
        assert_eq!(Modules::parse(b"<modules><doc"), Modules::default());
    }
}
