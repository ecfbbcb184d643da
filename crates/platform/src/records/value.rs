//! What goes into statements and comes out of them, the same for every engine.

use std::borrow::Cow;

use super::Error;

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Integer(value.into())
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub(super) Vec<Value>);

impl Row {
    /// A row that was read elsewhere.
    pub fn of(values: Vec<Value>) -> Self {
        Self(values)
    }

    /// The text in a column.
    ///
    /// # Errors
    /// [`Error::Column`] where there is none.
    pub fn text(&self, column: usize) -> Result<&str, Error> {
        self.optional_text(column)?.ok_or(Error::Column { column, wanted: "text" })
    }

    /// The text in a column, or `None` for NULL.
    ///
    /// # Errors
    /// [`Error::Column`] where something else is there.
    pub fn optional_text(&self, column: usize) -> Result<Option<&str>, Error> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(Value::Null) => Ok(None),
            _ => Err(Error::Column { column, wanted: "text" }),
        }
    }

    /// The integer in a column.
    ///
    /// # Errors
    /// [`Error::Column`] where there is none.
    pub fn integer(&self, column: usize) -> Result<i64, Error> {
        self.optional_integer(column)?.ok_or(Error::Column { column, wanted: "an integer" })
    }

    /// The integer in a column, or `None` for NULL.
    ///
    /// # Errors
    /// [`Error::Column`] where something else is there.
    pub fn optional_integer(&self, column: usize) -> Result<Option<i64>, Error> {
        match self.0.get(column) {
            Some(Value::Integer(value)) => Ok(Some(*value)),
            Some(Value::Null) => Ok(None),
            _ => Err(Error::Column { column, wanted: "an integer" }),
        }
    }

    /// The text in a column, which holds NULL from then on: it is moved, not copied.
    ///
    /// # Errors
    /// [`Error::Column`] where there is none.
    pub fn take_text(&mut self, column: usize) -> Result<String, Error> {
        self.take_optional_text(column)?.ok_or(Error::Column { column, wanted: "text" })
    }

    /// The text in a column, which holds NULL from then on, or `None` where it did before.
    ///
    /// # Errors
    /// [`Error::Column`] where something else is there.
    pub fn take_optional_text(&mut self, column: usize) -> Result<Option<String>, Error> {
        let place = self.0.get_mut(column).filter(|value| matches!(value, Value::Text(_) | Value::Null));
        match place.map(|value| std::mem::replace(value, Value::Null)) {
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Ok(None),
            None => Err(Error::Column { column, wanted: "text" }),
        }
    }

    /// The columns from `first` on, as a row of their own.
    #[must_use]
    pub fn from(mut self, first: usize) -> Self {
        self.0.drain(..first.min(self.0.len()));
        self
    }

    /// What a column holds.
    ///
    /// # Errors
    /// [`Error::Column`] where the row is shorter.
    pub fn value(&self, column: usize) -> Result<&Value, Error> {
        self.0.get(column).ok_or(Error::Column { column, wanted: "there" })
    }
}

/// What a statement must do for its write to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Must {
    Run,
    Change,
}

/// One statement and its values.
#[derive(Clone, Debug)]
pub struct Statement {
    pub(super) sql: Cow<'static, str>,
    pub(super) values: Vec<Value>,
    pub(super) must: Must,
}

impl Statement {
    /// A statement with `values` for `$1`, `$2` …
    pub fn new(sql: impl Into<Cow<'static, str>>, values: impl Into<Vec<Value>>) -> Self {
        Self { sql: sql.into(), values: values.into(), must: Must::Run }
    }

    /// Lets the write fail as a whole, with [`Error::Unchanged`], when this changes no row: for updates that hold only in
    /// a certain state.
    #[must_use]
    pub fn must_change(mut self) -> Self {
        self.must = Must::Change;
        self
    }

    /// The number of a value that no text of a record may hold: PostgreSQL has no U+0000, so SQLite shall have none.
    pub(super) fn unfit(&self) -> Option<usize> {
        self.values.iter().position(|value| matches!(value, Value::Text(text) if text.contains('\0')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_once_and_other_values_stay() {
        let mut row = Row(vec!["a".into(), Value::Null, 7_i64.into(), "b".into()]);
        assert_eq!(row.take_text(0).unwrap(), "a");
        assert_eq!(row.take_optional_text(0).unwrap(), None);
        assert_eq!(row.take_optional_text(1).unwrap(), None);
        for column in [0, 1, 2, 4] {
            assert!(matches!(row.take_text(column), Err(Error::Column { column: at, wanted: "text" }) if at == column));
        }
        assert_eq!(row.integer(2).unwrap(), 7);
        assert_eq!(row.clone().from(2), Row(vec![7_i64.into(), "b".into()]));
        assert_eq!(row.from(9), Row(vec![]));
    }
}
