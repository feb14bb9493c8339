//! A command of Redis with places for values, and how it is sent.
//!
//! An argument is either given in the configuration or a whole value of the request. It goes onto the
//! wire with its length before it, so no value can end an argument, begin another one, or become
//! part of the command: there is nothing to quote.

use std::io::Write;

use bytes::Bytes;

use crate::params::{Params, Value};
use crate::{CallContext, Error, Request};

/// The parameter that stands for the body of the request, byte for byte.
const BODY: &str = "body";

/// One argument of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// As configured.
    Literal(Vec<u8>),
    /// The value of a parameter.
    Parameter(String),
    /// The body of the request.
    Body,
}

impl Argument {
    /// `:name` is a parameter, `::text` the text `:text`, and anything else itself.
    ///
    /// # Errors
    ///
    /// A colon without a name, as a message for the operator.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix(':') {
            None => Ok(Self::Literal(text.into())),
            Some("") => {
                Err("a parameter needs a name, as in `:key`; for a colon write `::`".into())
            }
            Some(BODY) => Ok(Self::Body),
            Some(rest) if rest.starts_with(':') => Ok(Self::Literal(rest.into())),
            Some(name) => Ok(Self::Parameter(name.to_owned())),
        }
    }
}

/// A command in the form in which it is sent. What the configuration gives is encoded once; only the
/// values in between are encoded for each request.
#[derive(Clone, Debug)]
pub(super) struct Command {
    /// The bytes before the first value.
    head: Vec<u8>,
    /// Values, each with the bytes between it and the next one.
    tail: Vec<(Source, Vec<u8>)>,
}

#[derive(Clone, Debug)]
enum Source {
    Parameter(String),
    Body,
}

impl Command {
    pub(super) fn new(arguments: &[Argument]) -> Self {
        let mut head = Vec::new();
        begin(&mut head, arguments.len());
        let mut tail: Vec<(Source, Vec<u8>)> = Vec::new();
        for argument in arguments {
            let source = match argument {
                Argument::Literal(text) => {
                    let last = tail.last_mut().map_or(&mut head, |(_, after)| after);
                    add(last, text);
                    continue;
                }
                Argument::Parameter(name) => Source::Parameter(name.clone()),
                Argument::Body => Source::Body,
            };
            tail.push((source, Vec::new()));
        }
        Self { head, tail }
    }

    /// A command that has no values.
    pub(super) fn fixed(arguments: &[&[u8]]) -> Vec<u8> {
        let mut wire = Vec::new();
        begin(&mut wire, arguments.len());
        for argument in arguments {
            add(&mut wire, argument);
        }
        wire
    }

    fn uses(&self, wanted: impl Fn(&Source) -> bool) -> bool {
        self.tail.iter().any(|(source, _)| wanted(source))
    }

    /// Adds the command, with the values of this request.
    ///
    /// # Errors
    ///
    /// 400 for a value that is missing or cannot be sent; the detail names it.
    pub(super) fn encode(&self, values: &Values<'_>, wire: &mut Vec<u8>) -> Result<(), Error> {
        wire.extend_from_slice(&self.head);
        for (source, after) in &self.tail {
            match source {
                Source::Body => add(wire, values.body),
                Source::Parameter(name) => values.add(name, wire)?,
            }
            wire.extend_from_slice(after);
        }
        Ok(())
    }
}

/// What the commands of a location take from a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    parameters: bool,
    body: bool,
}

impl Needs {
    pub(super) fn of<'c>(commands: impl IntoIterator<Item = &'c Command>) -> Self {
        let mut needs = Self::default();
        for command in commands {
            needs.parameters |= command.uses(|source| matches!(source, Source::Parameter(_)));
            needs.body |= command.uses(|source| matches!(source, Source::Body));
        }
        needs
    }

    /// Takes the body out of the request if it is a value itself: then it holds no parameters, and need
    /// not be a form or JSON, whatever its media type says.
    pub(super) fn take_body(self, request: &mut Request) -> Bytes {
        if self.body {
            return std::mem::take(request.body_mut());
        }
        Bytes::new()
    }

    /// The values for all commands. `body` is what [`take_body`](Self::take_body) gave.
    ///
    /// # Errors
    ///
    /// 400 when the query string or the body is malformed and parameters are needed.
    pub(super) fn values<'r>(
        self,
        request: &'r Request,
        body: &'r [u8],
        call: &'r CallContext,
    ) -> Result<Values<'r>, Error> {
        let params = self.parameters.then(|| Params::collect(request, call));
        Ok(Values {
            params: params.transpose()?,
            body,
        })
    }
}

/// The values of one request.
#[derive(Debug)]
pub(super) struct Values<'r> {
    /// There if any command has a parameter.
    params: Option<Params<'r>>,
    body: &'r [u8],
}

