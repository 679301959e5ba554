//! The first frame of a GraphQL socket.
#![no_main]

#[path = "../../tests/support/passing.rs"]
mod passing;

libfuzzer_sys::fuzz_target!(|input: (bool, [u8; 4], Vec<u8>, &[u8])| {
    let (is_raw, mask, more, bytes) = input;
    match is_raw {
        true => passing::first_frame(bytes),
        false => passing::init(bytes, mask, &more),
    }
});
