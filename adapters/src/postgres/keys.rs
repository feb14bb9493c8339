//! The keys of a location with `adapter = "postgres"`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::mount::Mounted;
use crate::registry::{AdapterSpec, Kind};
use crate::settings::{KeySpec, Settings, SettingsErrors};
use crate::sql::{self, Common, Dialect, Format, Output, Results};

use super::target::{self, Target};
use super::{Postgres, conninfo};

/// libpq takes at least so long.
const CONNECT_TIMEOUT_MIN: Duration = Duration::from_secs(2);

const RETRIES_MAX: i64 = 10;

const OWN: [KeySpec; 20] = [
    KeySpec::optional(
        "server",
        "text, or an array of them",
        "host, host:port or the folder of a Unix socket; of several the first that answers is taken",
    ),
    KeySpec::optional("database", "text", "the name of the database"),
    KeySpec::optional(
        "user",
        "text",
        "who connects; if absent, what PGUSER says, or the name of the system's user",
    ),
    KeySpec::optional(
        "password",
        "text",
        "if absent, what PGPASSWORD or ~/.pgpass says",
    ),
    KeySpec::optional(
        "password_file",
        "path",
        "the file that holds the password; it is read for each new connection",
    ),
    KeySpec::optional(
        "url",
        "URI",
        "in place of `server`, `database` and the like: postgresql://user@host:port/database?sslmode=require",
    ),
    KeySpec::optional(
        "sslmode",
        "disable, allow, prefer, require, verify-ca or verify-full",
        "whether the connection is encrypted; if absent, prefer, which checks no certificate",
    ),
    KeySpec::optional(
        "sslrootcert",
        "path",
        "the certificates of the authorities that a server's may come from",
    ),
    KeySpec::optional("sslcert", "path", "the client's certificate"),
    KeySpec::optional("sslkey", "path", "the key of the client's certificate"),
    KeySpec::with_default(
        "connect_timeout",
        "duration",
        "5s",
        "how long a connection may take, for each server; whole seconds, at least two",
    ),
    KeySpec::with_default(
        "application_name",
        "text",
        "pontoon",
        "what the server calls the sessions in its lists and its log",
    ),
    KeySpec::optional(
        "options",
        "text",
        "settings of each session, such as \"-c search_path=app -c statement_timeout=5s\"",
    ),
    KeySpec::optional(
        "target_session_attrs",
        "any, read-write, read-only, primary, standby or prefer-standby",
        "which of several servers will do",
    ),
    KeySpec::optional(
        "isolation",
        "read-committed, repeatable-read or serializable",
        "how far transactions are kept from each other; if absent, as the database says",
    ),
    KeySpec::optional(
        "read_only",
        "boolean",
        "whether sessions may only read; if absent, transactions of several SELECTs may only read",
    ),
    KeySpec::with_default(
        "retries",
        "integer",
        "0",
        "how often a transaction is run again that was rolled back because it clashed with another",
    ),
    KeySpec::with_default(
        "prepare",
        "boolean",
        "true",
        "statements are prepared once in each session; off where a pooler cannot have that",
    ),
    KeySpec::with_default(
        "reset",
        "boolean",
        "false",
        "DISCARD ALL after each call, for statements that change their session",
    ),
    KeySpec::with_default(
        "stream",
        "boolean",
        "false",
        "the rows of a single SELECT are sent as they come, however many: as array, ndjson or csv",
    ),
];

const KEYS: &[KeySpec] = &sql::with_own::<{ OWN.len() }, { OWN.len() + sql::COUNT }>(OWN);

/// How a config file mounts it.
pub const fn spec() -> AdapterSpec {
    AdapterSpec {
        name: "postgres",
        kind: Kind::Blocking,
        modes: &[],
        summary: "runs SQL on a PostgreSQL server, through libpq",
        keys: KEYS,
        build: |settings| Postgres::from_settings(settings).map(Mounted::blocking),
    }
}

impl Postgres {
    /// Reads the keys of a location from TOML, for programs that mount it themselves.
    ///
    /// ```
    /// use pontoon_adapters::postgres::Postgres;
    ///
    /// let user = Postgres::from_toml(
    ///     "server = '/run/postgresql'
    ///      database = 'app'
    ///      query = 'SELECT name FROM users WHERE id = :id::int'",
    /// );
    /// assert!(user.is_ok());
    /// ```
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub fn from_toml(text: &str) -> Result<Self, SettingsErrors> {
        Settings::parse(text, KEYS, Self::from_settings)
    }

    fn from_settings(settings: &mut Settings<'_>) -> Option<Self> {
        // Each reads all of its keys before any may end this, so that all mistakes show at once.
        let errors = settings.error_count();
        let common = Common::read(settings, Dialect::POSTGRES);
        let target = read_target(settings);
        let read_only = settings.boolean("read_only");
        let isolation = settings.choice(
            "isolation",
            &["read-committed", "repeatable-read", "serializable"],
        );
        let retries = settings.integer_or_default("retries", 0..=RETRIES_MAX);
        let prepares = settings.boolean_or_default("prepare");
        let resets = settings.boolean_or_default("reset");
        let streams = settings.boolean_or_default("stream");
        let streamed = match (&common, streams?) {
            (Some(common), true) => Some(read_streamed(settings, &common.output)),
            _ => None,
        };
        let (mut common, mut target) = (common?, target?);
        if let Some(isolation) = isolation {
            target.setting(
                "default_transaction_isolation",
                &isolation.replace('-', " "),
            );
        }
        if read_only == Some(true) {
            target.setting("default_transaction_read_only", "on");
        }
        common.retries = u32::try_from(retries?).ok()?;
        let postgres = Self {
            target,
            common,
            prepares: prepares?,
            resets: resets?,
            read_only,
            streamed,
        };
        (settings.error_count() == errors).then_some(postgres)
    }
}

