//! Where a location connects to, and as whom.

use std::ffi::{CStr, CString};
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

/// How each session is set, so that values look the same whatever the server's own settings are.
const SETTINGS: &str = "-c DateStyle=ISO -c IntervalStyle=iso_8601 -c TimeZone=UTC \
     -c bytea_output=hex -c extra_float_digits=1";

/// Where to connect to.
#[derive(Clone, Default)]
pub(super) struct Target {
    /// libpq's parameters by name, each once.
    named: Vec<(String, String)>,
    /// Where the password is, which is read for each connection.
    pub(super) password_file: Option<PathBuf>,
    /// Settings of the session, as `-c name=value`.
    settings: Vec<String>,
    pub(super) connect_timeout: Duration,
}

impl Target {
    /// The target that libpq's parameters name.
    pub(super) fn new(named: Vec<(String, String)>, connect_timeout: Duration) -> Self {
        Self {
            named,
            connect_timeout,
            ..Self::default()
        }
    }

    /// Whether a parameter of libpq's has a value.
    pub(super) fn names(&self, name: &str) -> bool {
        self.named.iter().any(|(one, _)| one == name)
    }

    /// Gives a parameter of libpq's a value; the session's settings are kept.
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.named.retain(|(one, _)| one != name);
        self.named.push((name.to_owned(), value.into()));
    }

    /// Gives each session a setting.
    pub(super) fn setting(&mut self, name: &str, value: &str) {
        // In libpq's options a backslash keeps a space from ending the value.
        let value = value.replace(' ', "\\ ");
        self.settings.push(format!("-c {name}={value}"));
    }

    /// What libpq gets.
    ///
    /// # Errors
    ///
    /// The file with the password cannot be read, or a value holds NUL.
    pub(super) fn parameters(&self) -> Result<Vec<(&CStr, CString)>, String> {
        let seconds = self.connect_timeout.as_secs_f64().ceil();
        let mut options = vec![SETTINGS.to_owned()];
        options.extend(self.settings.iter().cloned());
        let mut all = Vec::new();
        for (name, value) in &self.named {
            match name.as_str() {
                // What the user says comes last, and counts.
                "options" => options.push(value.clone()),
                _ => all.push((name.as_str(), value.clone())),
            }
        }
        if let Some(path) = &self.password_file {
            let password = std::fs::read_to_string(path);
            let password = password.map_err(|error| {
                format!(
                    "the password file {} cannot be read: {error}",
                    path.display()
                )
            })?;
            all.push((
                "password",
                password.trim_end_matches(['\r', '\n']).to_owned(),
            ));
        }
        all.push(("connect_timeout", format!("{seconds}")));
        all.push(("client_encoding", "UTF8".to_owned()));
        all.push(("options", options.join(" ")));
        let parameter = |(name, value): (&str, String)| {
            let name = known(name).ok_or_else(|| format!("libpq's `{name}` is not known here"))?;
            let value =
                CString::new(value).map_err(|_| format!("`{name:?}` holds a NUL character"))?;
            Ok((name, value))
        };
        all.into_iter().map(parameter).collect()
    }
}

impl fmt::Debug for Target {
    /// Shows no values but the names of servers and the like: others may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = |name: &str| matches!(name, "host" | "port" | "dbname" | "user" | "sslmode");
        let mut shown = f.debug_struct("Target");
        for (name, value) in self.named.iter().filter(|(name, _)| is_open(name)) {
            shown.field(name, value);
        }
        shown.finish_non_exhaustive()
    }
}

/// libpq's parameters that may be set here, by a key or in a URI.
const KNOWN: &[&CStr] = &[
    c"host",
    c"hostaddr",
    c"port",
    c"dbname",
    c"user",
    c"password",
    c"passfile",
    c"application_name",
    c"fallback_application_name",
    c"connect_timeout",
    c"client_encoding",
    c"options",
    c"target_session_attrs",
    c"load_balance_hosts",
    c"keepalives",
    c"keepalives_idle",
    c"keepalives_interval",
    c"keepalives_count",
    c"tcp_user_timeout",
    c"sslmode",
    c"sslnegotiation",
    c"sslcompression",
    c"sslcert",
    c"sslkey",
    c"sslpassword",
    c"sslrootcert",
    c"sslcrl",
    c"sslcrldir",
    c"sslsni",
    c"ssl_min_protocol_version",
    c"ssl_max_protocol_version",
    c"channel_binding",
    c"require_auth",
    c"gssencmode",
    c"krbsrvname",
    c"gsslib",
    c"gssdelegation",
    c"requirepeer",
    c"service",
];

