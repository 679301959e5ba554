//! Request parameters as bbb-web reads them: names and values without control characters and trimmed, the first of a
//! repeated name wins, and Java's idea of booleans and integers.

use std::collections::BTreeMap;

/// Parameters in the order they came: those of the URL first, then those of the body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Parameters that the server sets itself.
    pub(crate) fn of(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(pairs.into_iter().collect())
    }

    /// Parses a query or a form-urlencoded body.
    pub(crate) fn parse(encoded: &str) -> Self {
        let pairs = encoded.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (clean(&decode(name)), clean(&decode(value)))
        });
        Self(pairs.collect())
    }

    /// Parses the text fields of a `multipart/form-data` body; parts with a file name are passed over.
    pub(crate) fn parse_multipart(body: &[u8], content_type: &str) -> Self {
        let fields = multipart(body, content_type).into_iter().filter(|part| part.file_name.is_none());
        Self(fields.map(|part| (clean(&part.name), clean(&part.value))).collect())
    }

    /// Those whose names pass.
    pub(crate) fn where_name(&self, passes: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|(name, _)| passes(name)).cloned().collect())
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// The first value of a name, possibly empty.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The first value of a name, if it is not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.first(name).filter(|value| !value.is_empty())
    }

    /// As Java's `parseBoolean`, so `1` is false; absent is false.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.first(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// As `is_true`, with a default for what is absent or empty.
    pub(crate) fn is_true_or(&self, name: &str, default: bool) -> bool {
        self.text(name).map_or(default, |value| value.eq_ignore_ascii_case("true"))
    }

    /// As Java's `parseInt`, with a default for what does not parse.
    pub(crate) fn int_or(&self, name: &str, default: i32) -> i32 {
        self.text(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// The `meta_` parameters with a valid key, in lower case and without `meta_`; the others are dropped silently. The first
    /// of a repeated key wins.
    pub(crate) fn metadata(&self) -> BTreeMap<String, String> {
        let valid = |key: &str| {
            key.starts_with(|first: char| first.is_ascii_alphabetic())
                && key.chars().all(|char| char.is_ascii_alphanumeric() || char == '-')
        };
        let mut metadata = BTreeMap::new();
        for (name, value) in self.iter() {
            if let Some(key) = name.strip_prefix("meta_").filter(|key| valid(key)) {
                metadata.entry(key.to_ascii_lowercase()).or_insert_with(|| value.to_owned());
            }
        }
        metadata
    }

    /// The entries of a comma-separated list; none if it is absent.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let entries = self.first(name).unwrap_or_default().split(',').map(str::trim);
        entries.filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The file of that name in a `multipart/form-data` body; what is not UTF-8 in it is replaced.
pub(crate) fn multipart_file(body: &[u8], content_type: &str, name: &str) -> Option<Vec<u8>> {
    let mut parts = multipart(body, content_type).into_iter();
    parts.find(|part| part.name == name).map(|part| part.value.into_bytes())
}

/// One part of a form.
struct Part {
    name: String,
    file_name: Option<String>,
    value: String,
}

fn multipart(body: &[u8], content_type: &str) -> Vec<Part> {
    let Some(boundary) = parameter(content_type, "boundary") else {
        return Vec::new();
    };
    let body = String::from_utf8_lossy(body);
    let delimiter = format!("--{boundary}");
    let parts = body.split(delimiter.as_str()).skip(1).filter_map(|part| {
        let (head, value) = part.split_once("\r\n\r\n")?;
        let disposition = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
        let value = value.strip_suffix("\r\n").unwrap_or(value);
        Some(Part {
            name: parameter(disposition, "name")?,
            file_name: parameter(disposition, "filename"),
            value: value.to_owned(),
        })
    });
    parts.collect()
}

/// Whether bbb-web's validation takes this for a boolean.
pub(crate) fn is_boolean(value: &str) -> bool {
    ["true", "false", "0", "1", ""].iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Whether bbb-web's validation takes this for an integer.
pub(crate) fn is_integral(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The length of a text as Java counts it: in UTF-16 units.
pub(crate) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Without control characters, and trimmed as Java does it: of those below a space, and of spaces.
pub(crate) fn clean(text: &str) -> String {
    let visible: String = text.chars().filter(|char| !char.is_control()).collect();
    visible.trim_matches(' ').to_owned()
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        let escaped = bytes.get(index + 1..index + 3).and_then(hex_byte);
        match (byte, escaped) {
            (b'%', Some(escaped)) => {
                decoded.push(escaped);
                index += 2;
            }
            (b'+', _) => decoded.push(b' '),
            _ => decoded.push(*byte),
        }
        index += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hex_byte(digits: &[u8]) -> Option<u8> {
    let [high, low] = digits else { return None };
    let (high, low) = (char::from(*high).to_digit(16)?, char::from(*low).to_digit(16)?);
    u8::try_from(high * 16 + low).ok()
}

/// A parameter of a header value such as `multipart/form-data; boundary="x"`.
fn parameter(header: &str, name: &str) -> Option<String> {
    header.split(';').skip(1).find_map(|item| {
        let (key, value) = item.trim().split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_cleaned_and_the_first_wins() {
        let params = Params::parse("%20name=+a%00b%2Bc+&name=second&bad=%zz&flag=1&yes=TRUE&n=12x&empty");
        for (name, expected) in [("name", Some("ab+c")), ("bad", Some("%zz")), ("empty", Some("")), ("absent", None)] {
            assert_eq!(params.first(name), expected, "{name}");
        }
        assert!(!params.is_true("flag"), "Java reads 1 as false");
        assert!(params.is_true("yes"));
        assert_eq!(params.int_or("n", 7), 7);
    }

    #[test]
    fn a_multipart_form_yields_its_text_fields() {
        let body = "--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nTwo\r\nlines\r\n--x\r\n\
            Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nraw\r\n--x--\r\n";
        let params = Params::parse_multipart(body.as_bytes(), "multipart/form-data; boundary=x");
        assert_eq!(params.iter().collect::<Vec<_>>(), [("name", "Twolines")]);
    }
}
