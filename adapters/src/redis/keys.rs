//! The keys of a location with `adapter = "redis"`.

use std::path::PathBuf;
use std::sync::Arc;

use http::header::HeaderValue;

use super::server::Password;
use super::{Mode, Multiplexed, Output, Problem, Redis, Work};
use crate::mount::Mounted;
use crate::registry::{AdapterSpec, Kind};
use crate::settings::{KeySpec, Settings};

const KEYS: &[KeySpec] = &[
    KeySpec::required(
        "server",
        "URL",
        "the server: `redis://[user[:password]@]host[:port][/database]`, `rediss://…` or `unix:///path?db=0`",
    ),
    KeySpec::optional(
        "command",
        "array of texts",
        "one command, as in `[\"GET\", \":key\"]`; `:name` is a parameter of the request, `:body` its body",
    ),
    KeySpec::optional(
        "commands",
        "array of arrays",
        "several commands, sent together; the answer is a JSON array",
    ),
    KeySpec::with_default(
        "multi",
        "boolean",
        "false",
        "whether `commands` are one transaction, between which nothing else is run",
    ),
    KeySpec::optional(
        "script",
        "Lua",
        "a script; it is sent once, then called by its digest",
    ),
    KeySpec::optional(
        "subscribe",
        "array of texts",
        "channels whose messages are the answer, as server-sent events; with `mode = \"loop\"`",
    ),
    KeySpec::optional(
        "keys",
        "array of texts",
        "the keys that `script` gets as `KEYS`",
    ),
    KeySpec::optional(
        "arguments",
        "array of texts",
        "what `script` gets as `ARGV`",
    ),
    KeySpec::with_default(
        "output",
        "json or raw",
        "json",
        "the reply as JSON by its type, or the bytes of a single value as they are",
    ),
    KeySpec::with_default(
        "content_type",
        "media type",
        "application/octet-stream",
        "what the bytes are, for `output = \"raw\"`",
    ),
    KeySpec::optional(
        "nil",
        "status",
        "the status when the reply is null: as usual with `null`, 404 for `output = \"raw\"`",
    ),
    KeySpec::optional(
        "zero",
        "status",
        "the status when the reply is the integer 0, as `DEL` of a key that there is not",
    ),
    KeySpec::with_default("status", "status", "200", "the status of any other reply"),
    KeySpec::optional(
        "password_env",
        "name",
        "the environment variable with the password, read at start",
    ),
    KeySpec::optional(
        "password_file",
        "path",
        "the file whose first line is the password, read for each new connection",
    ),
    KeySpec::optional(
        "tls_ca",
        "path",
        "for `rediss://`: the certificates to trust in place of the system's, in PEM form",
    ),
    KeySpec::optional(
        "tls_cert",
        "path",
        "for `rediss://`: our own certificate, which `tls_key` belongs to",
    ),
    KeySpec::optional("tls_key", "path", "for `rediss://`: the key of `tls_cert`"),
    KeySpec::with_default(
        "connect_timeout",
        "duration",
        "5s",
        "how long a new connection may take, login included",
    ),
    KeySpec::with_default(
        "max_response",
        "size",
        "64MiB",
        "the largest response body; a larger answer is a 500",
    ),
    KeySpec::with_default(
        "mode",
        "blocking or loop",
        "blocking",
        "a connection for each worker of a pool, or one for each event loop and no pool",
    ),
    KeySpec::with_default(
        "max_in_flight",
        "integer",
        "4096",
        "requests that wait for replies on the connection of a loop; more get a 503",
    ),
];

/// How a config file mounts it.
pub const fn spec() -> AdapterSpec {
    AdapterSpec {
        name: "redis",
        kind: Kind::Blocking,
        modes: &[("blocking", Kind::Blocking), ("loop", Kind::Loop)],
        summary: "runs commands of Redis and answers with JSON or with the bytes of a value",
        keys: KEYS,
        build: |settings| {
            let (redis, mode) = from_settings(settings)?;
            Some(match mode {
                Mode::Blocking => Mounted::blocking(redis),
                Mode::Loop => {
                    let redis = Arc::new(redis);
                    Mounted::on_loop(move || Multiplexed::new(Arc::clone(&redis)))
                }
            })
        },
    }
}

fn from_settings(settings: &mut Settings<'_>) -> Option<(Redis, Mode)> {
    // All are read before any may end this, so that all mistakes show at once.
    let mode = match settings.choice("mode", &["blocking", "loop"]) {
        Some("loop") => Mode::Loop,
        _ => Mode::Blocking,
    };
    let server = settings.required_string("server");
    let work = work(settings);
    let output = output(settings);
    let password = password(settings);
    let tls = tls(settings);
    let nil = settings.status("nil");
    let zero = settings.status("zero");
    let status = settings.status("status");
    let connect_timeout = settings.duration_or_default("connect_timeout");
    let max_response = settings.size_bytes_or_default("max_response");
    let max_in_flight = settings.integer_or_default("max_in_flight", 1..=1_000_000);
    if mode == Mode::Blocking {
        only_with(settings, &["max_in_flight"], "`mode = \"loop\"`");
    }
    let redis = Redis::new(&server?, work?);
    let mut redis = noted(settings, redis)?;
    if let Some((key, password)) = password? {
        let with_password = redis.with_password(key, password);
        redis = noted(settings, with_password)?;
    }
    if let Some(tls) = tls? {
        let identity = tls.identity.as_ref().map(|(one, other)| (&**one, &**other));
        let with_tls = redis.tls(tls.ca.as_deref(), identity);
        redis = noted(settings, with_tls)?;
    }
    redis.answer.output = output?;
    redis.answer.nil = nil;
    redis.answer.zero = zero;
    redis.answer.status = status.unwrap_or(redis.answer.status);
    redis.answer.max_bytes = usize::try_from(max_response?).unwrap_or(usize::MAX);
    redis.connect_timeout = connect_timeout?;
    redis.max_in_flight = usize::try_from(max_in_flight?).unwrap_or(usize::MAX);
    let valid = redis.validate(mode);
    noted(settings, valid)?;
    Some((redis, mode))
}

