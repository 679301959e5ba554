//! Forms with events that servers post.
#![no_main]

#[path = "../../tests/support/passing.rs"]
mod passing;
#[path = "../../tests/support/posted.rs"]
mod posted;

libfuzzer_sys::fuzz_target!(|data: &[u8]| posted::webhook(data));
