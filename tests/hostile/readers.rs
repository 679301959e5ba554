//! Messages with two readers: what the gateway has decided by, its servers read in the same way.
