//! What people see in a real browser: Chromium, driven by the scripts of this folder.
//!
//! Needs chromium, certutil, node, and the packages of this folder: `make test-deps`.

#![allow(unreachable_pub, missing_docs, reason = "not part of an interface")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

#[path = "../support/mod.rs"]
mod support;

mod browser;
mod flows;
mod pages;
