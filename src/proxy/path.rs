//! The one form of a path. A BBB server's nginx merges slashes that stand side by side, and its Tomcat takes a call with a
//! slash behind it for the call: what both read as one address is made one here, before anything is decided by it.
//!
//! What could be read in two ways (escapes of plain characters, dots, parameters behind `;`) is not touched: `route` refuses
//! it.

use std::borrow::Cow;

/// A path with each run of slashes as one slash.
pub(crate) fn merge_slashes(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let mut merged = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !merged.ends_with('/') {
            merged.push(c);
        }
    }
    Cow::Owned(merged)
}

/// The path and the rest (query, fragment) of an address on one host, the path with its slashes merged.
pub(crate) fn split(address: &str) -> (Cow<'_, str>, &str) {
    let (path, rest) = address.split_at(address.find(['?', '#']).unwrap_or(address.len()));
    (merge_slashes(path), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_side_by_side_are_one() {
        for (path, merged) in [
            ("", ""),
            ("/", "/"),
            ("//", "/"),
            ("/a/b", "/a/b"),
            ("//a//b///", "/a/b/"),
            ("/a%2F/b", "/a%2F/b"),
            ("*", "*"),
        ] {
            assert_eq!(merge_slashes(path), merged, "{path}");
        }
        assert!(matches!(merge_slashes("/a/b"), Cow::Borrowed(_)), "a usual path is not copied");
    }

    #[test]
    fn a_query_keeps_its_slashes() {
        for (address, path, rest) in
            [("//a?u=https://b//c", "/a", "?u=https://b//c"), ("/a#//b", "/a", "#//b"), ("/a//b", "/a/b", "")]
        {
            assert_eq!(split(address), (path.into(), rest), "{address}");
        }
    }
}
