//! Changes become a plan, and a plan one file.

pub mod checks;
pub mod draft;
pub mod file;
pub(crate) mod group;
pub mod images;
pub(crate) mod judge;
pub mod lookup;
pub mod missing;
pub mod notes;
pub mod order;
pub mod patch;
pub mod proof;
pub mod restore;
pub mod waves;
pub mod witness;
