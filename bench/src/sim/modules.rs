//! The XML body of `create` and `insertDocument`: `<modules>` with the documents to show.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::params::Params;

/// What such a body holds, as far as the simulator has a use for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modules {
    /// Names of the documents, the current one first: `filename`, else `name`, else the last part of `url`.
    pub(crate) documents: Vec<String>,
    /// The text of a `clientSettingsOverride` module. A stock server ignores it.
    pub(crate) settings_override: Option<String>,
}

impl Modules {
    /// Reads a body; what is not well-formed XML ends the reading, as bbb-web only logs that.
    pub(crate) fn parse(body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let mut reader = Reader::from_str(&body);
        let mut modules = Self::default();
        let mut in_override = false;
        loop {
            match reader.read_event() {
                Ok(Event::Start(element) | Event::Empty(element)) => match element.name().as_ref() {
                    "module" => in_override = attribute(&element, "name").as_deref() == Some("clientSettingsOverride"),
                    "document" => {
                        let is_current = attribute(&element, "current").is_some_and(|value| value == "true");
                        let place = if is_current { 0 } else { modules.documents.len() };
                        modules.documents.splice(place..place, document_name(&element));
                    }
                    _ => {}
                },
                Ok(Event::CData(text)) if in_override => {
                    modules.settings_override.get_or_insert_default().push_str(&text.xml10_content());
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
            settings_override: Some(r#"{"public":{}}"#.into()),
        };
        assert_eq!(Modules::parse(body.as_bytes()), expected);
        assert_eq!(Modules::parse(b"<modules><doc"), Modules::default());
    }
}
