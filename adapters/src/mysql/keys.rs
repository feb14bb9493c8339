//! The keys of a location with `adapter = "mysql"`.

use std::env;
use std::ffi::CString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::mount::Mounted;
use crate::registry::{AdapterSpec, Kind};
use crate::settings::{KeySpec, Settings};
use crate::sql::{self, Common, Dialect};

use super::MySql;
use super::login::{Login, Password, Server, Tls};
use super::url::Url;

/// What a packet may have beside an answer: a row is at most as large as its answer, a statement with its
/// values as large as a body.
const PACKET_BYTES_MIN: usize = 64 * 1024 * 1024;

const OWN: [KeySpec; 12] = [
    KeySpec::optional(
        "server",
        "text or array of texts",
        "`host`, `host:3306` or the path of a Unix socket; of several the first that works",
    ),
    KeySpec::optional(
        "database",
        "text",
        "the database whose tables need no prefix",
    ),
    KeySpec::optional("user", "text", "who logs in"),
    KeySpec::optional(
        "password",
        "text",
        "the password; better kept out of this file",
    ),
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
        "url",
        "URL",
        "`mysql://user:password@host:3306/database` in place of `server`, `user`, `password` and `database`",
    ),
    KeySpec::with_default(
        "tls",
        "off, prefer, require or verify",
        "prefer",
        "whether connections to hosts are encrypted; only `verify` checks who the server is",
    ),
    KeySpec::optional(
        "ca_file",
        "path",
        "the certificates (PEM) that may vouch for the server with `tls = \"verify\"`; if absent, the system's",
    ),
    KeySpec::with_default(
        "connect_timeout",
        "duration",
        "5s",
        "how long a new connection to one server may take, login included",
    ),
    KeySpec::with_default(
        "retries",
        "integer",
        "0",
        "how often a transaction that was rolled back because of a deadlock is run again",
    ),
    KeySpec::with_default(
        "reset",
        "boolean",
        "false",
        "whether the server forgets variables, locks and temporary tables after each call",
    ),
];

pub(super) const KEYS: [KeySpec; OWN.len() + sql::COUNT] = sql::with_own(OWN);

/// How a config file mounts it.
pub const fn spec() -> AdapterSpec {
    AdapterSpec {
        name: "mysql",
        kind: Kind::Blocking,
        modes: &[],
        summary: "runs SQL statements on MySQL or MariaDB",
        keys: &KEYS,
        build: |settings| MySql::from_settings(settings).map(Mounted::blocking),
    }
}

impl MySql {
    pub(super) fn from_settings(settings: &mut Settings<'_>) -> Option<Self> {
        // All are read before any may end this, so that all mistakes show at once.
        let common = Common::read(settings, Dialect::MYSQL);
        let login = read_login(settings);
        let retries = settings.integer_or_default("retries", 0..=100);
        let resets = settings.boolean_or_default("reset");
        let (mut common, mut login) = (common?, login?);
        common.retries = u32::try_from(retries?).unwrap_or_default();
        login.packet_bytes_max = common.output.max_bytes.max(PACKET_BYTES_MIN);
        Some(Self {
            login: Arc::new(login),
            common,
            resets: resets?,
            preferred: AtomicUsize::new(0),
        })
    }
}

/// Who and where, as the keys or the URL say it.
#[derive(Debug, Default)]
struct Place {
    servers: Vec<String>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
}

fn read_login(settings: &mut Settings<'_>) -> Option<Login> {
    let errors = settings.error_count();
    let (place, key) = if settings.contains("url") {
        (of_url(settings), "url")
    } else {
        (of_keys(settings), "server")
    };
    let mut servers = Vec::new();
    for (index, text) in place.servers.iter().enumerate() {
        match Server::parse(text) {
            Ok(server) => servers.push(server),
            // The URL, which may have a password, is not a server.
            Err(message) => settings.invalid_item(key, index, message),
        }
    }
    let password = read_password(settings, place.password);
    let user = c_string(settings, "user", place.user.unwrap_or_default());
    let database = place
        .database
        .and_then(|database| c_string(settings, "database", database));
    let (tls, ca_file) = read_tls(settings);
    let connect_timeout = settings.duration_or_default("connect_timeout");
    if connect_timeout.is_some_and(|timeout| timeout.is_zero()) {
        settings.invalid("connect_timeout", "no connection is made in no time");
    }
    if settings.error_count() != errors {
        return None;
    }
    Some(Login {
        servers,
        user: user?,
        password: password?,
        database,
        tls,
        ca_file,
        connect_timeout: connect_timeout?,
        packet_bytes_max: PACKET_BYTES_MIN,
    })
}

