//! Faults that operators, integrations and public trackers have reported, each in the form in which it was seen, with the
//! right value. One file per subject; a test's name has the words of the report.

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
