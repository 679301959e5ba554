//! Bodies of servers' answers, in chunks.
#![no_main]

#[path = "../../tests/support/passing.rs"]
mod passing;

const WORDS: [&str; 12] =
    ["\r\n", "0\r\n\r\n", "5\r\nhello\r\n", "a", "1", ";x=y", "\n", "F", "0", "x: y\r\n", "\r", " "];

libfuzzer_sys::fuzz_target!(|input: (bool, Vec<u16>, &[u8])| {
    let (is_worded, cuts, bytes) = input;
    let bytes = if is_worded { passing::worded(bytes, &WORDS) } else { bytes.to_vec() };
    passing::answer_body(&bytes, &cuts);
});
