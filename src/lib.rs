//! Anteroom: a multi-tenant gateway in front of BigBlueButton.

pub mod domain;
