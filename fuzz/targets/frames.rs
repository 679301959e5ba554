//! The frames of a server's WebSocket.
#![no_main]

#[path = "../../tests/support/passing.rs"]
mod passing;

libfuzzer_sys::fuzz_target!(|input: (bool, Vec<u16>, Vec<(u8, Vec<u8>)>, &[u8])| {
    let (is_raw, cuts, frames, bytes) = input;
    match is_raw {
        true => passing::text_frames(bytes, &cuts),
        false => passing::frames(&frames, &cuts),
    }
});
