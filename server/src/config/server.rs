//! The keys at the top of the file.

use std::time::Duration;

use pontoon_adapters::settings::{AutoOr, Diagnostic, Settings};
use pontoon_bridge::Spin;

use super::limits::{count, duration, size, spin};
use super::{ListenAddress, Overrides, keys};

/// What concerns the server as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where to accept connections.
    pub listen: ListenAddress,
    /// Where health and status are answered; nowhere without it.
    pub admin: Option<ListenAddress>,
    /// How many event loops to run.
    pub loops: AutoOr<usize>,
    /// How long a loop that has run out of work may look for more before it sleeps; in the file
    /// also the workers', where a pool says nothing else.
    pub spin: Spin,
    /// Connections that may be open at once.
    pub max_connections: usize,
    /// How long a client may take to send a request's head.
    pub header_timeout: Duration,
    /// How long a connection may idle between two requests.
    pub keep_alive: Duration,
    /// How long a client may take to send a request's body.
    pub request_timeout: Duration,
    /// The bytes of a body that a client must send per second, on average since the head; 0 for any
    /// number.
    pub min_body_rate: usize,
    /// How long a body may come more slowly.
    pub body_grace: Duration,
    /// How long a client may go without reading any of its response.
    pub send_timeout: Duration,
    /// The bytes of a response that a client must read per second, on average since it was first
    /// waited for, once `send_timeout` is over; 0 for any number.
    pub min_send_rate: usize,
    /// The longest request line.
    pub max_request_line_bytes: usize,
    /// The largest request head.
    pub max_header_bytes: usize,
    /// The largest request body, where the location says nothing else.
    pub max_body_bytes: usize,
    /// How long running calls may take to end once the server stops.
    pub shutdown_timeout: Duration,
    /// How long a pool may have no worker left because all of them are stuck, spare ones included;
    /// then the server stops, for a supervisor to start it again. `None`: for ever.
    pub restart_when_stuck: Option<Duration>,
}

impl Default for ServerConfig {
    /// The defaults of the config file, listening on 127.0.0.1:8080.
    fn default() -> Self {
        let text = "listen = \"127.0.0.1:8080\"";
        let read = |settings: &mut Settings<'_>| read(settings, &Overrides::default());
        Settings::parse(text, keys::SERVER_KEYS, read)
            .expect("the defaults are constants that their own reader takes, as the tests show")
    }
}

/// Reads all keys, whatever is wrong with some of them.
pub(super) fn read(settings: &mut Settings<'_>, overrides: &Overrides) -> Option<ServerConfig> {
    let listen = listen(settings, overrides);
    let admin = admin(settings, listen.as_ref());
    let loops = loops(settings);
    let spin = spin(settings, Some(Spin::Auto));
    let max_connections = count(settings, "max_connections", keys::MAX_CONNECTIONS);
    let header_timeout = duration(settings, "header_timeout", keys::TIMEOUT);
    let keep_alive = duration(settings, "keep_alive", keys::TIMEOUT);
    let request_timeout = duration(settings, "request_timeout", keys::TIMEOUT);
    let min_body_rate = size(settings, "min_body_rate", keys::MIN_RATE);
    let body_grace = duration(settings, "body_grace", keys::TIMEOUT);
    let send_timeout = duration(settings, "send_timeout", keys::TIMEOUT);
    let min_send_rate = size(settings, "min_send_rate", keys::MIN_RATE);
    let max_request_line_bytes = size(settings, "max_request_line", keys::MAX_REQUEST_LINE);
    let max_header_bytes = size(settings, "max_header_bytes", keys::MAX_HEADER_BYTES);
    let max_body_bytes = size(settings, "max_body", keys::MAX_BODY);
    let shutdown_timeout = duration(settings, "shutdown_timeout", keys::SHUTDOWN_TIMEOUT);
    let restart_when_stuck = restart_when_stuck(settings);
    Some(ServerConfig {
        listen: listen?,
        admin: admin?,
        loops: loops?,
        spin: spin?,
        max_connections: max_connections?,
        header_timeout: header_timeout?,
        keep_alive: keep_alive?,
        request_timeout: request_timeout?,
        min_body_rate: min_body_rate?,
        body_grace: body_grace?,
        send_timeout: send_timeout?,
        min_send_rate: min_send_rate?,
        max_request_line_bytes: max_request_line_bytes?,
        max_header_bytes: max_header_bytes?,
        max_body_bytes: max_body_bytes?,
        shutdown_timeout: shutdown_timeout?,
        restart_when_stuck: restart_when_stuck?,
    })
}

/// The address of the command line wins, and one in the file must still be right.
fn listen(settings: &mut Settings<'_>, overrides: &Overrides) -> Option<ListenAddress> {
    if !settings.contains("listen") {
        if overrides.listen.is_none() {
            let error = Diagnostic::error("missing key `listen`");
            settings.report_table(error.help(
                "add `listen = \"127.0.0.1:8080\"` at the top of the file, before the first [table], or give --listen",
            ));
        }
        return overrides.listen.clone();
    }
    match settings.string("listen")?.parse() {
        Ok(address) => Some(overrides.listen.clone().unwrap_or(address)),
        Err(error) => {
            settings.invalid("listen", error.to_string());
            None
        }
    }
}

/// The outer `None` is a recorded error.
fn admin(
    settings: &mut Settings<'_>,
    listen: Option<&ListenAddress>,
) -> Option<Option<ListenAddress>> {
    if !settings.contains("admin") {
        return Some(None);
    }
    match settings.string("admin")?.parse::<ListenAddress>() {
        Ok(address) if address.is_fixed() && Some(&address) == listen => {
            let error = Diagnostic::error("`admin` is the address that the public comes to");
            let help =
                "give it a port of its own, as in \"127.0.0.1:9090\": it is for the operator only";
            settings.report("admin", error.help(help));
            None
        }
        Ok(address) => Some(Some(address)),
        Err(error) => {
            settings.invalid("admin", error.to_string());
            None
        }
    }
}

/// The outer `None` is a recorded error.
fn restart_when_stuck(settings: &mut Settings<'_>) -> Option<Option<Duration>> {
    if !settings.contains("restart_when_stuck") {
        return Some(None);
    }
    let off = [("off", None)];
    settings.word_or_duration("restart_when_stuck", &off, keys::TIMEOUT, Some)
}

fn loops(settings: &mut Settings<'_>) -> Option<AutoOr<usize>> {
    if !settings.contains("loops") {
        return Some(AutoOr::Auto);
    }
    match settings.auto_or_integer("loops", keys::LOOPS)? {
        AutoOr::Auto => Some(AutoOr::Auto),
        AutoOr::Fixed(loops) => usize::try_from(loops).ok().map(AutoOr::Fixed),
    }
}
