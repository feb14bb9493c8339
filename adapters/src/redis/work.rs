//! What a location has Redis do: one command, a list of them, or a script.

use redis::{Script, Value};

use super::failure::from_reply;
use super::refused;
use super::template::{Argument, Command, Needs, Values};
use super::{Mode, Problem};
use crate::Error;

/// What a location has Redis do for each request.
///
/// In every argument `:name` stands for the value of a parameter and `:body` for the body of the
/// request; `::` is a colon.
///
/// ```
/// use pontoon_adapters::redis::Work;
///
/// Work::command(["SET", ":key", ":body", "EX", "3600"])?;
/// Work::list([vec!["INCR", "visits"], vec!["GET", ":page"]])?.in_transaction();
/// Work::script("return redis.call('GET', KEYS[1])", [":key"], [])?;
/// assert!(Work::command([":command"]).is_err());
/// # Ok::<(), pontoon_adapters::redis::Problem>(())
/// ```
#[derive(Clone, Debug)]
pub struct Work {
    plan: Plan,
    needs: Needs,
    /// The words of each command, to judge them by; `None` for what comes from requests.
    words: Vec<Vec<Option<String>>>,
    /// The key of the configuration that it is from.
    key: &'static str,
}

#[derive(Clone, Debug)]
enum Plan {
    Command(Command),
    List {
        commands: Vec<Command>,
        in_transaction: bool,
    },
    Script {
        /// By its digest, which the server knows once it has run the script.
        by_digest: Command,
        /// With its text.
        whole: Command,
    },
}

/// What Redis answered.
#[derive(Debug)]
pub(super) enum Results {
    One(Value),
    /// Of a list, in its order.
    Many(Vec<Value>),
}

impl Work {
    /// One command.
    ///
    /// # Errors
    ///
    /// The list is empty, begins with a parameter, or has a parameter without a name.
    pub fn command<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Self, Problem> {
        let arguments = parse("command", arguments)?;
        let words = vec![words("command", &arguments)?];
        let command = Command::new(&arguments);
        Ok(Self {
            needs: Needs::of([&command]),
            plan: Plan::Command(command),
            words,
            key: "command",
        })
    }

    /// Several commands, sent together and answered together.
    ///
    /// # Errors
    ///
    /// There is none, or one of them is wrong.
    pub fn list<'a, C>(commands: impl IntoIterator<Item = C>) -> Result<Self, Problem>
    where
        C: IntoIterator<Item = &'a str>,
    {
        let key = "commands";
        let parsed = commands.into_iter().map(|command| parse(key, command));
        let parsed: Vec<_> = parsed.collect::<Result<_, _>>()?;
        if parsed.is_empty() {
            return Err(Problem::at(key, "it holds no command"));
        }
        let words = parsed.iter().map(|arguments| words(key, arguments));
        let words = words.collect::<Result<_, _>>()?;
        let commands: Vec<_> = parsed.iter().map(|command| Command::new(command)).collect();
        Ok(Self {
            needs: Needs::of(&commands),
            plan: Plan::List {
                commands,
                in_transaction: false,
            },
            words,
            key,
        })
    }

    /// Has the commands of a list run in one transaction: nothing comes between them.
    #[must_use]
    pub fn in_transaction(mut self) -> Self {
        if let Plan::List { in_transaction, .. } = &mut self.plan {
            *in_transaction = true;
        }
        self
    }

