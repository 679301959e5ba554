//! Forms in parts.
#![no_main]

#[path = "../../tests/support/passing.rs"]
mod passing;

libfuzzer_sys::fuzz_target!(|data: &[u8]| passing::form(data));
