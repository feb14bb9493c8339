//! What a location has Redis do: one command, a list of them, a script, or a subscription.

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
    /// Messages of so many channels.
    Subscription(Command, usize),
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

    /// The messages of these channels, from the request on, as server-sent events. For [`Mode::Loop`]
    /// only: they may go on for ever.
    ///
    /// # Errors
    ///
    /// There is none, or a parameter has no name.
    pub fn subscribe<'a>(channels: impl IntoIterator<Item = &'a str>) -> Result<Self, Problem> {
        let key = "subscribe";
        let channels = parse(key, channels)?;
        if channels.is_empty() {
            return Err(Problem::at(key, "it names no channel"));
        }
        let name = [Argument::Literal("SUBSCRIBE".into())];
        let command = Command::new(&[&name, channels.as_slice()].concat());
        Ok(Self {
            needs: Needs::of([&command]),
            plan: Plan::Subscription(command, channels.len()),
            words: Vec::new(),
            key,
        })
    }

    /// How many channels it subscribes to; none for anything else.
    pub(super) fn channels(&self) -> usize {
        match self.plan {
            Plan::Subscription(_, channels) => channels,
            _ => 0,
        }
    }

    /// Whether all of it can be run this way.
    pub(super) fn check(&self, mode: Mode) -> Result<(), Problem> {
        if self.channels() > 0 && mode == Mode::Blocking {
            let message = "messages may come for ever, and a worker would wait for them as long; \
                           write `mode = \"loop\"`";
            return Err(Problem::at(self.key, message));
        }
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
            Plan::Command(command) | Plan::Subscription(command, _) => {
                command.encode(values, wire).map(|()| 1)
            }
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
mod tests;
