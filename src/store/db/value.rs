//! Values on their way into a statement, and cells of a row on their way out; the same for every database.

use std::borrow::Cow;
use std::sync::Arc;

use crate::store::errors::{Result, StoreError};

/// A value that is bound to a statement. Its kind is known even where it is null: PostgreSQL wants to be told.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) enum Value<'q> {
    /// TEXT.
    Text(Option<Cow<'q, str>>),
    /// BIGINT.
    Number(Option<i64>),
    /// BLOB or BYTEA.
    Bytes(Option<Cow<'q, [u8]>>),
}

impl<'q> From<&'q str> for Value<'q> {
    fn from(text: &'q str) -> Self {
        Self::Text(Some(Cow::Borrowed(text)))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(Cow::Owned(text)))
    }
}

impl<'q> From<&'q String> for Value<'q> {
    fn from(text: &'q String) -> Self {
        Self::Text(Some(Cow::Borrowed(text)))
    }
}

impl<'q> From<Option<&'q str>> for Value<'q> {
    fn from(text: Option<&'q str>) -> Self {
        Self::Text(text.map(Cow::Borrowed))
    }
}

impl<'q> From<Option<&'q String>> for Value<'q> {
    fn from(text: Option<&'q String>) -> Self {
        Self::Text(text.map(|text| Cow::Borrowed(text.as_str())))
    }
}

impl<'q> From<&'q Option<String>> for Value<'q> {
    fn from(text: &'q Option<String>) -> Self {
        Self::Text(text.as_deref().map(Cow::Borrowed))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(text: Option<String>) -> Self {
        Self::Text(text.map(Cow::Owned))
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl<'q> From<&'q [u8]> for Value<'q> {
    fn from(bytes: &'q [u8]) -> Self {
        Self::Bytes(Some(Cow::Borrowed(bytes)))
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Some(Cow::Owned(bytes)))
    }
}

/// One cell of a row. Truth values are numbers, 0 or 1.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) enum Cell {
    Null,
    Text(String),
    Number(i64),
    Bytes(Vec<u8>),
}

/// A row that was read.
#[derive(Clone, Debug)]
pub(in crate::store) struct Row {
    columns: Arc<[String]>,
    cells: Vec<Cell>,
}

impl Row {
    pub(super) fn new(columns: Arc<[String]>, cells: Vec<Cell>) -> Self {
        Self { columns, cells }
    }

    /// The cell of a column, as what it is to be read as.
    pub(in crate::store) fn try_get<'r, T: FromCell<'r>>(&'r self, column: &str) -> Result<T> {
        let at = self.columns.iter().position(|known| known == column);
        let cell = at.and_then(|at| self.cells.get(at)).unwrap_or(&Cell::Null);
        T::from_cell(cell).ok_or_else(|| StoreError::Corrupt {
            table: "a result",
            column: "column",
            detail: format!("{column} is {}", if at.is_some() { cell.kind() } else { "not there" }),
        })
    }

    /// The cells in their order.
    pub(in crate::store) fn cells(&self) -> &[Cell] {
        &self.cells
    }
}

impl Cell {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Text(_) => "text",
            Self::Number(_) => "a number",
            Self::Bytes(_) => "bytes",
        }
    }

    /// The cell as a value to be written into a column of this type.
    pub(in crate::store) fn as_value(&self, column_type: &str) -> Value<'_> {
        match self {
            Self::Null if column_type.eq_ignore_ascii_case("bigint") => Value::Number(None),
            Self::Null if ["blob", "bytea"].iter().any(|it| column_type.eq_ignore_ascii_case(it)) => Value::Bytes(None),
            Self::Null => Value::Text(None),
            Self::Text(text) => Value::from(text.as_str()),
            Self::Number(number) => Value::from(*number),
            Self::Bytes(bytes) => Value::from(bytes.as_slice()),
        }
    }
}

/// What a cell can be read as.
pub(in crate::store) trait FromCell<'r>: Sized {
    /// `None` when the cell holds something else.
    fn from_cell(cell: &'r Cell) -> Option<Self>;
}

impl<'r> FromCell<'r> for &'r str {
    fn from_cell(cell: &'r Cell) -> Option<Self> {
        if let Cell::Text(text) = cell { Some(text) } else { None }
    }
}

impl<'r> FromCell<'r> for String {
    fn from_cell(cell: &'r Cell) -> Option<Self> {
        <&str>::from_cell(cell).map(str::to_owned)
    }
}

impl<'r> FromCell<'r> for i64 {
    fn from_cell(cell: &'r Cell) -> Option<Self> {
        if let Cell::Number(number) = cell { Some(*number) } else { None }
    }
}

impl<'r> FromCell<'r> for bool {
    fn from_cell(cell: &'r Cell) -> Option<Self> {
        i64::from_cell(cell).map(|number| number != 0)
    }
}

impl<'r> FromCell<'r> for &'r [u8] {
    fn from_cell(cell: &'r Cell) -> Option<Self> {
        if let Cell::Bytes(bytes) = cell { Some(bytes) } else { None }
    }
}

impl<'r> FromCell<'r> for Vec<u8> {
    fn from_cell(cell: &'r Cell) -> Option<Self> {
        <&[u8]>::from_cell(cell).map(<[u8]>::to_vec)
    }
}

impl<'r, T: FromCell<'r>> FromCell<'r> for Option<T> {
    fn from_cell(cell: &'r Cell) -> Option<Self> {
        if matches!(cell, Cell::Null) { Some(None) } else { T::from_cell(cell).map(Some) }
    }
}
