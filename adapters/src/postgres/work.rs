//! One call: its statements are sent at once and their answers read as they come.
//!
//! | what runs | is sent as | round trips |
//! | --- | --- | --- |
//! | one statement that only reads, or only changes | itself | 1 |
//! | several that only read, or none of which gives rows | BEGIN, all of them, COMMIT | 1 |
//! | all else: what changes something, and gives rows | BEGIN and all of them; COMMIT when the answer is complete | 2 |
//!
//! So what has an answer that could still fail, by being too large for instance, is never committed before.
//! After an error the server skips the rest, COMMIT included, and what had begun is rolled back.

use std::ffi::CStr;

use crate::sql::{Answer, Database, Failure, Statement, Task};
use crate::{CallContext, Error, Request, Response};

use super::Postgres;
use super::connection::{Connection, Standing};
use super::exchange::Exchange;
use super::failure::{is_out_of_date, of_confusion, of_outcome};
use super::outcome::Said;
use super::parameters::Parameters;
use super::reading::Reading;
use super::session::Session;

/// After an answer has failed, so many rows are thrown away at most. If there are more, a new session costs
/// less.
const WASTE_ROWS_MAX: u64 = 10_000;

/// A call in its session.
pub(super) struct Work<'w> {
    pub(super) config: &'w Postgres,
    pub(super) session: &'w mut Session,
    pub(super) call: &'w CallContext,
    transaction: Transaction,
}

/// How far the call's transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transaction {
    /// There is none.
    None,
    /// It begins with the first statement.
    Wanted { reads: bool },
    /// It has begun.
    Begun,
    /// It has ended well.
    Committed,
}

impl<'w> Work<'w> {
    pub(super) fn new(
        config: &'w Postgres,
        session: &'w mut Session,
        call: &'w CallContext,
    ) -> Self {
        session.is_out_of_date = false;
        Self {
            config,
            session,
            call,
            transaction: Transaction::None,
        }
    }

    pub(super) fn answer(&mut self, request: &Request) -> Result<Response, Error> {
        let (config, call) = (self.config, self.call);
        if let Some(output) = &config.streamed
            && let [statement] = &config.common.plan.of(request.method())?.statements[..]
            && statement.reads()
        {
            return config.common.fill(request, call, |transaction, values| {
                let task = Task {
                    statement,
                    index: (transaction.index, 0),
                    values: &values[0],
                };
                let streamed = self.stream(task, output);
                streamed.map_err(|failure| failure.error)
            });
        }
        config.common.answer(self, request, call)
    }

