//! Files of the configuration.
