//! Changes become a plan, and a plan one file.
