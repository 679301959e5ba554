//! Addresses in the forms in which clients and servers write them.
