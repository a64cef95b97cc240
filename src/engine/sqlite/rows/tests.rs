use arrow::array::{AsArray, StringArray};
use sqlx::sqlite::SqliteConnectOptions;

use super::*;
use crate::engine::sqlite::raw::{Connection, SqliteError};
use crate::model::value::Value;

/// A row whose texts end within a character, and one whose text begins in the same: the bytes of
/// a column are UTF-8 as a whole.
const ROWS: &str = "select cast(x'61c3' as text), 'no number', cast(x'c3' as text)
    union all select cast(x'a962' as text), 7, 'é'
    union all select null, x'00', ''
    union all select 'ok', 8, cast(x'ff' as text)";

fn cells(exact: &BinaryArray, row: usize) -> Vec<(String, Value)> {
    let cells = if exact.is_valid(row) { exact.value(row) } else { &[] };
    let owned = |cell: Result<(&str, ValueRef<'_>)>| {
        cell.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    exact_cells(cells).map(owned).collect::<Result<_>>().unwrap()
}

#[tokio::test]
async fn t4_texts_that_are_no_utf8_stand_among_the_other_misfits_of_their_rows() {
    let connection = Connection::open(&SqliteConnectOptions::new().in_memory(true)).await.unwrap();
    let columns = [
        Column::new("z", Carrier::Text),
        Column::new("m", Carrier::Int),
        Column::new("a", Carrier::Text),
    ];
    let mut rows = Rows::new(&columns, 0);
    // Twice, so that nothing of the first batch is in the second.
    for _ in 0..2 {
        let mut statement = connection.prepare(ROWS).unwrap();
        statement
            .query(&[], |row| {
                rows.push(row);
                Ok::<bool, SqliteError>(true)
            })
            .unwrap();
        let batch = rows.take().unwrap();
        let (z, a) = (batch.column(0).as_string::<i32>(), batch.column(2).as_string::<i32>());
        assert_eq!(*z, StringArray::from(vec![None, None, None, Some("ok")]));
        assert_eq!(*a, StringArray::from(vec![None, Some("é"), Some(""), None]));
        let exact = batch.column(3).as_binary();
        let text = |name: &str, bytes: &[u8]| (name.to_owned(), Value::Text(bytes.to_vec()));
        let first = [text("a", b"\xc3"), text("m", b"no number"), text("z", b"a\xc3")];
        assert_eq!(cells(exact, 0), first);
        assert_eq!(cells(exact, 1), [text("z", b"\xa9b")]);
        assert_eq!(cells(exact, 2), [("m".to_owned(), Value::Blob(vec![0]))]);
        assert_eq!(cells(exact, 3), [text("a", b"\xff")]);
    }
    connection.close().await.unwrap();
}
