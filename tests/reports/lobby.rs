//! Guests who wait, and methods without effects.
