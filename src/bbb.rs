//! BBB's protocol: parsing, checks, signatures, rewriting. Pure functions, except [`client`].

pub mod addresses;
pub mod answer;
pub mod checksum;
pub mod client;
pub mod documents;
pub mod elsewhere;
pub mod fetched;
pub mod meeting_id;
pub mod params;
pub mod query;
pub mod recordings;
pub mod validate;
pub mod xml;
