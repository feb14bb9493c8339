//! What is said on a new connection before the first command: the protocol, the login, the database.
//!
//! One command at a time, each sent when the reply to the one before has come, so that the blocking and the
//! multiplexed connection share it.

use redis::{ServerError, Value};

use super::failure;
use super::server::{Prepared, Server};
use super::template::Command;
use crate::{Error, ErrorKind};

/// What the connection is called in the server's `CLIENT LIST`.
const NAME: &[u8] = b"pontoon";

/// The user that a password without a name belongs to.
const DEFAULT_USER: &str = "default";

/// A connection that is being made ready.
#[derive(Debug)]
pub(super) struct Handshake {
    step: Step,
    user: Option<String>,
    password: Option<String>,
    database: i64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// RESP3 and the login.
    Hello,
    /// The login of servers before version 6, which have no `HELLO` and speak RESP2 only.
    Auth,
    Select,
    Done,
}

impl Handshake {
    pub(super) fn new(server: &Server, prepared: &Prepared) -> Self {
        Self {
            step: Step::Hello,
            user: server.user.clone(),
            password: prepared.password.clone(),
            database: server.database,
        }
    }

    /// The command to send; `None` once the connection is ready.
    pub(super) fn command(&self) -> Option<Vec<u8>> {
        let database = self.database.to_string();
        let password = self.password.as_deref().map(str::as_bytes);
        let user = self.user.as_deref();
        match self.step {
            Step::Hello => {
                let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
                if let Some(password) = password {
                    let user = user.unwrap_or(DEFAULT_USER).as_bytes();
                    hello.extend([b"AUTH", user, password]);
                }
                hello.extend([b"SETNAME", NAME]);
                Some(Command::fixed(&hello))
            }
            Step::Auth => {
                let mut auth: Vec<&[u8]> = vec![b"AUTH"];
                auth.extend(user.map(str::as_bytes));
                auth.extend(password);
                Some(Command::fixed(&auth))
            }
            Step::Select => Some(Command::fixed(&[b"SELECT", database.as_bytes()])),
            Step::Done => None,
        }
    }

    /// Goes on with what the server says to the command.
    ///
    /// # Errors
    ///
    /// The server does not let us in, or not yet.
    pub(super) fn reply(&mut self, reply: Value) -> Result<(), Error> {
        match (self.step, reply) {
            (Step::Hello, Value::ServerError(error)) if is_unknown(&error) => {
                self.step = match self.password {
                    Some(_) => Step::Auth,
                    None => self.select(),
                };
                Ok(())
            }
            (_, Value::ServerError(error)) => Err(refused(error)),
            (Step::Hello | Step::Auth, _) => {
                self.step = self.select();
                Ok(())
            }
            (Step::Select | Step::Done, _) => {
                self.step = Step::Done;
                Ok(())
            }
        }
    }

    fn select(&self) -> Step {
        if self.database == 0 {
            return Step::Done;
        }
        Step::Select
    }
}

fn is_unknown(error: &ServerError) -> bool {
    let text = error.details().unwrap_or_default();
    error.code() == "ERR" && text.contains("unknown command")
}

/// No fault of the client's: it has not got as far as a command.
fn refused(error: ServerError) -> Error {
    let source = error.to_string();
    let error = failure::from_reply(error);
    if error.kind() == ErrorKind::Unavailable {
        return error.breaking_session();
    }
    Error::bad_gateway("Redis does not let this server in")
        .with_source(source)
        .breaking_session()
}

#[cfg(test)]
mod tests {
    use super::super::decoder::Decoder;
    use super::*;

    fn value(wire: &str) -> Value {
        Decoder::default()
            .next(&mut wire.as_bytes())
            .unwrap()
            .unwrap()
    }

    /// What is sent when the server replies so.
    fn talk(url: &str, replies: &[&str]) -> Result<Vec<String>, Error> {
        let server = Server::parse(url).unwrap();
        let prepared = server.prepare().unwrap();
        let mut handshake = Handshake::new(&server, &prepared);
        let mut sent = Vec::new();
        let mut replies = replies.iter();
        while let Some(command) = handshake.command() {
            let text = String::from_utf8(command).unwrap();
            let words: Vec<&str> = text.split("\r\n").skip(2).step_by(2).collect();
            sent.push(words.join(" "));
            handshake.reply(value(replies.next().unwrap()))?;
        }
        assert_eq!(replies.next(), None);
        Ok(sent)
    }

    #[test]
    fn it_asks_for_resp3_logs_in_and_selects_the_database() {
        let sent = talk("redis://127.0.0.1", &["%0\r\n"]).unwrap();
        assert_eq!(sent, ["HELLO 3 SETNAME pontoon"]);
        let sent = talk("redis://ada:x@127.0.0.1/2", &["%0\r\n", "+OK\r\n"]).unwrap();
        assert_eq!(sent, ["HELLO 3 AUTH ada x SETNAME pontoon", "SELECT 2"]);
        let sent = talk("redis://:x@127.0.0.1", &["%0\r\n"]).unwrap();
        assert_eq!(sent, ["HELLO 3 AUTH default x SETNAME pontoon"]);
    }

    #[test]
    fn a_server_without_hello_is_spoken_to_as_of_old() {
        let unknown = "-ERR unknown command `HELLO`\r\n";
        let ok = "+OK\r\n";
        let sent = talk("redis://:x@127.0.0.1/2", &[unknown, ok, ok]).unwrap();
        assert_eq!(sent[1..], ["AUTH x", "SELECT 2"]);
        assert_eq!(talk("redis://127.0.0.1", &[unknown]).unwrap().len(), 1);
    }

    #[test]
    fn a_refusal_is_no_fault_of_the_client() {
        for reply in ["-WRONGPASS no\r\n", "-NOAUTH no\r\n", "-NOPERM no\r\n"] {
            let error = talk("redis://127.0.0.1", &[reply]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadGateway, "{reply}");
        }
        let range = "-ERR DB index is out of range\r\n";
        let error = talk("redis://127.0.0.1/99", &["%0\r\n", range]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadGateway);
        let error = talk("redis://127.0.0.1", &["-LOADING\r\n"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.breaks_session());
    }
}