    /// A script, with its keys and further arguments. It is sent once, and then called by its digest.
    ///
    /// # Errors
    ///
    /// It is empty, or a parameter has no name.
    pub fn script<'a>(
        text: &str,
        keys: impl IntoIterator<Item = &'a str>,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, Problem> {
        if text.trim().is_empty() {
            return Err(Problem::at("script", "it is empty"));
        }
        let keys = parse("keys", keys)?;
        let rest = parse("arguments", arguments)?;
        let literal = |text: &str| Argument::Literal(text.into());
        let command = |name: &str, what: &str| {
            let count = keys.len().to_string();
            let head = [literal(name), literal(what), literal(&count)];
            Command::new(&[&head, keys.as_slice(), rest.as_slice()].concat())
        };
        let by_digest = command("EVALSHA", Script::new(text).get_hash());
        Ok(Self {
            needs: Needs::of([&by_digest]),
            plan: Plan::Script {
                by_digest,
                whole: command("EVAL", text),
            },
            words: Vec::new(),
            key: "script",
        })
    }

    /// Whether all of it can be run this way.
    pub(super) fn check(&self, mode: Mode) -> Result<(), Problem> {
        let in_transaction = self.is_in_transaction();
        let mut refused = self.words.iter().filter_map(|words| {
            let words: Vec<_> = words.iter().map(Option::as_deref).collect();
            refused::reason(&words, mode, in_transaction)
        });
        match refused.next() {
            Some(reason) => Err(Problem::at(self.key, reason)),
            None => Ok(()),
        }
    }

    pub(super) fn needs(&self) -> Needs {
        self.needs
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.plan, Plan::List { .. })
    }

    fn is_in_transaction(&self) -> bool {
        matches!(self.plan, Plan::List { in_transaction, .. } if in_transaction)
    }

    /// Adds what is to be sent for one request. How many replies it has.
    pub(super) fn encode(&self, values: &Values<'_>, wire: &mut Vec<u8>) -> Result<usize, Error> {
        match &self.plan {
            Plan::Command(command) => command.encode(values, wire).map(|()| 1),
            Plan::Script { by_digest, .. } => by_digest.encode(values, wire).map(|()| 1),
            Plan::List {
                commands,
                in_transaction,
            } => {
                if *in_transaction {
                    wire.extend_from_slice(&Command::fixed(&[b"MULTI"]));
                }
                for command in commands {
                    command.encode(values, wire)?;
                }
                if *in_transaction {
                    wire.extend_from_slice(&Command::fixed(&[b"EXEC"]));
                }
                Ok(commands.len() + if *in_transaction { 2 } else { 0 })
            }
        }
    }

    /// Adds what is to be sent once more: a script that the server does not know yet, or any more. How
    /// many replies that has; `None` if the first ones stand.
    pub(super) fn encode_again(
        &self,
        replies: &[Value],
        values: &Values<'_>,
        wire: &mut Vec<u8>,
    ) -> Result<Option<usize>, Error> {
        match (&self.plan, replies) {
            (Plan::Script { whole, .. }, [Value::ServerError(error)])
                if error.code() == "NOSCRIPT" =>
            {
                whole.encode(values, wire)?;
                Ok(Some(1))
            }
            _ => Ok(None),
        }
    }

    /// What the replies say.
    ///
    /// # Errors
    ///
    /// One of them is an error. The other commands of a list have been run all the same, but for those
    /// of a transaction that was refused as a whole.
    pub(super) fn results(&self, replies: Vec<Value>) -> Result<Results, Error> {
        let mut results = Vec::with_capacity(replies.len());
        for reply in replies {
            results.push(successful(reply)?);
        }
        if !self.is_list() {
            return Ok(Results::One(results.pop().unwrap_or(Value::Nil)));
        }
        if !self.is_in_transaction() {
            return Ok(Results::Many(results));
        }
        // Before it come the replies to MULTI, and to each command that it is queued.
        match results.pop() {
            Some(Value::Array(executed)) => {
                let executed = executed.into_iter().map(successful);
                executed.collect::<Result<_, _>>().map(Results::Many)
            }
            other => {
                let source = format!("EXEC was answered by {other:?}");
                Err(Error::internal("Redis did not run the transaction").with_source(source))
            }
        }
    }
}

fn successful(reply: Value) -> Result<Value, Error> {
    match reply {
        Value::ServerError(error) => Err(from_reply(error)),
        Value::Attribute { data, .. } => successful(*data),
        reply => Ok(reply),
    }
}

fn parse<'a>(
    key: &'static str,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<Argument>, Problem> {
    let parsed = arguments.into_iter().map(Argument::parse);
    parsed
        .collect::<Result<_, _>>()
        .map_err(|message| Problem::at(key, message))
}

/// The words of a command, whose first one must be known.
fn words(key: &'static str, arguments: &[Argument]) -> Result<Vec<Option<String>>, Problem> {
    let word = |argument: &Argument| match argument {
        Argument::Literal(text) => Some(String::from_utf8_lossy(text).into_owned()),
        Argument::Parameter(_) | Argument::Body => None,
    };
    let words: Vec<_> = arguments.iter().map(word).collect();
    let message = match words.first() {
        None => "a command is empty; write it as a list, as in `[\"GET\", \":key\"]`".to_owned(),
        Some(None) => "the name of a command cannot come from a request".to_owned(),
        Some(Some(name)) if name.is_empty() || name.contains(char::is_whitespace) => format!(
            "`{name}` is not the name of a command; each argument is a text of its own, as in \
             `[\"GET\", \":key\"]`"
        ),
        Some(Some(_)) => return Ok(words),
    };
    Err(Problem::at(key, message))
}

