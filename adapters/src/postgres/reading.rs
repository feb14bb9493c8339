//! From what the server says to one statement to the answer: rows are written straight from libpq's memory.

use crate::Error;
use crate::sql::{Answer, Cell, Done, Failure, Task, Wants};

use super::Postgres;
use super::outcome::{Outcome, Said};
use super::session::Session;
use super::statements::Shape;

/// The answer to one statement, as far as it is read.
#[derive(Default)]
pub(super) struct Reading {
    is_begun: bool,
    has_enough: bool,
    pub(super) failed: Option<Failure>,
    /// Rows that were thrown away after it.
    pub(super) wasted: u64,
    /// The columns, where they are not what was told before.
    shape: Option<Shape>,
}

impl Reading {
    pub(super) fn take(
        &mut self,
        outcome: &Outcome,
        task: &Task<'_>,
        answer: &mut Answer<'_>,
        session: &mut Session,
        config: &Postgres,
    ) -> Result<(), Error> {
        let Session {
            statements,
            scratch,
            ..
        } = session;
        let known = statements
            .get(task.index)
            .and_then(|ready| ready.shape.as_ref());
        let known = known.filter(|shape| shape.types.len() == outcome.width());
        let has_rows = outcome.said() != Said::Done;
        if !self.is_begun {
            if has_rows && known.is_none() {
                self.shape = Some(statements.shape_of(outcome)?);
            }
            let shape = self.shape.as_ref().or(known).filter(|_| has_rows);
            answer.begin(shape.map(|shape| &shape.columns))?;
            self.is_begun = true;
        }
        if let Some(shape) = self.shape.as_ref().or(known)
            && has_rows
        {
            for row in 0..outcome.height() {
                if !self.has_enough {
                    let wants = add_row(outcome, row, shape, answer, scratch, config)?;
                    self.has_enough = wants == Wants::Enough;
                }
            }
        }
        if outcome.said() != Said::Row {
            let changes = match task.statement.reads() {
                true => 0,
                false => outcome.count(),
            };
            answer.end(Done {
                changes,
                last_insert_id: None,
            })?;
        }
        Ok(())
    }
}

fn add_row(
    outcome: &Outcome,
    row: usize,
    shape: &Shape,
    answer: &mut Answer<'_>,
    scratch: &mut Vec<Vec<u8>>,
    config: &Postgres,
) -> Result<Wants, Error> {
    if scratch.len() < shape.types.len() {
        scratch.resize_with(shape.types.len(), Vec::new);
    }
    let texts = config.common.output.decimals_are_texts;
    for (column, kind) in shape.types.iter().enumerate() {
        if let Some(value) = outcome.value(row, column) {
            kind.convert(value, texts, &mut scratch[column])?;
        }
    }
    answer.row(&shape.columns, |column| match outcome.value(row, column) {
        Some(value) => shape.types[column].cell(value, &scratch[column]),
        None => Ok(Cell::Null),
    })
}
