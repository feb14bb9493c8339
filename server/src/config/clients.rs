//! How many calls a location lets one client have, and what a client is.

use pontoon_adapters::settings::{Diagnostic, Settings};

use super::{keys, limits};
use crate::ClientKey;

/// The limit, and by what clients are told apart.
pub(super) struct Clients {
    pub(super) key: ClientKey,
    pub(super) max: Option<usize>,
}

/// Reads both keys; `None` is a recorded error.
pub(super) fn read(settings: &mut Settings<'_>, on_unix_socket: bool) -> Option<Clients> {
    let key = client_key(settings);
    if !settings.contains("max_per_client") {
        if settings.contains("client_key") {
            let error = Diagnostic::error("`client_key` does nothing without `max_per_client`");
            let help =
                "add `max_per_client`, the calls that one client may have running or waiting";
            settings.report("client_key", error.help(help));
            return None;
        }
        return Some(Clients {
            key: key?,
            max: None,
        });
    }
    let max = limits::optional_count(settings, "max_per_client", keys::MAX_PER_CLIENT);
    let key = key?;
    if on_unix_socket && key == ClientKey::Address {
        let warning = "the clients of a Unix socket have no address: all of them count as one";
        let help = "tell them apart by a header of the proxy in front, as in `client_key = \"header:X-Real-IP\"`";
        settings.report("max_per_client", Diagnostic::warning(warning).help(help));
    }
    Some(Clients {
        key,
        max: Some(max?),
    })
}

fn client_key(settings: &mut Settings<'_>) -> Option<ClientKey> {
    if !settings.contains("client_key") {
        return Some(ClientKey::Address);
    }
    match settings.string("client_key")?.parse() {
        Ok(key) => Some(key),
        Err(error) => {
            settings.invalid("client_key", error.to_string());
            None
        }
    }
}
