//! The inverse of an operation, as a plan.
