//! The state folder: plans, operations and the remembered last diff.
