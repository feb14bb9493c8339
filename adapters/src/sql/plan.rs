//! What a location runs for each method.

use std::sync::{Mutex, PoisonError};

use http::Method;

use crate::Error;

use super::dialect::Dialect;
use super::statement::{Malformed, Statement};

/// Statements that run one after the other, all or none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its place in the plan: 0, 1, …
    pub index: usize,
    /// The statements, at least one.
    pub statements: Vec<Statement>,
}

impl Transaction {
    /// Whether it is a single call of a procedure, which may have made a part of its changes last when it
    /// fails: running it again would make them twice.
    pub fn may_commit_itself(&self) -> bool {
        matches!(&self.statements[..], [statement] if statement.is_procedure())
    }

    /// Whether all of it looks as if it only read.
    pub fn reads(&self) -> bool {
        self.statements.iter().all(Statement::reads)
    }
}

/// What a location runs for each method.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    transactions: Vec<Transaction>,
    /// Which method runs which of them.
    methods: Vec<(Method, usize)>,
    /// What runs for all other methods.
    any: Option<usize>,
}

/// Why texts are no transaction: which of them, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{malformed}")]
pub struct WrongStatement {
    /// Its place among the texts: 0, 1, …
    pub index: usize,
    /// What is wrong.
    pub malformed: Malformed,
}

/// The methods that a 405 may name.
const ALL: &[Method] = &[
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

impl Plan {
    /// Has these statements run for every method that has none of its own: GET and HEAD only if they look as
    /// if they only read, so that what prefetches links changes nothing.
    ///
    /// # Errors
    ///
    /// The first text that is no statement.
    pub fn add_for_any(
        &mut self,
        texts: &[String],
        dialect: Dialect,
    ) -> Result<(), WrongStatement> {
        let index = self.push(texts, dialect)?;
        self.any = Some(index);
        Ok(())
    }

    /// Has these statements run for `method`; those of GET also for HEAD.
    ///
    /// # Errors
    ///
    /// The first text that is no statement.
    pub fn add(
        &mut self,
        method: Method,
        texts: &[String],
        dialect: Dialect,
    ) -> Result<(), WrongStatement> {
        let index = self.push(texts, dialect)?;
        if method == Method::GET && self.index_of(&Method::HEAD).is_none() {
            self.methods.push((Method::HEAD, index));
        }
        self.methods.push((method, index));
        Ok(())
    }

    /// All transactions, by their index.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// What to run for a method.
    ///
    /// # Errors
    ///
    /// 405 with the methods for which there is something.
    pub fn of(&self, method: &Method) -> Result<&Transaction, Error> {
        match self.index_of(method) {
            Some(index) => Ok(&self.transactions[index]),
            None => Err(Error::method_not_allowed(self.allowed())),
        }
    }

    fn index_of(&self, method: &Method) -> Option<usize> {
        let mut methods = self.methods.iter();
        let own = methods
            .find(|(one, _)| one == method)
            .map(|(_, index)| *index);
        let is_safe = matches!(*method, Method::GET | Method::HEAD);
        let is_for = |index: &usize| !is_safe || self.transactions[*index].reads();
        own.or(self.any.filter(is_for))
    }

    fn push(&mut self, texts: &[String], dialect: Dialect) -> Result<usize, WrongStatement> {
        let parse = |(index, text): (usize, &String)| {
            Statement::parse(text, dialect).map_err(|malformed| WrongStatement { index, malformed })
        };
        let statements = texts
            .iter()
            .enumerate()
            .map(parse)
            .collect::<Result<_, _>>()?;
        let index = self.transactions.len();
        self.transactions.push(Transaction { index, statements });
        Ok(index)
    }

    fn allowed(&self) -> &'static [Method] {
        let is_served = |method: &&Method| self.index_of(method).is_some();
        let allowed: Vec<Method> = ALL.iter().filter(is_served).cloned().collect();
        let mut sets = SETS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sets.iter().find(|set| ***set == *allowed) {
            return known;
        }
        let set: &'static [Method] = Vec::leak(allowed);
        sets.push(set);
        set
    }
}

/// The sets of methods that were ever named in a 405, which lives for as long as the program: there are no
/// more than 64.
static SETS: Mutex<Vec<&'static [Method]>> = Mutex::new(Vec::new());

#[cfg(test)]
mod tests {
    use super::*;

    fn text(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_writes_is_not_for_get() {
        let mut plan = Plan::default();
        plan.add_for_any(&text(&["DELETE FROM t"]), Dialect::SQLITE)
            .unwrap();
        assert!(plan.of(&Method::DELETE).is_ok());
        let error = plan.of(&Method::GET).unwrap_err();
        assert_eq!(
            error.detail(),
            "this location answers only POST, PUT, PATCH, DELETE"
        );
    }

    #[test]
    fn each_method_has_its_own_and_the_rest_is_for_any() {
        let mut plan = Plan::default();
        plan.add(Method::PUT, &text(&["UPDATE t SET a = 1"]), Dialect::SQLITE)
            .unwrap();
        plan.add_for_any(&text(&["SELECT 1"]), Dialect::SQLITE)
            .unwrap();
        assert_eq!(plan.of(&Method::PUT).unwrap().index, 0);
        for method in [Method::GET, Method::HEAD, Method::POST] {
            assert_eq!(plan.of(&method).unwrap().index, 1, "{method}");
        }
    }

    #[test]
    fn head_is_answered_as_get_is() {
        let mut plan = Plan::default();
        plan.add(Method::GET, &text(&["SELECT 1"]), Dialect::SQLITE)
            .unwrap();
        assert!(plan.of(&Method::HEAD).is_ok());
        let error = plan.of(&Method::POST).unwrap_err();
        assert_eq!(error.detail(), "this location answers only GET, HEAD");
    }

    #[test]
    fn the_text_that_is_wrong_is_named() {
        let texts = text(&["SELECT 1", "SELECT 'a"]);
        let error = Plan::default()
            .add_for_any(&texts, Dialect::SQLITE)
            .unwrap_err();
        assert_eq!(error.index, 1);
    }
}
