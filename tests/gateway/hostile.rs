//! Hostile trials: a stranger, a member or a server tries to stop, slow or enter what is another's. One test per kind of
//! attack; each fails when its rule is taken out.
//!
//! `evil` has the tools: a client that sends any bytes and a server that answers with any. A new idea costs ten lines.

mod bodies;
mod bookkeeping;
mod connections;
mod headers;
mod readers;
