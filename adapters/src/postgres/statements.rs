//! What a session has prepared.
//!
//! Each statement is prepared once in each session, all of a transaction in one round trip. Its name has a hash of
//! its text: behind a pooler that lends the same server session to several clients, no name can mean another
//! statement.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CStr, CString};
use std::hash::{DefaultHasher, Hash, Hasher};

use pq_sys::Oid;

use crate::Error;
use crate::sql::{Columns, Failure, Parameter, SameName, Task, Value, ValueKind};

use super::exchange::Exchange;
use super::failure::of_outcome;
use super::outcome::Outcome;
use super::parameters::Parameters;
use super::types::{FIRST_OWN, Type};

/// The statement exists already, in a session that a pooler has lent us.
const EXISTS: &str = "42P05";

/// Which arrays of a database's own types there are, and of what. A domain is as the type that it is made of.
const ARRAYS: &CStr = c"SELECT a.oid, coalesce(nullif(e.typbasetype, 0), e.oid) \
    FROM pg_catalog.pg_type a JOIN pg_catalog.pg_type e ON e.oid = a.typelem \
    WHERE a.oid = ANY($1) AND a.typcategory = 'A' AND a.typdelim = ','";

/// What is known of a statement.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) name: Option<CString>,
    pub(super) sql: CString,
    parameters: Vec<Oid>,
    /// The columns that it gives; `None` when it gives none, or when that is not known yet.
    pub(super) shape: Option<Shape>,
}

/// The columns of a result.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) columns: Columns,
    pub(super) types: Vec<Type>,
}

/// All that a session has prepared, by place in the plan.
#[derive(Debug, Default)]
pub(super) struct Statements {
    ready: BTreeMap<(usize, usize), Ready>,
    /// How often what was prepared turned out to be of no more use.
    generation: u32,
    /// Types that are not PostgreSQL's own.
    types: HashMap<Oid, Type>,
}

impl Statements {
    pub(super) fn get(&self, index: (usize, usize)) -> Option<&Ready> {
        self.ready.get(&index)
    }

    /// Forgets all: the server has no use for it any more. Some may still be there and keep their names.
    pub(super) fn forget(&mut self) {
        self.ready.clear();
        self.generation = self.generation.wrapping_add(1);
    }

