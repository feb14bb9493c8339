//! How many calls one client has on a location, so that no client can take all of it.
//!
//! Only clients with calls inside are held, so the memory is bounded by the calls that the location
//! lets in. The lock is taken by locations that count clients, and by no others: on the loop as a
//! call comes, and wherever it ends.

use http::{HeaderMap, HeaderName};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// By what a location tells its clients apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ClientKey {
    /// By their address. All addresses of an IPv6 network of 64 bits are one client, as one client
    /// has all of them; so are all connections to a Unix socket, which have no address.
    Address,
    /// By the value of this header, the last one where there are several; requests without it by
    /// their address. A client can write what it likes into a header: use one that a proxy in front
    /// of the server sets, or whose value is checked.
    Header(HeaderName),
}

/// Why a text tells no way to tell clients apart, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientKeyError {
    /// It is neither of the two ways.
    #[error("`{0}` does not tell clients apart: write \"address\", or \"header:NAME\"")]
    Unknown(String),
    /// No header can have this name.
    #[error("`{0}` cannot be the name of a header: write it as in \"header:X-Api-Key\"")]
    Header(String),
}

impl FromStr for ClientKey {
    type Err = ClientKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "address" {
            return Ok(Self::Address);
        }
        let Some(name) = text.strip_prefix("header:") else {
            return Err(ClientKeyError::Unknown(text.to_owned()));
        };
        let name = name.trim();
        HeaderName::from_str(name)
            .map(Self::Header)
            .map_err(|_| ClientKeyError::Header(name.to_owned()))
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("address"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

/// One client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Client {
    V4(Ipv4Addr),
    /// The upper 64 bits.
    V6([u8; 8]),
    NoAddress,
    /// A copy: the request that it came with need not live as long as the call.
    Header(Arc<[u8]>),
}

impl Client {
    fn of(key: &ClientKey, peer: Option<SocketAddr>, headers: &HeaderMap) -> Self {
        if let ClientKey::Header(name) = key
            && let Some(value) = headers.get_all(name).iter().next_back()
        {
            return Self::Header(value.as_bytes().into());
        }
        match peer.map(|peer| peer.ip().to_canonical()) {
            None => Self::NoAddress,
            Some(IpAddr::V4(address)) => Self::V4(address),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// A table that has held more entries than this gives its memory back once it is empty.
const KEPT_ENTRIES: usize = 64;

/// The clients that have calls on a location.
#[derive(Debug)]
pub(crate) struct PerClient {
    key: ClientKey,
    /// A reload may change it.
    max: AtomicUsize,
    /// Never zero. The lock protects only the table; nothing else is done under it.
    calls: Mutex<HashMap<Client, usize>>,
    refused: AtomicU64,
}

impl PerClient {
    pub(crate) fn new(key: ClientKey, max: usize) -> Self {
        Self {
            key,
            max: AtomicUsize::new(max),
            calls: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// A place for a call of the client, until it is dropped; `None` when it has all of its own.
    pub(crate) fn enter(
        self: &Arc<Self>,
        peer: Option<SocketAddr>,
        headers: &HeaderMap,
    ) -> Option<ClientPlace> {
        let client = Client::of(&self.key, peer, headers);
        let max = self.max();
        let may_enter = match self.lock().entry(client.clone()) {
            Entry::Occupied(mut calls) if *calls.get() < max => {
                *calls.get_mut() += 1;
                true
            }
            Entry::Vacant(first) if max > 0 => {
                first.insert(1);
                true
            }
            _ => false,
        };
        if !may_enter {
            // Relaxed: a statistic.
            self.refused.fetch_add(1, Relaxed);
            return None;
        }
        Some(ClientPlace {
            of: Arc::clone(self),
            client,
        })
    }

    pub(crate) fn max(&self) -> usize {
        // Relaxed: a number of its own; who enters may see a change a moment later.
        self.max.load(Relaxed)
    }

    /// Changes the limit. Who is in stays in.
    pub(crate) fn set_max(&self, max: usize) {
        // Relaxed: as in `max`.
        self.max.store(max, Relaxed);
    }

    pub(crate) fn key(&self) -> &ClientKey {
        &self.key
    }

    /// Clients with calls inside.
    pub(crate) fn clients(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn refused(&self) -> u64 {
        // Relaxed: a statistic.
        self.refused.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Client, usize>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, client: &Client) {
        let mut calls = self.lock();
        match calls.get_mut(client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                calls.remove(client);
                if calls.is_empty() {
                    calls.shrink_to(KEPT_ENTRIES);
                }
            }
        }
    }
}

/// A client's place on a location.
#[derive(Debug)]
pub(crate) struct ClientPlace {
    of: Arc<PerClient>,
    client: Client,
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        self.of.leave(&self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn peer(text: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(text.parse().unwrap(), 4000))
    }

    fn by_address(text: &str) -> Client {
        Client::of(&ClientKey::Address, peer(text), &HeaderMap::new())
    }

    #[test]
    fn a_client_is_an_address_or_a_network_of_64_bits() {
        assert_ne!(by_address("192.0.2.1"), by_address("192.0.2.2"));
        assert_eq!(by_address("192.0.2.1"), by_address("::ffff:192.0.2.1"));
        assert_eq!(
            by_address("2001:db8:0:1::1"),
            by_address("2001:db8:0:1:ffff::2")
        );
        assert_ne!(by_address("2001:db8:0:1::1"), by_address("2001:db8:0:2::1"));
    }

    #[test]
    fn a_client_by_header_is_its_last_value_or_else_an_address() {
        let key: ClientKey = "header:X-Api-Key".parse().unwrap();
        let mut headers = HeaderMap::new();
        let none = Client::of(&key, peer("192.0.2.1"), &headers);
        assert_eq!(none, by_address("192.0.2.1"));
        headers.append("x-api-key", HeaderValue::from_static("forged"));
        headers.append("x-api-key", HeaderValue::from_static("real"));
        let real = Client::of(&key, peer("192.0.2.1"), &headers);
        assert_eq!(real, Client::Header((*b"real").into()));
    }

    #[test]
    fn a_key_is_written_as_it_is_read() {
        for text in ["address", "header:x-api-key"] {
            assert_eq!(text.parse::<ClientKey>().unwrap().to_string(), text);
        }
        for (text, answer) in [
            ("adress", "\"address\", or \"header:NAME\""),
            ("", "\"address\", or"),
            ("header:", "cannot be the name"),
            ("header:a b", "`a b` cannot be the name"),
        ] {
            let error = text.parse::<ClientKey>().unwrap_err().to_string();
            assert!(error.contains(answer), "{text:?}: {error}");
        }
    }

    #[test]
    fn only_clients_with_calls_inside_are_held() {
        let clients = Arc::new(PerClient::new(ClientKey::Address, 2));
        let none = HeaderMap::new();
        let enter = |last: u32| {
            let address = IpAddr::V4(Ipv4Addr::from_bits(last));
            clients.enter(Some(SocketAddr::new(address, 1)), &none)
        };
        let many: Vec<_> = (0..10_000).filter_map(enter).collect();
        assert_eq!((many.len(), clients.clients()), (10_000, 10_000));
        drop(many);
        assert_eq!(clients.clients(), 0);
        assert!(clients.lock().capacity() < 1000);
        let two = [enter(7), enter(7)];
        assert!(two.iter().all(Option::is_some));
        assert!(enter(7).is_none() && enter(8).is_some());
        drop(two);
        assert!(enter(7).is_some());
        assert_eq!((clients.clients(), clients.refused()), (0, 1));
    }

    #[test]
    fn the_bound_is_exact_under_races() {
        let clients = Arc::new(PerClient::new(ClientKey::Address, 3));
        let inside = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let Some(place) = clients.enter(None, &HeaderMap::new()) else {
                            continue;
                        };
                        // Relaxed, Relaxed: a test's own count, under the bound that it tests.
                        assert!(inside.fetch_add(1, Relaxed) < 3);
                        inside.fetch_sub(1, Relaxed);
                        drop(place);
                    }
                });
            }
        });
        assert_eq!(clients.clients(), 0);
    }
}
