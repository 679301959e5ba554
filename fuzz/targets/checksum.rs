//! Signed queries, and nearly signed ones, against the rule of the simulator.
#![no_main]

#[path = "../../tests/support/properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|input: (&str, usize, usize, Option<(usize, u8)>)| {
    let (rest, place, algorithm, bend) = input;
    properties::checksum(rest, place, algorithm, bend);
});
