//! Queries, paths and addresses.
#![no_main]

#[path = "../../tests/support/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    properties::query(data);
    if let Ok(text) = std::str::from_utf8(data) {
        properties::any_query(text);
        properties::path(text);
        properties::address(text);
    }
});
