//! Tables, columns and predicates: which changes are meant.