/// What is to be done; `None` with a recorded error unless exactly one of the keys says it.
fn work(settings: &mut Settings<'_>) -> Option<Work> {
    let ways = ["command", "commands", "script", "subscribe"];
    let given: Vec<&str> = ways
        .into_iter()
        .filter(|key| settings.contains(key))
        .collect();
    let [given] = given[..] else {
        match given.last() {
            None => settings.missing("command"),
            Some(last) => {
                let message = format!("`{}` is given as well; remove one of them", given[0]);
                settings.invalid(last, message);
            }
        }
        return None;
    };
    if given != "commands" {
        only_with(settings, &["multi"], "`commands`");
    }
    if given != "script" {
        only_with(settings, &["keys", "arguments"], "`script`");
    }
    let work = match given {
        "command" => {
            let arguments = settings.strings("command")?;
            Work::command(arguments.iter().map(String::as_str))
        }
        "subscribe" => {
            let channels = settings.strings("subscribe")?;
            Work::subscribe(channels.iter().map(String::as_str))
        }
        "commands" => {
            let in_transaction = settings.boolean_or_default("multi")?;
            let lists = settings.lists("commands")?;
            let lists = lists.iter().map(|list| list.iter().map(String::as_str));
            let list = Work::list(lists);
            if in_transaction {
                list.map(Work::in_transaction)
            } else {
                list
            }
        }
        _ => {
            let text = settings.string("script");
            let keys = strings_or_none(settings, "keys");
            let arguments = strings_or_none(settings, "arguments");
            let (keys, arguments) = (keys?, arguments?);
            let [keys, arguments] = [&keys, &arguments].map(|list| list.iter().map(String::as_str));
            Work::script(&text?, keys, arguments)
        }
    };
    noted(settings, work)
}

fn strings_or_none(settings: &mut Settings<'_>, key: &'static str) -> Option<Vec<String>> {
    if !settings.contains(key) {
        return Some(Vec::new());
    }
    settings.strings(key)
}

fn output(settings: &mut Settings<'_>) -> Option<Output> {
    let output = match settings.contains("output") {
        true => settings.choice("output", &["json", "raw"])?,
        false => "json",
    };
    if output == "json" {
        only_with(settings, &["content_type"], "`output = \"raw\"`");
        return Some(Output::Json);
    }
    if !settings.contains("content_type") {
        return Some(Output::Raw(HeaderValue::from_static(BYTES)));
    }
    let text = settings.string("content_type")?;
    match HeaderValue::from_str(&text) {
        Ok(value) if text.contains('/') => Some(Output::Raw(value)),
        _ => {
            settings.invalid("content_type", "write a media type, such as \"image/png\"");
            None
        }
    }
}

/// The media type of bytes of which nothing is known.
const BYTES: &str = "application/octet-stream";

/// The password that the URL does not hold, and the key that says it; the outer `None` is a recorded
/// error.
fn password(settings: &mut Settings<'_>) -> Option<Option<(&'static str, Password)>> {
    let (env, file) = ("password_env", "password_file");
    if settings.contains(env) && settings.contains(file) {
        settings.invalid(file, "`password_env` is given as well; remove one of them");
        return None;
    }
    if settings.contains(file) {
        let path = settings.required_string(file)?;
        return Some(Some((file, Password::File(path.into()))));
    }
    if !settings.contains(env) {
        return Some(None);
    }
    let name = settings.required_string(env)?;
    match std::env::var(&name) {
        Ok(password) => Some(Some((env, Password::Given(password)))),
        Err(error) => {
            settings.invalid(env, format!("the environment variable `{name}`: {error}"));
            None
        }
    }
}

/// What is to be known for TLS beside the URL.
struct TlsFiles {
    ca: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
}

/// `None` within if nothing is said; the outer `None` is a recorded error.
fn tls(settings: &mut Settings<'_>) -> Option<Option<TlsFiles>> {
    let [ca, cert, key] = ["tls_ca", "tls_cert", "tls_key"];
    if settings.contains(cert) != settings.contains(key) {
        let (there, missing) = if settings.contains(cert) {
            (cert, key)
        } else {
            (key, cert)
        };
        settings.invalid(
            there,
            format!("`{missing}` is missing: a certificate goes with its key"),
        );
        return None;
    }
    if !settings.contains(ca) && !settings.contains(cert) {
        return Some(None);
    }
    let mut path = |key| match settings.contains(key) {
        true => Some(Some(PathBuf::from(settings.required_string(key)?))),
        false => Some(None),
    };
    let (ca, cert, key) = (path(ca)?, path(cert)?, path(key)?);
    Some(Some(TlsFiles {
        ca,
        identity: cert.zip(key),
    }))
}

/// Records an error for each of these keys that is there.
fn only_with(settings: &mut Settings<'_>, keys: &[&str], with: &str) {
    for key in keys {
        if settings.contains(key) {
            settings.invalid(key, format!("`{key}` is for {with}; remove it"));
        }
    }
}

fn noted<T>(settings: &mut Settings<'_>, outcome: Result<T, Problem>) -> Option<T> {
    outcome
        .map_err(|problem| settings.invalid(problem.key, problem.message))
        .ok()
}

#[cfg(test)]
mod tests;
