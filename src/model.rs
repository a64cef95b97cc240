//! The vocabulary: what every engine, format and step agrees on. No input or output here.

pub mod calendar;
pub mod change;
pub mod check;
pub mod conflict;
pub mod filter;
pub mod origin;
pub mod plan;
pub mod receipt;
pub mod side;
pub mod summary;
pub mod table;
pub mod time_form;
pub mod value;
