//! One request: its values are filled in, its statements run, all or none of them.

use crate::{CallContext, Error, Request, Response};

use super::Value;
use super::answer::{Answer, Output};
use super::dialect::Dialect;
use super::fill::{Filler, Sources};
use super::plan::{Plan, Transaction};
use super::statement::{Malformed, Statement};

/// What all SQL adapters read from their location.
#[derive(Clone, Debug, PartialEq)]
pub struct Common {
    /// What is run.
    pub plan: Plan,
    /// Where its values come from.
    pub sources: Sources,
    /// What becomes of the rows.
    pub output: Output,
    /// How often a transaction that clashed with another one is run again.
    pub retries: u32,
}

/// A statement that is to run.
#[derive(Clone, Copy, Debug)]
pub struct Task<'t> {
    /// The statement.
    pub statement: &'t Statement,
    /// Its transaction's place in the plan, and its own in the transaction: what is prepared of it is found
    /// by them.
    pub index: (usize, usize),
    /// The values of its parameters, in the order of [`Statement::parameters`].
    pub values: &'t [Value<'t>],
}

/// A database, as far as one call needs it.
pub trait Database {
    /// Begins a transaction, which only reads if it says so.
    ///
    /// # Errors
    ///
    /// What the database says.
    fn begin(&mut self, reads: bool) -> Result<(), Failure>;

    /// Makes what was done since [`begin`](Self::begin) last.
    ///
    /// # Errors
    ///
    /// What the database says; then nothing of it lasts.
    fn commit(&mut self) -> Result<(), Failure>;

    /// Undoes what was done since [`begin`](Self::begin).
    ///
    /// # Errors
    ///
    /// The session is in a state that nobody knows: it is closed.
    fn roll_back(&mut self) -> Result<(), Failure>;

    /// Runs a statement to its end, and gives the answer all of its results.
    ///
    /// # Errors
    ///
    /// What the database or the answer says.
    fn run(&mut self, task: Task<'_>, answer: &mut Answer<'_>) -> Result<(), Failure>;

    /// Runs the statements of a transaction in their order. A database that can be sent all of them at once
    /// has its own way.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run): those of the first statement that failed.
    fn run_all(&mut self, tasks: &[Task<'_>], answer: &mut Answer<'_>) -> Result<(), Failure> {
        tasks.iter().try_for_each(|task| self.run(*task, answer))
    }

    /// Whether one statement alone needs a transaction around it, so that its changes go when its answer
    /// cannot be sent. `index` is as in [`Task`].
    fn needs_transaction(&self, statement: &Statement, index: (usize, usize)) -> bool {
        let _ = index;
        !statement.reads()
    }
}

/// Why a call fails.
#[derive(Debug)]
pub struct Failure {
    /// What the client is told.
    pub error: Error,
    /// It clashed with another transaction, and may go well when it is run again.
    pub is_worth_a_retry: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            is_worth_a_retry: false,
        }
    }
}

impl Common {
    /// One statement, for every method that it is for; all else is as by default.
    ///
    /// # Errors
    ///
    /// It is no statement.
    pub fn of_query(sql: &str, dialect: Dialect) -> Result<Self, Malformed> {
        let mut plan = Plan::default();
        let added = plan.add_for_any(&[sql.to_owned()], dialect);
        added.map_err(|wrong| wrong.malformed)?;
        Ok(Self {
            plan,
            sources: Sources::default(),
            output: Output::default(),
            retries: 0,
        })
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// 405 when nothing runs for its method, 400 when a value is missing or wrong, and what the database
    /// says. When it could not be rolled back the error breaks its session.
    pub fn answer(
        &self,
        database: &mut impl Database,
        request: &Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        self.fill(request, call, |transaction, values| {
            self.try_often(database, call, transaction, values)
        })
    }

    /// Has `run` called with what a request runs, and with the values of each of its statements.
    ///
    /// # Errors
    ///
    /// 405 when nothing runs for its method, 400 when a value is missing or wrong, and what `run` says.
    pub fn fill<R>(
        &self,
        request: &Request,
        call: &CallContext,
        run: impl FnOnce(&Transaction, &[Vec<Value<'_>>]) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let transaction = self.plan.of(request.method())?;
        let filler = Filler::new(request, call, &self.sources)?;
        run(transaction, &values(transaction, &filler)?)
    }

    fn try_often(
        &self,
        database: &mut impl Database,
        call: &CallContext,
        transaction: &Transaction,
        values: &[Vec<Value<'_>>],
    ) -> Result<Response, Error> {
        let mut tries = 0;
        loop {
            match self.try_once(database, transaction, values) {
                Err(failure)
                    if failure.is_worth_a_retry
                        && !transaction.may_commit_itself()
                        && tries < self.retries
                        && !failure.error.breaks_session()
                        && !call.is_cancelled() =>
                {
                    tries += 1;
                }
                outcome => return outcome.map_err(|failure| failure.error),
            }
        }
    }

    /// As [`answer`](Self::answer), in a transaction that is there already: it is neither committed nor rolled
    /// back.
    ///
    /// # Errors
    ///
    /// As [`answer`](Self::answer).
    pub fn answer_within(
        &self,
        database: &mut impl Database,
        request: &Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        self.fill(request, call, |transaction, values| {
            let outcome = self.run_all(database, transaction, values);
            outcome.map_err(|failure| failure.error)
        })
    }

    fn try_once(
        &self,
        database: &mut impl Database,
        transaction: &Transaction,
        values: &[Vec<Value<'_>>],
    ) -> Result<Response, Failure> {
        let statements = &transaction.statements;
        if let [statement] = &statements[..]
            && !database.needs_transaction(statement, (transaction.index, 0))
        {
            return self.run_all(database, transaction, values);
        }
        database.begin(transaction.reads())?;
        let outcome = self
            .run_all(database, transaction, values)
            .and_then(|response| {
                database.commit()?;
                Ok(response)
            });
        outcome.map_err(|failure| match database.roll_back() {
            Ok(()) => failure,
            Err(_) => Failure {
                error: failure.error.breaking_session(),
                is_worth_a_retry: false,
            },
        })
    }

    fn run_all(
        &self,
        database: &mut impl Database,
        transaction: &Transaction,
        values: &[Vec<Value<'_>>],
    ) -> Result<Response, Failure> {
        let mut answer = Answer::new(&self.output);
        let statements = transaction.statements.iter().zip(values).enumerate();
        let tasks: Vec<Task<'_>> = statements
            .map(|(at, (statement, values))| Task {
                statement,
                index: (transaction.index, at),
                values,
            })
            .collect();
        database.run_all(&tasks, &mut answer)?;
        Ok(answer.finish()?)
    }
}

/// The values of each statement, before any of them runs.
fn values<'f>(
    transaction: &Transaction,
    filler: &'f Filler<'_>,
) -> Result<Vec<Vec<Value<'f>>>, Error> {
    let of_statement = |statement: &Statement| {
        let parameters = statement.parameters().iter();
        parameters
            .map(|parameter| filler.value(parameter))
            .collect()
    };
    transaction.statements.iter().map(of_statement).collect()
}