/// How rows look that are sent as they come.
fn read_streamed(settings: &mut Settings<'_>, output: &Output) -> Output {
    let is_list = matches!(output.format, Format::Array | Format::Lines | Format::Csv);
    if !is_list || output.results == Results::All {
        let message =
            "only the last result can be streamed, and only with `format` array, ndjson or csv";
        settings.invalid("stream", message);
    }
    Output {
        max_bytes: usize::MAX,
        ..output.clone()
    }
}

/// Keys whose names and values are libpq's, and what libpq calls them.
const PLAIN: [(&str, &str); 5] = [
    ("database", "dbname"),
    ("user", "user"),
    ("password", "password"),
    ("application_name", "application_name"),
    ("options", "options"),
];

const PATHS: [&str; 3] = ["sslrootcert", "sslcert", "sslkey"];

const SSL_MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

const SESSION_ATTRS: [&str; 6] = [
    "any",
    "read-write",
    "read-only",
    "primary",
    "standby",
    "prefer-standby",
];

fn read_target(settings: &mut Settings<'_>) -> Option<Target> {
    let errors = settings.error_count();
    let connect_timeout = settings.duration_or_default("connect_timeout");
    if connect_timeout.is_some_and(|timeout| timeout < CONNECT_TIMEOUT_MIN) {
        let message = "`connect_timeout` must be at least \"2s\": libpq gives a server no less";
        settings.invalid("connect_timeout", message);
    }
    let url = read_url(settings);
    let is_by_url = settings.contains("url");
    let mut target = Target::new(url.unwrap_or_default(), connect_timeout.unwrap_or_default());
    read_servers(settings, &mut target, is_by_url);
    if !is_by_url && !settings.contains("database") {
        settings.missing("database");
    }
    for (key, name) in PLAIN {
        let value = settings.string(key);
        set(settings, &mut target, key, name, value);
    }
    let mode = settings.choice("sslmode", &SSL_MODES);
    set(
        settings,
        &mut target,
        "sslmode",
        "sslmode",
        mode.map(str::to_owned),
    );
    let attrs = settings.choice("target_session_attrs", &SESSION_ATTRS);
    let attrs = attrs.map(str::to_owned);
    set(
        settings,
        &mut target,
        "target_session_attrs",
        "target_session_attrs",
        attrs,
    );
    for key in PATHS {
        let path = settings
            .string(key)
            .filter(|path| is_readable(settings, key, path));
        set(settings, &mut target, key, key, path);
    }
    if !target.names("application_name") {
        target.set("application_name", "pontoon");
    }
    if let Some(path) = settings.string("password_file") {
        if target.names("password") {
            let message = "there is a password already; remove it, or `password_file`";
            settings.invalid("password_file", message);
        } else if is_readable(settings, "password_file", &path) {
            target.password_file = Some(PathBuf::from(path));
        }
    }
    (settings.error_count() == errors).then_some(target)
}

fn read_url(settings: &mut Settings<'_>) -> Option<Vec<(String, String)>> {
    let url = settings.string("url")?;
    let is_uri = url.starts_with("postgresql://") || url.starts_with("postgres://");
    let named = match is_uri {
        true => conninfo::parse(&url),
        false => Err("it must begin with postgresql://".to_owned()),
    };
    let named = named.and_then(|named| {
        let mut names = named.iter().map(|(name, _)| name);
        match names.find(|name| target::known(name).is_none()) {
            Some(name) => Err(format!("`{name}` cannot be set here")),
            None => Ok(named),
        }
    });
    match named {
        Ok(named) => Some(named),
        Err(message) => {
            let help = "such as postgresql://user@host:5432/database?sslmode=require";
            settings.invalid("url", format!("`url` is not understood: {message}; {help}"));
            None
        }
    }
}

fn read_servers(settings: &mut Settings<'_>, target: &mut Target, is_by_url: bool) {
    if !settings.contains("server") {
        if !is_by_url {
            settings.missing("server");
        }
        return;
    }
    let Some(servers) = settings.strings_as("server", target::server) else {
        return;
    };
    if servers.is_empty() {
        settings.invalid("server", "`server` names none");
        return;
    }
    let (hosts, ports): (Vec<_>, Vec<_>) = servers.into_iter().unzip();
    set(settings, target, "server", "host", Some(hosts.join(",")));
    if ports.iter().any(|port| !port.is_empty()) {
        target.set("port", ports.join(","));
    }
}

/// Sets what a key says, unless the URI has said it.
fn set(
    settings: &mut Settings<'_>,
    target: &mut Target,
    key: &'static str,
    name: &str,
    value: Option<String>,
) {
    let Some(value) = value else { return };
    if settings.contains("url") && target.names(name) {
        settings.invalid(key, format!("`url` says it already; remove `{key}`"));
    } else if value.contains('\0') {
        settings.invalid(key, format!("`{key}` holds a NUL character"));
    } else {
        target.set(name, value);
    }
}

/// Whether a file can be read, with an error in the report if it cannot.
fn is_readable(settings: &mut Settings<'_>, key: &'static str, path: &str) -> bool {
    match std::fs::File::open(Path::new(path)) {
        Ok(_) => true,
        Err(error) => {
            settings.invalid(key, format!("`{path}` cannot be read: {error}"));
            false
        }
    }
}
