//! Heads of servers' answers.
#![no_main]

#[path = "../../tests/support/passing.rs"]
mod passing;

const WORDS: [&str; 16] = [
    "HTTP/1.1 200 OK\r\n",
    "\r\n\r\n",
    "\r\n",
    "\n",
    "content-length: ",
    "Content-Length: 5\r\n",
    "transfer-encoding: chunked\r\n",
    "transfer-encoding: ",
    "chunked",
    "connection: close\r\n",
    "HTTP/1.0 304 Not Modified\r\n",
    "set-cookie: a=b\r\n",
    ", ",
    "gzip",
    "0",
    "x: ",
];

libfuzzer_sys::fuzz_target!(|input: (bool, bool, Vec<u16>, &[u8])| {
    let (is_head, is_worded, cuts, bytes) = input;
    let bytes = if is_worded { passing::worded(bytes, &WORDS) } else { bytes.to_vec() };
    passing::answer_head(&bytes, is_head, &cuts);
});
