//! The row diff: two key-ordered streams become missing, changed and extra rows.
