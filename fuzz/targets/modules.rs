//! Bodies with documents.
#![no_main]

#[path = "../../tests/support/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|input: (usize, &[u8])| {
    let (step, body) = input;
    properties::modules(body, step % 32);
});
