//! The adapter against a real MariaDB.

mod answers;
mod changes;
mod failing;
mod sessions;
mod stopping;
mod types;

use std::fmt::Write;

use pontoon_tests::backends::MariaDb;

use super::*;
use crate::settings::Settings;
use crate::test_support::{get, post};
use crate::{ErrorKind, PathParams};

/// A database of a test's own, on the server that all tests share or on one of its own.
pub(super) struct Db<'s> {
    pub(super) server: &'s MariaDb,
    pub(super) name: String,
}

impl Db<'static> {
    /// On the shared server; `None` where MariaDB is not installed.
    pub(super) fn shared() -> Option<Self> {
        MariaDb::shared().map(Db::on)
    }
}

impl<'s> Db<'s> {
    /// With a table of users.
    pub(super) fn on(server: &'s MariaDb) -> Self {
        let name = server.database();
        let db = Self { server, name };
        db.run(
            "CREATE TABLE users (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40) NOT NULL UNIQUE,
                 age INT CHECK (age >= 0));
             INSERT INTO users VALUES (1, 'Ada', 36), (2, 'Grace', 85);",
        );
        db
    }

    pub(super) fn run(&self, sql: &str) -> String {
        self.server.run(&self.name, sql)
    }

    /// The keys that lead to it, by TCP.
    pub(super) fn keys(&self) -> String {
        format!(
            "server = \"{}\"\nuser = \"{}\"\npassword = \"{}\"\ndatabase = \"{}\"\n",
            self.server.address(),
            MariaDb::USER,
            MariaDb::PASSWORD,
            self.name
        )
    }

    /// An adapter with these keys beside those that lead to it.
    pub(super) fn adapter(&self, keys: &str) -> MySql {
        read(&format!("{}{keys}", self.keys())).unwrap()
    }

    /// An adapter that runs one statement.
    pub(super) fn query(&self, sql: &str) -> MySql {
        self.adapter(&format!("query = '''{sql}'''"))
    }

    /// What one call of a statement answers.
    pub(super) fn ask(&self, sql: &str, request: Request) -> Result<Response, Error> {
        call(&self.query(sql), request)
    }

    /// The body of a GET.
    pub(super) fn body(&self, sql: &str) -> String {
        text(self.ask(sql, get("/")).unwrap())
    }
}

pub(super) fn read(keys: &str) -> Result<MySql, String> {
    let read = Settings::parse(keys, &keys::KEYS, MySql::from_settings);
    read.map_err(|errors| errors.render(false))
}

/// One call on a new session.
pub(super) fn call(adapter: &MySql, request: Request) -> Result<Response, Error> {
    let mut session = adapter.open().unwrap();
    in_session(adapter, &mut session, request)
}

/// One call on this session.
pub(super) fn in_session(
    adapter: &MySql,
    session: &mut Session,
    request: Request,
) -> Result<Response, Error> {
    adapter.call(session, request, &CallContext::detached())
}

pub(super) fn text(response: Response) -> String {
    String::from_utf8(response.body().to_vec()).unwrap()
}

/// An error with all its sources, for messages.
pub(super) fn explain(error: &Error) -> String {
    let mut text = format!("{:?} {}", error.kind(), error.detail());
    if let Some(source) = std::error::Error::source(error) {
        let _ = write!(text, ": {source}");
    }
    text
}