fn of_url(settings: &mut Settings<'_>) -> Place {
    for key in ["server", "user", "password", "database"] {
        if settings.contains(key) {
            settings.invalid(key, format!("`url` says this too; remove `{key}` or `url`"));
        }
    }
    let url = settings.string("url").map(|text| Url::parse(&text));
    match url {
        Some(Ok(url)) => {
            if url.user.is_none() {
                settings.invalid("url", "it has no user: write `mysql://USER@…`");
            }
            Place {
                servers: url.servers,
                user: url.user,
                password: url.password,
                database: url.database,
            }
        }
        Some(Err(message)) => {
            settings.invalid("url", message);
            Place::default()
        }
        None => Place::default(),
    }
}

fn of_keys(settings: &mut Settings<'_>) -> Place {
    let servers = settings.strings("server").unwrap_or_default();
    if !settings.contains("server") {
        settings.missing("server");
    } else if servers.is_empty() && settings.span_of("server").is_some() {
        settings.invalid("server", "there must be a server");
    }
    let user = settings.required_string("user");
    let password = settings.string("password");
    let database = settings.string("database");
    if database.as_ref().is_some_and(String::is_empty) {
        settings.invalid("database", "it is empty; remove it if there is none");
    }
    Place {
        servers,
        user,
        password,
        database,
    }
}

fn read_password(settings: &mut Settings<'_>, given: Option<String>) -> Option<Password> {
    let file = settings.string("password_file");
    let variable = settings.string("password_env");
    let places = usize::from(given.is_some())
        + usize::from(settings.contains("password_file"))
        + usize::from(settings.contains("password_env"));
    if places > 1 {
        let key = if settings.contains("password_file") {
            "password_file"
        } else {
            "password_env"
        };
        settings.invalid(key, "the password is given twice; remove one of them");
        return None;
    }
    if let Some(path) = file {
        let password = Password::File(PathBuf::from(path));
        if let Err(message) = password.read() {
            settings.invalid("password_file", message);
            return None;
        }
        return Some(password);
    }
    if let Some(name) = variable {
        let Ok(password) = env::var(&name) else {
            let message = format!("the environment variable `{name}` is not set, or not UTF-8");
            settings.invalid("password_env", message);
            return None;
        };
        return c_string(settings, "password_env", password).map(Password::Given);
    }
    match given {
        Some(password) => c_string(settings, "password", password).map(Password::Given),
        None => Some(Password::None),
    }
}

fn read_tls(settings: &mut Settings<'_>) -> (Tls, Option<CString>) {
    let tls = match settings.choice("tls", &["off", "prefer", "require", "verify"]) {
        Some("off") => Tls::Off,
        Some("require") => Tls::Require,
        Some("verify") => Tls::Verify,
        _ => Tls::Prefer,
    };
    let Some(path) = settings.string("ca_file") else {
        return (tls, None);
    };
    if tls != Tls::Verify {
        settings.invalid(
            "ca_file",
            "it goes with `tls = \"verify\"`; without that no certificate is checked",
        );
    } else if let Err(error) = std::fs::File::open(&path) {
        settings.invalid("ca_file", format!("`{path}` cannot be read: {error}"));
    }
    (tls, c_string(settings, "ca_file", path))
}

fn c_string(settings: &mut Settings<'_>, key: &str, text: String) -> Option<CString> {
    let text = CString::new(text);
    if text.is_err() {
        settings.invalid(key, format!("`{key}` has a NUL in it"));
    }
    text.ok()
}

#[cfg(test)]
mod tests;