/// The name of a parameter as libpq wants it.
pub(super) fn known(name: &str) -> Option<&'static CStr> {
    let mut known = KNOWN.iter();
    known.find(|one| one.to_bytes() == name.as_bytes()).copied()
}

/// A server, as `server` names it: its host, or the folder of its socket, and its port, which may be empty.
///
/// # Errors
///
/// What is wrong with it, and what can be said.
pub(super) fn server(text: &str) -> Result<(String, String), String> {
    let text = text.trim();
    let wrong = |what: &str| {
        Err(format!(
            "`{text}` {what}: write \"host\", \"host:port\", \"[::1]:port\" or \"/folder/of/socket\""
        ))
    };
    if text.is_empty() {
        return wrong("names no server");
    }
    if text.contains("://") {
        return Err("this is a URI; give it as `url`".to_owned());
    }
    if text.contains(',') {
        return Err("several servers are an array: [\"one\", \"other:5433\"]".to_owned());
    }
    if let Some(rest) = text.strip_prefix('[') {
        let Some((host, port)) = rest.split_once(']') else {
            return wrong("has no `]`");
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port,
            None if port.is_empty() => "",
            None => return wrong("has something after its `]`"),
        };
        return with_port(host, port, text);
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text.to_owned(), String::new()));
    }
    match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') && !host.starts_with('/') => wrong("is no address"),
        Some((host, port)) => with_port(host, port, text),
        None => Ok((text.to_owned(), String::new())),
    }
}

fn with_port(host: &str, port: &str, text: &str) -> Result<(String, String), String> {
    let is_port = port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0);
    if host.is_empty() || !is_port {
        return Err(format!(
            "`{text}` has no host or no port: a port is a number from 1 to 65535"
        ));
    }
    Ok((host.to_owned(), port.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_hosts_addresses_and_folders() {
        for (text, host, port) in [
            ("db", "db", ""),
            ("db.example:5433", "db.example", "5433"),
            ("10.0.0.1:5433", "10.0.0.1", "5433"),
            ("::1", "::1", ""),
            ("[::1]", "::1", ""),
            ("[::1]:5433", "::1", "5433"),
            ("/run/postgresql", "/run/postgresql", ""),
            ("/run/postgresql:5433", "/run/postgresql", "5433"),
        ] {
            assert_eq!(server(text).unwrap(), (host.to_owned(), port.to_owned()));
        }
        for text in [
            "",
            " ",
            "db:",
            "a,b",
            "postgresql://db",
            "[::1",
            "db:0",
            "db:x",
            "a:b:c",
        ] {
            let wrong = server(text);
            assert!(wrong.is_err() || text == "db:", "{text}");
        }
    }

    #[test]
    fn a_target_shows_no_secrets() {
        let mut target = Target::new(Vec::new(), Duration::from_secs(5));
        target.set("user", "ada");
        target.set("password", "hunter2");
        target.set("options", "-c a.secret=hunter2");
        let shown = format!("{target:?}");
        assert!(
            shown.contains("ada") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn what_the_user_sets_for_the_session_comes_last() {
        let mut target = Target::new(Vec::new(), Duration::from_millis(2500));
        target.set("options", "-c TimeZone=CET");
        target.setting("default_transaction_isolation", "repeatable read");
        let parameters = target.parameters().unwrap();
        let value = |name: &CStr| {
            let mut all = parameters.iter().filter(|(one, _)| *one == name);
            let value = all.next().unwrap().1.to_str().unwrap().to_owned();
            assert!(all.next().is_none());
            value
        };
        let options = value(c"options");
        assert!(options.starts_with("-c DateStyle=ISO"), "{options}");
        let end = "-c default_transaction_isolation=repeatable\\ read -c TimeZone=CET";
        assert!(options.ends_with(end), "{options}");
        assert_eq!(value(c"connect_timeout"), "3");
    }
}