impl Values<'_> {
    fn add(&self, name: &str, wire: &mut Vec<u8>) -> Result<(), Error> {
        let missing = || Error::bad_request(format!("the parameter `{name}` is missing"));
        match self.params.as_ref().ok_or_else(missing)?.value(name)? {
            Value::Text(text) => add(wire, text.as_bytes()),
            Value::Integer(integer) => add(wire, integer.to_string().as_bytes()),
            // The shortest text that means the same number: `1e300` is not 301 digits.
            Value::Real(real) => add(wire, serde_json::json!(real).to_string().as_bytes()),
            Value::Null => {
                let detail =
                    format!("the parameter `{name}` is null, which Redis has no value for");
                return Err(Error::bad_request(detail));
            }
        }
        Ok(())
    }
}

fn begin(wire: &mut Vec<u8>, arguments: usize) {
    length(wire, b'*', arguments);
}

fn add(wire: &mut Vec<u8>, argument: &[u8]) {
    wire.reserve(argument.len() + 32);
    length(wire, b'$', argument.len());
    wire.extend_from_slice(argument);
    wire.extend_from_slice(b"\r\n");
}

fn length(wire: &mut Vec<u8>, kind: u8, length: usize) {
    wire.push(kind);
    // Writing to a Vec does not fail.
    let _ = write!(wire, "{length}\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PathParams;
    use crate::test_support::{get, post};

    fn command(arguments: &[&str]) -> Command {
        let arguments = arguments.iter().map(|text| Argument::parse(text).unwrap());
        Command::new(&arguments.collect::<Vec<_>>())
    }

    fn encode(arguments: &[&str], request: Request) -> Result<String, Error> {
        let command = command(arguments);
        let needs = Needs::of([&command]);
        let mut request = request;
        let body = needs.take_body(&mut request);
        let params = PathParams::from_iter([("id", "7")]);
        let call = CallContext::new(params, pontoon_bridge::CallContext::detached(), 1);
        let values = needs.values(&request, &body, &call)?;
        let mut wire = Vec::new();
        command.encode(&values, &mut wire)?;
        Ok(String::from_utf8(wire).unwrap())
    }

    #[test]
    fn what_is_configured_and_what_is_asked_for_are_whole_arguments() {
        let wire = encode(&["SET", ":key", "x", ":id", "EX"], get("/?key=a%20b")).unwrap();
        let expected = "*5\r\n$3\r\nSET\r\n$3\r\na b\r\n$1\r\nx\r\n$1\r\n7\r\n$2\r\nEX\r\n";
        assert_eq!(wire, expected);
        assert_eq!(encode(&["PING"], get("/")).unwrap(), "*1\r\n$4\r\nPING\r\n");
    }

    #[test]
    fn a_value_cannot_leave_its_argument() {
        let wire = encode(
            &["GET", ":key"],
            get("/?key=a%0D%0A*1%0D%0A$8%0D%0AFLUSHALL"),
        )
        .unwrap();
        let expected = "*2\r\n$3\r\nGET\r\n$19\r\na\r\n*1\r\n$8\r\nFLUSHALL\r\n";
        assert_eq!(wire, expected);
        let wire = encode(&["GET", ":key"], get("/?key=:id")).unwrap();
        assert!(wire.ends_with("$3\r\n:id\r\n"), "{wire}");
    }

    #[test]
    fn two_colons_are_one_and_a_lone_one_is_a_mistake() {
        assert_eq!(
            Argument::parse("::id"),
            Ok(Argument::Literal(b":id".into()))
        );
        assert_eq!(
            Argument::parse("a:id"),
            Ok(Argument::Literal(b"a:id".into()))
        );
        assert_eq!(Argument::parse(":body"), Ok(Argument::Body));
        assert!(Argument::parse(":").unwrap_err().contains("needs a name"));
    }

    #[test]
    fn numbers_of_json_are_their_shortest_text() {
        let body = r#"{"a": 1.50, "b": 9223372036854775807, "c": 1e300, "d": true, "e": [1, 2]}"#;
        let request = post("/", "application/json", body);
        let wire = encode(&["RPUSH", ":a", ":b", ":c", ":d", ":e"], request).unwrap();
        let words: Vec<&str> = wire.split("\r\n").skip(4).step_by(2).collect();
        assert_eq!(
            words,
            ["1.5", "9223372036854775807", "1e+300", "1", "[1, 2]"]
        );
    }

    #[test]
    fn what_cannot_be_sent_is_named() {
        let detail = |request| encode(&["GET", ":key"], request).unwrap_err().to_string();
        assert_eq!(detail(get("/")), "the parameter `key` is missing");
        let null = detail(post("/", "application/json", r#"{"key": null}"#));
        assert!(null.contains("`key` is null"), "{null}");
    }

    #[test]
    fn a_body_that_is_a_value_is_not_read_for_parameters() {
        let request = post("/?key=k", "application/json", "{not JSON");
        let wire = encode(&["SET", ":key", ":body"], request).unwrap();
        assert!(wire.ends_with("$1\r\nk\r\n$9\r\n{not JSON\r\n"), "{wire}");
    }

    #[test]
    fn a_command_without_parameters_reads_nothing_of_the_request() {
        let request = post("/?key=%zz", "application/json", "{not JSON");
        assert!(encode(&["PING"], request).is_ok());
    }
}
