//! The rows of one result of a statement: their columns, and where their values go.

use std::time::Instant;

use mysqlclient_sys as ffi;

use crate::Error;
use crate::sql::{Answer, Columns, Failure, Wants};

use super::column::{Column, is_known};
use super::prepared::Prepared;
use super::refusal::Refusal;
use super::slot::Slot;

/// What is known of a result, kept from one run of its statement to the next.
#[derive(Debug)]
pub(super) struct Rows {
    columns: Vec<Column>,
    names: Columns,
    slots: Vec<Slot>,
}

/// Whether a result was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// All rows.
    All,
    /// The answer needs no more, and there may be any number of them.
    Enough,
}

/// Why rows cannot be read: the server refused, or the answer did.
#[derive(Debug)]
pub(super) enum Unread {
    Refused(Refusal),
    Failed(Failure),
}

impl From<Refusal> for Unread {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Rows {
    /// For rows of these columns.
    ///
    /// # Errors
    ///
    /// Two have one name, or one is of a type that the library does not know.
    pub(super) fn of(fields: &[ffi::MYSQL_FIELD]) -> Result<Self, Error> {
        if let Some(unknown) = fields.iter().find(|field| !is_known(field)) {
            let source = format!("column `{}`", Column::of(unknown).name);
            let error = Error::internal("the result has a column of a type that is not known");
            return Err(error.with_source(source).breaking_session());
        }
        let columns: Vec<_> = fields.iter().map(Column::of).collect();
        let names = Columns::new(columns.iter().map(|column| column.name.clone()));
        let names = names.map_err(|error| {
            Error::internal("the result cannot be a JSON object").with_source(error)
        })?;
        Ok(Self {
            slots: columns.iter().map(Slot::of).collect(),
            columns,
            names,
        })
    }

    /// Whether these are the same columns: a table may have been altered since.
    pub(super) fn fit(&self, fields: &[ffi::MYSQL_FIELD]) -> bool {
        self.columns.len() == fields.len()
            && self
                .columns
                .iter()
                .zip(fields)
                .all(|(column, field)| column.is(field))
    }

    /// Gives the answer the rows, until it has enough. Values of more than `bytes_max` are not read.
    pub(super) fn read(
        &mut self,
        statement: &Prepared,
        answer: &mut Answer<'_>,
        bytes_max: usize,
        until: Option<Instant>,
    ) -> Result<Read, Unread> {
        answer.begin(Some(&self.names))?;
        let outcome = self.read_all(statement, answer, bytes_max, until);
        self.slots.iter_mut().for_each(Slot::shrink);
        outcome
    }

    fn read_all(
        &mut self,
        statement: &Prepared,
        answer: &mut Answer<'_>,
        bytes_max: usize,
        until: Option<Instant>,
    ) -> Result<Read, Unread> {
        while statement.fetch(until)? {
            for (index, slot) in self.slots.iter_mut().enumerate() {
                statement.value(index, slot)?;
                if let Some(bytes) = slot.missing()
                    && bytes <= bytes_max
                {
                    slot.grow(bytes);
                    statement.value(index, slot)?;
                }
                slot.read();
            }
            let slots = &self.slots;
            if answer.row(&self.names, |index| slots[index].cell())? == Wants::Enough {
                return Ok(Read::Enough);
            }
        }
        Ok(Read::All)
    }
}
