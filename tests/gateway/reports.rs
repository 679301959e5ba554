//! Faults that operators, integrations and public trackers have reported, each in the form in which it was seen, with the
//! right value. One file per subject; a test's name has the words of the report. The reports are numbered, and quoted above
//! their tests: 12 and 14 elsewhere as well (tests/gateway/hostile, src/store/tests/pooler.rs).

mod bodies;
mod body_faults;
mod body_lengths;
mod calls;
mod files;
mod headers;
mod lists;
mod lobby;
mod paths;
mod safe;
mod sessions;
