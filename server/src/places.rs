//! The places of a location: how many calls it may have, altogether and of one client.
//!
//! A place is held until the foreign code has really returned, whoever has given up on the call. A
//! location that limits neither costs nothing here. A reload that keeps a location's adapter keeps its
//! counts.

use crate::bounded::Bounded;
use crate::per_client::{ClientKey, PerClient};
use crate::problem::Problem;
use http::HeaderMap;
use pontoon_adapters::mount::Place;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// When to come again where all places are taken: nobody knows how fast the library gives them back.
const RETRY: Duration = Duration::from_secs(1);

/// How much of its pool a location may have, so that it cannot take all of it from the others: places
/// for calls, running and waiting together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// So many places.
    Calls(usize),
    /// So many hundredths of the pool's threads and queue together, rounded down, at least one place.
    Percent(u8),
}

impl Share {
    /// The places that it is in a pool with so many.
    pub(crate) fn of(self, pool_places: usize) -> usize {
        match self {
            Self::Calls(calls) => calls,
            Self::Percent(percent) => {
                let part = pool_places as u128 * u128::from(percent) / 100;
                usize::try_from(part).unwrap_or(usize::MAX).max(1)
            }
        }
    }
}

/// A count with its limit.
#[derive(Debug)]
struct Held<T> {
    /// Shared with the location that a reload will replace by this one, if there is one.
    count: Arc<T>,
    /// The limit for it, from when this location serves.
    max: usize,
}

/// A limit on a location's calls.
#[derive(Debug)]
struct Limit {
    kind: LimitKind,
    calls: Arc<Bounded>,
    refused: AtomicU64,
}

/// What kind of limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitKind {
    /// A share of a pool.
    Share,
    /// All there is, without a pool.
    Running,
}

/// The places of a location.
#[derive(Debug, Default)]
pub(crate) struct Places {
    limit: Option<Held<Limit>>,
    per_client: Option<Held<PerClient>>,
}

/// What a location's limits have seen, for the status page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LimitStats {
    pub(crate) kind: LimitKind,
    pub(crate) inside: usize,
    pub(crate) max: usize,
    pub(crate) refused: u64,
}

impl Places {
    pub(crate) fn limit(&mut self, kind: LimitKind, max: usize) {
        let count = Arc::new(Limit {
            kind,
            calls: Arc::new(Bounded::new(max)),
            refused: AtomicU64::new(0),
        });
        self.limit = Some(Held { count, max });
    }

    pub(crate) fn limit_clients(&mut self, key: ClientKey, max: usize) {
        let count = Arc::new(PerClient::new(key, max));
        self.per_client = Some(Held { count, max });
    }

    /// Counts on where those left off, as far as they count the same.
    pub(crate) fn go_on_from(&mut self, before: &Self) {
        if let (Some(limit), Some(before)) = (&mut self.limit, &before.limit)
            && limit.count.kind == before.count.kind
        {
            limit.count = Arc::clone(&before.count);
        }
        if let (Some(clients), Some(before)) = (&mut self.per_client, &before.per_client)
            && clients.count.key() == before.count.key()
        {
            clients.count = Arc::clone(&before.count);
        }
    }

    /// Holds counts that it took over to its own limits.
    pub(crate) fn apply_limits(&self) {
        if let Some(limit) = &self.limit {
            limit.count.calls.set_max(limit.max);
        }
        if let Some(clients) = &self.per_client {
            clients.count.set_max(clients.max);
        }
    }

    /// A place for a call, where there is a limit; or the answer when there is none left.
    pub(crate) fn enter(
        &self,
        peer: Option<SocketAddr>,
        headers: &HeaderMap,
    ) -> Result<Option<Place>, Problem> {
        if self.limit.is_none() && self.per_client.is_none() {
            return Ok(None);
        }
        let of_client = match &self.per_client {
            None => None,
            Some(clients) => {
                let place = clients.count.enter(peer, headers);
                Some(place.ok_or_else(|| client_full(clients.count.max()))?)
            }
        };
        let of_location = match &self.limit {
            None => None,
            Some(Held { count, .. }) => Some(count.calls.enter().ok_or_else(|| count.refuse())?),
        };
        Ok(match (of_location, of_client) {
            (Some(place), None) => Some(Box::new(place)),
            (None, Some(place)) => Some(Box::new(place)),
            both => Some(Box::new(both)),
        })
    }

    /// How the location's limit stands, if it has one.
    pub(crate) fn limit_stats(&self) -> Option<LimitStats> {
        self.limit
            .as_ref()
            .map(|Held { count: limit, .. }| LimitStats {
                kind: limit.kind,
                inside: limit.calls.count(),
                max: limit.calls.max(),
                // Relaxed: a statistic.
                refused: limit.refused.load(Relaxed),
            })
    }

    /// The location's clients, if it counts them.
    pub(crate) fn per_client(&self) -> Option<&PerClient> {
        self.per_client.as_ref().map(|clients| &*clients.count)
    }
}

impl Limit {
    fn refuse(&self) -> Problem {
        // Relaxed: a statistic.
        self.refused.fetch_add(1, Relaxed);
        let detail = match self.kind {
            LimitKind::Share => "this location's share of its pool is full; nothing was done",
            LimitKind::Running => "this location runs as many calls as it may",
        };
        Problem::unavailable(detail, RETRY)
    }
}

fn client_full(max: usize) -> Problem {
    let calls = if max == 1 { "call" } else { "calls" };
    let detail = format!(
        "a client may have {max} {calls} running or waiting here, and this one has; nothing was done"
    );
    Problem::too_many_requests(detail, RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_part_of_the_pool_and_never_nothing() {
        for (share, places) in [
            (Share::Percent(50), 132),
            (Share::Percent(100), 264),
            (Share::Percent(1), 2),
            (Share::Calls(7), 7),
        ] {
            assert_eq!(share.of(264), places, "{share:?}");
        }
        assert_eq!(Share::Percent(1).of(8), 1);
        assert_eq!(Share::Percent(100).of(usize::MAX), usize::MAX);
    }

    #[test]
    fn without_limits_there_is_nothing_to_hold() {
        let place = Places::default().enter(None, &HeaderMap::new());
        assert!(place.is_ok_and(|place| place.is_none()));
    }

    #[test]
    fn a_refusal_by_one_limit_takes_no_place_of_the_other() {
        let mut places = Places::default();
        places.limit(LimitKind::Share, 1);
        places.limit_clients(ClientKey::Address, 5);
        let (none, here) = (HeaderMap::new(), "192.0.2.1:1".parse().ok());
        let first = places.enter(here, &none).unwrap();
        let refused = places.enter("192.0.2.2:1".parse().ok(), &none).unwrap_err();
        assert_eq!(refused.status(), 503);
        assert_eq!(places.per_client().unwrap().clients(), 1);
        drop(first);
        assert_eq!(places.per_client().unwrap().clients(), 0);
        let stats = places.limit_stats().unwrap();
        assert_eq!((stats.inside, stats.max, stats.refused), (0, 1, 1));
    }
}
