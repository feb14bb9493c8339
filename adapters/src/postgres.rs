//! `postgres`: SQL on a PostgreSQL server, through libpq.
//!
//! Mounted by the config name `postgres`; each worker of the pool has its own connection. What all SQL
//! adapters promise is in [`sql`](crate::sql); this one's own:
//!
//! - **One round trip for most calls.** Statements are prepared once in each session. A transaction is sent as a
//!   whole, BEGIN and COMMIT included; only where it changes something *and* gives rows does COMMIT wait until the
//!   answer is complete. If the answer cannot be sent, nothing has been changed. (A procedure, `CALL`, and a
//!   `SELECT` of a function that writes are run as they are.)
//! - **A call that nobody waits for stops**: a cancel request ends it in the server. When the server takes
//!   no notice, a quarter of a second after its deadline the worker gives the session up and is free; servers
//!   from 14 on then see within a second that nobody is there. A session that was asked to stop is not used
//!   again, so that a late request finds nobody.
//! - **Memory is bounded**: rows are taken one by one and written straight into the body. With `stream` they are sent
//!   as they come: a slow client holds up the server's cursor, not memory.
//! - **Types survive.** Numbers keep their digits, `json` and `jsonb` are JSON, `bytea` is base64, arrays are JSON
//!   arrays, times are those of RFC 3339 (in UTC), intervals those of ISO 8601; all else is PostgreSQL's text.
//!   A JSON array is taken for a parameter that is an array, `WHERE id = ANY(:ids::int8[])`.
//! - **A session is as the next call wants it**: one that is left in a transaction is closed, statements that are
//!   out of date are prepared anew, `reset` discards all else.
//!
//! Each of libpq's own means works: several servers, TLS, `PGPASSWORD`, `~/.pgpass`, `pg_service.conf` by `url`.

mod array;
mod cancel;
mod connection;
mod conninfo;
mod exchange;
mod failure;
mod keys;
mod outcome;
mod parameters;
mod reading;
mod session;
mod statements;
mod streaming;
mod target;
mod types;
mod work;

use std::time::Instant;

use pontoon_bridge::Interrupt;

pub use keys::spec;
pub use session::Session;

use crate::sql::{Common, Output};
use crate::{Adapter, CallContext, Error, PathParams, Request, Response};

use target::Target;

/// Statements on a server.
#[derive(Clone, Debug)]
pub struct Postgres {
    target: Target,
    common: Common,
    /// Statements get names; else each is sent anew.
    prepares: bool,
    /// Sessions are reset after each call.
    resets: bool,
    read_only: Option<bool>,
    /// How rows look that are sent as they come; `None`: an answer is complete before it is sent.
    streamed: Option<Output>,
}

impl Postgres {
    /// A call of the adapter's own, which may take as long as connecting does.
    fn own_call(&self) -> CallContext {
        let deadline = Instant::now() + self.target.connect_timeout;
        let call = pontoon_bridge::CallContext::detached().with_deadline(Some(deadline));
        CallContext::new(PathParams::default(), call, 0)
    }
}

impl Adapter for Postgres {
    type Session = Session;

    fn open(&self) -> Result<Session, Error> {
        Session::open(self)
    }

    fn call(
        &self,
        session: &mut Session,
        request: Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        session.call(self, &request, call)
    }

    fn check(&self, session: &mut Session) -> Result<(), Error> {
        session.check(self)
    }

    fn interrupter(&self, session: &Session) -> Option<Box<dyn Interrupt>> {
        session
            .stop()
            .map(|stop| Box::new(stop) as Box<dyn Interrupt>)
    }
}