    pub(super) fn exchange(&mut self) -> Exchange<'_> {
        Exchange {
            connection: &mut self.session.connection,
            call: self.call,
        }
    }

    /// Prepares what is not, and fills in all values, before anything is sent that could do something.
    pub(super) fn get_ready(&mut self, tasks: &[Task<'_>]) -> Result<(), Failure> {
        let Session {
            connection,
            statements,
            parameters,
            ..
        } = &mut *self.session;
        let mut exchange = Exchange {
            connection,
            call: self.call,
        };
        statements.prepare(&mut exchange, tasks, self.config.prepares)?;
        if parameters.len() < tasks.len() {
            parameters.resize_with(tasks.len(), Parameters::default);
        }
        for (task, parameters) in tasks.iter().zip(parameters) {
            statements.fill(task, parameters)?;
        }
        Ok(())
    }

    /// What is not begun is not begun any more once nobody waits for it: the server would be told to stop before
    /// it has started.
    fn is_awaited(&self) -> Result<(), Failure> {
        if self.call.is_cancelled() {
            let detail = "nobody waits for the answer any more; nothing was changed";
            return Err(Error::unavailable(detail).into());
        }
        Ok(())
    }

    pub(super) fn send(&mut self, tasks: &[Task<'_>], plan: Sent) -> Result<(), Failure> {
        self.is_awaited()?;
        let Session {
            connection,
            statements,
            parameters,
            ..
        } = &mut *self.session;
        let mut queue = || {
            if let Some(begin) = plan.begin {
                connection.send_sql(begin, &Parameters::default())?;
            }
            for (task, parameters) in tasks.iter().zip(&*parameters) {
                match statements.get(task.index) {
                    Some(ready) => match &ready.name {
                        Some(name) => connection.send_prepared(name, parameters)?,
                        None => connection.send_sql(&ready.sql, parameters)?,
                    },
                    None => debug_assert!(false, "all are ready"),
                }
            }
            if plan.commits {
                connection.send_sql(c"COMMIT", &Parameters::default())?;
            }
            connection.sync()
        };
        let queued = queue();
        let mut exchange = self.exchange();
        queued.map_err(|lost| exchange.lost(lost))?;
        exchange.flush()
    }

    /// Reads all answers, to their ends; the first error counts.
    fn read(
        &mut self,
        tasks: &[Task<'_>],
        plan: Sent,
        answer: &mut Answer<'_>,
    ) -> Result<(), Failure> {
        let mut failed = None;
        if plan.begin.is_some() {
            note(self.exchange().ended(), &mut failed)?;
        }
        for task in tasks {
            let read = self.read_one(task, answer, failed.is_some());
            note(read, &mut failed)?;
        }
        if plan.commits {
            let committed = self.exchange().ended();
            if let Some(Some(outcome)) = note(committed, &mut failed)?
                && outcome.is_tagged("COMMIT")
            {
                self.transaction = Transaction::Committed;
            }
        }
        let in_step = self.exchange().in_step();
        note(in_step, &mut failed)?;
        match failed {
            Some(failure) => Err(failure),
            None if plan.commits && self.transaction != Transaction::Committed => {
                Err(of_confusion("COMMIT was not answered by COMMIT"))
            }
            None => Ok(()),
        }
    }

    /// Reads the answer to one statement. After a failure the rest of its rows is thrown away.
    fn read_one(
        &mut self,
        task: &Task<'_>,
        answer: &mut Answer<'_>,
        is_skipped: bool,
    ) -> Result<(), Failure> {
        self.session.connection.row_by_row();
        let mut reading = Reading::default();
        loop {
            let Some(outcome) = self.exchange().next()? else {
                break;
            };
            let is_wanted = reading.failed.is_none() && !is_skipped;
            match outcome.said() {
                Said::Row | Said::EndOfRows | Said::Done if is_wanted => {
                    let taken = reading.take(&outcome, task, answer, self.session, self.config);
                    reading.failed = taken.err().map(Failure::from);
                }
                Said::Row => {
                    reading.wasted += 1;
                    if reading.wasted > WASTE_ROWS_MAX {
                        let failure = reading.failed.take();
                        return Err(breaking(failure));
                    }
                }
                Said::Failed => {
                    self.session.is_out_of_date |= is_out_of_date(&outcome);
                    let failure = of_outcome(&outcome, &self.session.connection);
                    reading.failed.get_or_insert(failure);
                }
                Said::EndOfRows | Said::Done | Said::Skipped => {}
                Said::InStep | Said::Foreign => {
                    return Err(of_confusion("COPY, or an answer that belongs to nothing"));
                }
            }
        }
        reading.failed.map_or(Ok(()), Err)
    }

    /// How the statements are sent.
    fn plan(&mut self, tasks: &[Task<'_>]) -> Sent {
        let Transaction::Wanted { reads } = self.transaction else {
            return Sent::default();
        };
        self.transaction = Transaction::Begun;
        let is_safe = |task: &Task<'_>| self.session.statements.gives_none(task.index);
        // `no_changes` may turn the answer into an error, after which nothing shall have been done.
        let commits =
            reads || (self.config.common.output.no_changes.is_none() && tasks.iter().all(is_safe));
        let begin = match reads && self.config.read_only != Some(false) {
            true => c"BEGIN READ ONLY",
            false => c"BEGIN",
        };
        Sent {
            begin: Some(begin),
            commits,
        }
    }
}

/// How the statements of a call are sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    begin: Option<&'static CStr>,
    commits: bool,
}

/// Keeps the first failure, and gives up where nothing more can be read.
fn note<T>(read: Result<T, Failure>, failed: &mut Option<Failure>) -> Result<Option<T>, Failure> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(failure) if failure.error.breaks_session() => Err(failed
            .take()
            .map_or(failure, |failed| breaking(Some(failed)))),
        Err(failure) => {
            failed.get_or_insert(failure);
            Ok(None)
        }
    }
}

fn breaking(failure: Option<Failure>) -> Failure {
    match failure {
        Some(failure) => failure.error.breaking_session().into(),
        None => of_confusion("too many rows of a statement that has failed"),
    }
}

impl Database for Work<'_> {
    /// Notes it: BEGIN is sent with the first statement.
    fn begin(&mut self, reads: bool) -> Result<(), Failure> {
        self.transaction = Transaction::Wanted { reads };
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Failure> {
        if self.transaction == Transaction::Committed {
            return Ok(());
        }
        self.is_awaited()?;
        let outcome = self.exchange().run(c"COMMIT", &Parameters::default())?;
        match outcome {
            Some(outcome) if outcome.is_tagged("COMMIT") => {
                self.transaction = Transaction::Committed;
                Ok(())
            }
            _ => Err(of_confusion("COMMIT was not answered by COMMIT")),
        }
    }

    fn roll_back(&mut self) -> Result<(), Failure> {
        let standing = Connection::standing(&self.session.connection);
        match standing {
            Standing::Idle => Ok(()),
            Standing::InTransaction => {
                let rolled_back = self.exchange().run(c"ROLLBACK", &Parameters::default());
                rolled_back.map(drop)
            }
            Standing::Unknown => Err(of_confusion("the session is in no known state")),
        }
    }

    fn run(&mut self, task: Task<'_>, answer: &mut Answer<'_>) -> Result<(), Failure> {
        self.run_all(&[task], answer)
    }

    fn run_all(&mut self, tasks: &[Task<'_>], answer: &mut Answer<'_>) -> Result<(), Failure> {
        self.get_ready(tasks)?;
        let plan = self.plan(tasks);
        self.send(tasks, plan)?;
        let read = self.read(tasks, plan, answer);
        if self.session.is_out_of_date {
            self.session.statements.forget();
        }
        read
    }

    fn needs_transaction(&self, statement: &Statement, _: (usize, usize)) -> bool {
        statement.gives_changes()
    }
}
