//! Runs of missing integers in a key, and who can fill them.
