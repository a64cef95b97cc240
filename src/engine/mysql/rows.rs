//! Rows of a prepared statement as batches and as tuples.

use sqlx::mysql::MySqlRow;

use crate::engine::mysql::session::raw;
use crate::engine::mysql::types::Form;
use crate::engine::wire;
use crate::error::Result;
use crate::model::value::Value;

/// A batch under construction.
pub(crate) type Rows = wire::Rows<Form>;

/// The cells from place `first` on, in these forms.
pub(crate) fn tuple(row: &MySqlRow, first: usize, forms: &[Form]) -> Result<Vec<Value>> {
    wire::tuple(forms, |at| raw(row, first + at))
}