#[cfg(test)]
mod tests {
    use super::super::decoder::Decoder;
    use super::*;
    use crate::ErrorKind;

    fn replies(wire: &str) -> Vec<Value> {
        let mut decoder = Decoder::default();
        let mut bytes = wire.as_bytes();
        let next = || decoder.next(&mut bytes).unwrap();
        std::iter::from_fn(next).collect()
    }

    fn message(work: Result<Work, Problem>) -> String {
        work.unwrap_err().to_string()
    }

    #[test]
    fn mistakes_in_commands_are_told() {
        assert!(message(Work::command([])).contains("empty"));
        assert!(message(Work::command([":name"])).contains("cannot come from a request"));
        assert!(message(Work::command(["GET :key"])).contains("text of its own"));
        assert!(message(Work::command(["GET", ":"])).contains("needs a name"));
        assert!(message(Work::list([[""; 0]; 0])).contains("no command"));
        assert!(message(Work::script(" ", [], [])).contains("script"));
        let waits = Work::command(["BLPOP", ":key", "0"]).unwrap();
        assert!(waits.check(Mode::Blocking).is_ok());
        assert_eq!(waits.check(Mode::Loop).unwrap_err().key, "command");
    }

    #[test]
    fn a_list_answers_in_its_order_or_as_its_first_failure() {
        let work = Work::list([["GET", "a"], ["GET", "b"]]).unwrap();
        let Results::Many(values) = work.results(replies(":1\r\n_\r\n")).unwrap() else {
            panic!("a list has many results");
        };
        assert_eq!(values, [Value::Int(1), Value::Nil]);
        let error = work.results(replies(":1\r\n-WRONGTYPE x\r\n")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unprocessable);
    }

    #[test]
    fn a_transaction_answers_with_what_was_run_or_with_why_it_was_not() {
        let work = Work::list([["GET", "a"], ["GET", "b"]])
            .unwrap()
            .in_transaction();
        let queued = "+OK\r\n+QUEUED\r\n+QUEUED\r\n";
        let Results::Many(values) = work
            .results(replies(&format!("{queued}*2\r\n:1\r\n_\r\n")))
            .unwrap()
        else {
            panic!("a list has many results");
        };
        assert_eq!(values, [Value::Int(1), Value::Nil]);
        let failed = format!("{queued}*2\r\n:1\r\n-WRONGTYPE x\r\n");
        let error = work.results(replies(&failed)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unprocessable);
        let refused = "+OK\r\n-OOM x\r\n+QUEUED\r\n-EXECABORT x\r\n";
        let error = work.results(replies(refused)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let error = work
            .results(replies(&format!("{queued}_\r\n")))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
    }

    #[test]
    fn a_script_is_sent_whole_when_the_server_does_not_know_it() {
        let work = Work::script("return KEYS[1]", ["k"], ["x"]).unwrap();
        let request = crate::test_support::get("/");
        let call = crate::CallContext::detached();
        let values = work.needs().values(&request, &[], &call).unwrap();
        let mut wire = Vec::new();
        assert_eq!(work.encode(&values, &mut wire).unwrap(), 1);
        let text = String::from_utf8(wire).unwrap();
        assert!(text.starts_with("*5\r\n$7\r\nEVALSHA\r\n$40\r\n"), "{text}");
        let mut wire = Vec::new();
        let unknown = replies("-NOSCRIPT No matching script\r\n");
        assert_eq!(
            work.encode_again(&unknown, &values, &mut wire).unwrap(),
            Some(1)
        );
        let text = String::from_utf8(wire).unwrap();
        assert!(
            text.starts_with("*5\r\n$4\r\nEVAL\r\n$14\r\nreturn KEYS[1]\r\n$1\r\n1\r\n"),
            "{text}"
        );
        let other = replies("-ERR x\r\n");
        assert_eq!(
            work.encode_again(&other, &values, &mut Vec::new()).unwrap(),
            None
        );
    }
}
