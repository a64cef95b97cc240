//! Rendering to a writer: screens, JSON, CSV, SQL.
//!
//! Pure: values of the model go in, bytes come out. Nothing here opens, asks or prints, and
//! every cell or name on its way to a screen is escaped ([`text::escape`]), since a row may
//! come from anyone.

pub mod cache;
pub mod csv;
pub mod describe;
pub mod diff;
pub mod doctor;
pub mod gaps;
pub mod histogram;
pub mod inspect;
pub mod json;
pub mod log;
pub mod plan;
pub mod receipt;
pub mod result;
pub mod rows;
pub mod sides;
pub mod snapshots;
pub mod sql;
pub mod table;
pub mod text;
pub mod verify;
