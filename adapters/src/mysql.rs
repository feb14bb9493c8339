//! `mysql`: SQL statements on a location, run by MySQL or MariaDB through MariaDB's Connector/C.
//!
//! Mounted by the config name `mysql`; each worker of the pool has its own connection and keeps its statements
//! prepared on it. What a location says of its statements, and what becomes of their rows, is in
//! [`sql`](crate::sql). What else it promises:
//!
//! - **Types survive**: see `mysql/column.rs` for each. Dates and times are in UTC and RFC 3339's form; a
//!   `0000-00-00` is null.
//! - **Strict**: a session begins in strict mode, so a value that does not fit is a 422 and not a shorter value.
//!   Its `sql_mode` is `STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION` whatever the
//!   server's is, its time zone is UTC, its character set utf8mb4.
//! - **`changes` counts the rows that an UPDATE found**, as with other databases, also where they had the new
//!   values already. `last_insert_id` is what the statement's first new row got.
//! - **One statement is one round trip** once it is prepared. Several are one transaction, which is READ ONLY
//!   when all of them look as if they read; so is one that writes and has rows (`INSERT … RETURNING`). A
//!   procedure (`CALL`) is run as it is, since it may have transactions of its own, and all its results count
//!   like those of several statements.
//! - **A call that nobody waits for is killed**: a side connection says `KILL` at the deadline, or when the client
//!   leaves. The server rolls back, and the session is closed. A server that does not even answer to that
//!   frees its worker within a second after the deadline.
//! - **Memory is bounded** by `max_response`: rows are read one by one.
//! - **A session is reused only clean**: not with unread rows, within a transaction, or after an error of the
//!   connection. `reset = true` also has the server forget variables, locks and temporary tables after each
//!   call, for two more round trips.
//! - **A server that was started anew, or that closes idle connections, costs no call**: what it has closed is
//!   noticed before anything is sent, and replaced.
//! - **Servers fail over**: when several are given and one cannot be used, the next one is, and new sessions
//!   stay with the one that worked.
//!
//! Known limit: Connector/C tells the names of a prepared statement's columns once, and anew only when their number
//! changes. After an `ALTER TABLE` that renames or moves columns, a `SELECT *` answers with the old names until its
//! session ends: name the columns in the statement, or have the server reloaded (HUP) with a changed location.
//!
//! What the client sees when the server refuses; what the server says is in the log only:
//!
//! | error | status |
//! | --- | --- |
//! | 1062 duplicate key | 409 |
//! | 1048, 1364 null; 1451, 1452 foreign key; 3819, 4025 check; values that do not fit; 1644 SIGNAL | 422 |
//! | 1142, 1044 privileges | 403 |
//! | 1153 a packet that is too large | 413 |
//! | 1213 deadlock, 1020: run again up to `retries` times, then | 503 |
//! | 1205 lock wait, 1040 connections, 1317 killed, 1927, 1053 | 503 |
//! | 2002 to 2013 lost or unreachable, 1045 login | 502; the session is closed |
//! | anything else | 500 |

mod column;
mod connection;
mod failure;
mod gate;
mod handle;
mod keys;
mod login;
mod parameters;
mod prepared;
mod refusal;
mod rows;
mod session;
mod slot;
#[cfg(test)]
mod tests;
mod url;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use keys::spec;
pub use session::Session;

use crate::sql::Common;
use crate::{Adapter, CallContext, Error, Interrupt, Request, Response};

use login::Login;

/// SQL statements on a MySQL or MariaDB server.
#[derive(Debug)]
pub struct MySql {
    login: Arc<Login>,
    common: Common,
    resets: bool,
    /// Which of the servers worked last.
    preferred: AtomicUsize,
}

impl Adapter for MySql {
    type Session = Session;

    fn open(&self) -> Result<Session, Error> {
        // Relaxed: a hint, which goes with nothing else.
        let preferred = self.preferred.load(Ordering::Relaxed);
        let session = Session::open(&self.login, preferred, None)?;
        if session.server() != preferred {
            // Relaxed: as above.
            self.preferred.store(session.server(), Ordering::Relaxed);
        }
        Ok(session)
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
        session.check()
    }

    fn interrupter(&self, session: &Session) -> Option<Box<dyn Interrupt>> {
        Some(Box::new(session.killer()))
    }
}