    /// Prepares those that are not. With `by_name` off none gets a name: it is sent anew with each call.
    ///
    /// # Errors
    ///
    /// What the server says. In a transaction of several statements one that it does not take may need what one
    /// before makes: it is run without a name then, and fails in its turn if it must.
    pub(super) fn prepare(
        &mut self,
        exchange: &mut Exchange<'_>,
        tasks: &[Task<'_>],
        by_name: bool,
    ) -> Result<(), Failure> {
        let is_new = |task: &&Task<'_>| !self.ready.contains_key(&task.index);
        let new = tasks.iter().filter(is_new);
        let described = |task| Described::of(task, self.generation);
        let mut new: Vec<Described> = new.map(described).collect::<Result<_, _>>()?;
        if new.is_empty() {
            return Ok(());
        }
        if by_name {
            for one in &new {
                exchange.send_prepare(&one.name, &one.sql)?;
            }
            exchange.flush()?;
            for one in &mut new {
                one.said = Some(read_description(exchange)?);
            }
        }
        self.learn_types(exchange, &new)?;
        for one in new {
            let (name, outcome) = match one.said {
                Some(Ok(outcome)) => (Some(one.name), outcome),
                Some(Err(failed)) if tasks.len() == 1 => {
                    return Err(of_outcome(&failed, exchange.connection));
                }
                _ => (None, None),
            };
            let shape = outcome.as_ref().filter(|outcome| outcome.width() > 0);
            let ready = Ready {
                name,
                sql: one.sql,
                parameters: outcome
                    .as_ref()
                    .map_or(Vec::new(), Outcome::parameter_types),
                shape: shape.map(|outcome| self.shape_of(outcome)).transpose()?,
            };
            self.ready.insert(one.index, ready);
        }
        Ok(())
    }

    /// The columns of a result.
    ///
    /// # Errors
    ///
    /// 500 when two have the same name.
    pub(super) fn shape_of(&self, outcome: &Outcome) -> Result<Shape, Error> {
        let columns = Columns::new(outcome.names()).map_err(|same: SameName| {
            Error::internal("the statement gives two columns of the same name").with_source(same)
        })?;
        let types = outcome.types().map(|oid| self.type_of(oid)).collect();
        Ok(Shape { columns, types })
    }

    /// Whether a statement is known to give no rows.
    pub(super) fn gives_none(&self, index: (usize, usize)) -> bool {
        let ready = self.get(index);
        ready.is_some_and(|ready| ready.name.is_some() && ready.shape.is_none())
    }

    /// Fills in the values of a statement.
    ///
    /// # Errors
    ///
    /// 422 when PostgreSQL has no such value.
    pub(super) fn fill(&self, task: &Task<'_>, parameters: &mut Parameters) -> Result<(), Error> {
        parameters.clear();
        let types = self
            .get(task.index)
            .map_or(&[][..], |ready| &ready.parameters);
        let wanted = task.statement.parameters().iter().zip(task.values);
        for (at, (parameter, value)) in wanted.enumerate() {
            let oid = types.get(at).copied();
            let kind = oid.map(|oid| self.type_of(oid));
            parameters.push(parameter, oid, kind, value)?;
        }
        Ok(())
    }

    fn type_of(&self, oid: Oid) -> Type {
        let own = self.types.get(&oid).copied();
        own.unwrap_or_else(|| Type::built_in(oid))
    }

    /// Asks which of the types that a database has been given are arrays, if there are any that have not been
    /// asked for.
    fn learn_types(
        &mut self,
        exchange: &mut Exchange<'_>,
        new: &[Described],
    ) -> Result<(), Failure> {
        let said = new
            .iter()
            .filter_map(|one| one.said.as_ref()?.as_ref().ok()?.as_ref());
        let oids = said.flat_map(|outcome| outcome.types().chain(outcome.parameter_types()));
        let is_unknown = |oid: &Oid| *oid >= FIRST_OWN && !self.types.contains_key(oid);
        let unknown: Vec<Oid> = oids.filter(is_unknown).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = unknown.iter().map(Oid::to_string).collect();
        let list = format!("{{{}}}", list.join(","));
        let parameter = Parameter {
            name: "types".to_owned(),
            kind: ValueKind::Any,
        };
        let mut parameters = Parameters::default();
        parameters.push(&parameter, None, None, &Value::Text(list.into()))?;
        let answer = exchange.run(ARRAYS, &parameters)?;
        self.types
            .extend(unknown.iter().map(|oid| (*oid, Type::Text)));
        let Some(answer) = answer else { return Ok(()) };
        for row in 0..answer.height() {
            let oid = |column| {
                let text = std::str::from_utf8(answer.value(row, column)?);
                text.ok()?.parse::<Oid>().ok()
            };
            if let (Some(array), Some(element)) = (oid(0), oid(1)) {
                self.types.insert(array, Type::array_of(element));
            }
        }
        Ok(())
    }
}

/// A statement that is being prepared.
struct Described {
    index: (usize, usize),
    name: CString,
    sql: CString,
    /// What the server says of it, if it was asked.
    said: Option<Result<Option<Outcome>, Outcome>>,
}

impl Described {
    fn of(task: &Task<'_>, generation: u32) -> Result<Self, Error> {
        let text = task.statement.text();
        let sql = CString::new(text).map_err(|error| {
            Error::internal("the statement holds a NUL character").with_source(error)
        })?;
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let (transaction, at) = task.index;
        let hash = hasher.finish();
        let name = format!("pontoon_{transaction}_{at}_{hash:016x}_{generation}");
        Ok(Self {
            index: task.index,
            // Digits, letters and underscores have no NUL.
            name: CString::new(name).unwrap_or_default(),
            sql,
            said: None,
        })
    }
}

/// What the server says of a statement that it was asked to prepare and describe.
fn read_description(
    exchange: &mut Exchange<'_>,
) -> Result<Result<Option<Outcome>, Outcome>, Failure> {
    let prepared = exchange.said()?;
    exchange.in_step()?;
    let described = exchange.said()?;
    exchange.in_step()?;
    Ok(match prepared {
        Err(failed) if failed.sqlstate().as_deref() != Some(EXISTS) => Err(failed),
        _ => described,
    })
}
