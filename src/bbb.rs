//! BBB's protocol: parsing, checks, signatures, rewriting. Pure functions.

pub mod addresses;
pub mod answer;
pub mod callback;
pub mod checksum;
pub mod documents;
pub mod elsewhere;
pub mod fetched;
pub mod hooks;
pub mod meeting_id;
pub mod params;
pub mod query;
pub mod recordings;
pub mod release;
pub mod validate;
pub mod webhook;
pub mod xml;
