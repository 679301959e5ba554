//! Lists that must not be shorter than the truth, and what is left of a meeting after its end.
