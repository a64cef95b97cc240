//! Changes become a plan, and a plan one file.

pub mod images;
pub mod keyset;
pub mod order;
