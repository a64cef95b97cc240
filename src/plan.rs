//! Changes become a plan, and a plan one file.

pub mod checks;
pub mod file;
pub mod images;
pub mod lookup;
pub mod order;
