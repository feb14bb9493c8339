//! Commands that a location cannot run, and why.
//!
//! A connection serves many requests in turn, so what changes the connection itself, or makes the
//! server send something that no request waits for, would reach the wrong one.

use super::Mode;

/// They change what the connection is.
const OF_THE_CONNECTION: [&str; 8] = [
    "AUTH",
    "HELLO",
    "SELECT",
    "QUIT",
    "RESET",
    "ASKING",
    "READONLY",
    "READWRITE",
];

/// They only make sense together.
const OF_TRANSACTIONS: [&str; 5] = ["MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH"];

/// Their replies have no end.
const ENDLESS: [&str; 9] = [
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "SSUBSCRIBE",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SUNSUBSCRIBE",
    "MONITOR",
    "SYNC",
    "PSYNC",
];

/// Subcommands of `CLIENT` that change which replies come.
const OF_REPLIES: [&str; 3] = ["REPLY", "TRACKING", "CACHING"];

/// They wait for something to happen.
const WAITING: [&str; 11] = [
    "BLPOP",
    "BRPOP",
    "BRPOPLPUSH",
    "BLMOVE",
    "BLMPOP",
    "BZPOPMIN",
    "BZPOPMAX",
    "BZMPOP",
    "WAIT",
    "WAITAOF",
    "FAILOVER",
];

/// Why the command of these words cannot be run, for the operator. Words that come from requests are
/// `None`.
pub(super) fn reason(words: &[Option<&str>], mode: Mode, in_transaction: bool) -> Option<String> {
    let upper = |word: &Option<&str>| word.map(str::to_ascii_uppercase).unwrap_or_default();
    let name = words.first().map(upper).unwrap_or_default();
    let second = words.get(1).map(upper).unwrap_or_default();
    let is = |list: &[&str]| list.contains(&name.as_str());
    if is(&OF_THE_CONNECTION) {
        return Some(format!(
            "`{name}` changes the connection, which other requests share; the URL in `server` says \
             how to log in and which database to use"
        ));
    }
    if is(&OF_TRANSACTIONS) {
        return Some(format!(
            "`{name}` is part of a transaction: list its commands in `commands`, with `multi = true`"
        ));
    }
    if is(&ENDLESS) {
        return Some(format!(
            "`{name}` has no single reply, so it cannot answer a request; `subscribe` does for messages"
        ));
    }
    if name == "CLIENT" && OF_REPLIES.contains(&second.as_str()) {
        return Some(format!(
            "`CLIENT {second}` changes which replies come, and other requests share the connection"
        ));
    }
    // Within a transaction nothing waits.
    if mode == Mode::Loop && !in_transaction && (is(&WAITING) || waits_for_streams(&name, words)) {
        return Some(format!(
            "`{name}` waits, and all requests that share the connection would wait with it; run it \
             without `mode = \"loop\"`, where each has a connection"
        ));
    }
    None
}

fn waits_for_streams(name: &str, words: &[Option<&str>]) -> bool {
    let mut given = words.iter().flatten();
    name.starts_with("XREAD") && given.any(|word| word.eq_ignore_ascii_case("BLOCK"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(command: &str, mode: Mode) -> Option<String> {
        let words: Vec<_> = command.split(' ').map(Some).collect();
        reason(&words, mode, false)
    }

    #[test]
    fn what_would_reach_other_requests_is_refused() {
        for (command, part) in [
            ("select 3", "`SELECT` changes the connection"),
            ("Auth x", "`AUTH` changes"),
            ("MULTI", "`multi = true`"),
            ("SUBSCRIBE news", "no single reply"),
            ("client reply off", "`CLIENT REPLY`"),
        ] {
            for mode in [Mode::Blocking, Mode::Loop] {
                let reason = refused(command, mode).unwrap();
                assert!(reason.contains(part), "{command}: {reason}");
            }
        }
        for command in [
            "GET x",
            "CLIENT LIST",
            "EVAL x 0",
            "XREAD COUNT 1 STREAMS s 0",
        ] {
            assert_eq!(refused(command, Mode::Loop), None, "{command}");
        }
    }

    #[test]
    fn what_waits_needs_a_connection_of_its_own() {
        for command in ["BLPOP x 0", "WAIT 1 0", "XREAD BLOCK 0 STREAMS s $"] {
            assert_eq!(refused(command, Mode::Blocking), None, "{command}");
            let reason = refused(command, Mode::Loop).unwrap();
            assert!(reason.contains("waits"), "{command}: {reason}");
        }
        let words = [Some("BLPOP"), None, Some("0")];
        assert_eq!(reason(&words, Mode::Loop, true), None);
    }
}
