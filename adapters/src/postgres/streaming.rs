//! Rows that are sent as they come.
//!
//! What can fail before the first row is an answer of its own: the head goes out with that row. From then on the
//! server's cursor is held up by a slow client, and a failure cuts the response.

use crate::sql::{Answer, Failure, Output, Task};
use crate::{BodySink, Error, Response};

use super::failure::{is_out_of_date, of_confusion, of_outcome};
use super::outcome::{Outcome, Said};
use super::reading::Reading;
use super::work::{Sent, Work};

/// Rows are gathered until there are so many bytes of them, or until the server has no more at the moment.
const PIECE_BYTES: usize = 16 * 1024;

impl Work<'_> {
    /// Runs a statement that only reads.
    pub(super) fn stream(&mut self, task: Task<'_>, output: &Output) -> Result<Response, Failure> {
        self.get_ready(&[task])?;
        self.send(&[task], Sent::default())?;
        self.session.connection.row_by_row();
        let mut answer = Answer::new(output);
        let mut reading = Reading::default();
        let more = self.take_next(&task, &mut reading, &mut answer);
        if !matches!(more, Ok(true)) {
            // There is no row: what there is can be answered as a whole.
            self.end_stream(&more)?;
            more?;
            return Ok(answer.finish()?);
        }
        let call = self.call;
        let streamed = call.stream(answer.head(), |body| {
            self.send_rows(&task, reading, answer, body)
        });
        streamed.map_err(|error| error.breaking_session().into())
    }

    /// Adds what the server says next to the answer. `false`: there are no more rows.
    fn take_next(
        &mut self,
        task: &Task<'_>,
        reading: &mut Reading,
        answer: &mut Answer<'_>,
    ) -> Result<bool, Failure> {
        let Some(outcome) = self.exchange().next()? else {
            return Err(of_confusion("rows without an end"));
        };
        match outcome.said() {
            Said::Row | Said::EndOfRows | Said::Done => {
                reading.take(&outcome, task, answer, self.session, self.config)?;
                Ok(outcome.said() == Said::Row)
            }
            Said::Failed => Err(self.failed(&outcome)),
            _ => Err(of_confusion("COPY, or an answer that belongs to nothing")),
        }
    }

    fn failed(&mut self, outcome: &Outcome) -> Failure {
        if is_out_of_date(outcome) {
            self.session.is_out_of_date = true;
            self.session.statements.forget();
        }
        of_outcome(outcome, &self.session.connection)
    }

    /// Reads the rest of the pipeline, if there can be one.
    fn end_stream(&mut self, more: &Result<bool, Failure>) -> Result<(), Failure> {
        if let Err(failure) = more
            && failure.error.breaks_session()
        {
            return Ok(());
        }
        self.exchange().ended()?;
        self.exchange().in_step()
    }

    fn send_rows(
        &mut self,
        task: &Task<'_>,
        mut reading: Reading,
        mut answer: Answer<'_>,
        body: &mut BodySink,
    ) -> Result<(), Error> {
        let error = |failure: Failure| failure.error;
        let mut has_more = true;
        while has_more {
            let is_waiting = self.session.connection.is_busy();
            if let Some(piece) = answer.take(if is_waiting { 0 } else { PIECE_BYTES }) {
                body.send(piece)?;
            }
            if is_waiting {
                body.flush()?;
            }
            has_more = self
                .take_next(task, &mut reading, &mut answer)
                .map_err(error)?;
        }
        if let Some(piece) = answer.take(0) {
            body.send(piece)?;
        }
        self.end_stream(&Ok(false)).map_err(error)
    }
}
