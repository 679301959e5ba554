//! Calls and their parameters.
