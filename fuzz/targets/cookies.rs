//! Cookies, of servers, frontends and browsers.
#![no_main]

#[path = "../../tests/support/passing.rs"]
mod passing;

libfuzzer_sys::fuzz_target!(|input: (&[u8], &[u8])| {
    let (set, sent) = input;
    passing::cookies(set, sent);
});
