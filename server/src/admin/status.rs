//! `/status`: what the server does, in numbers. The names of the fields are documented in
//! `docs/admin.md` and stay.

use super::answer;
use super::state::State;
use crate::places::LimitKind;
use crate::site::SharedLocation;
use http::{Method, StatusCode};
use pontoon_adapters::Response;
use pontoon_bridge::{Pool, RunningCall};
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::time::Duration;

/// Calls that are younger come and go faster than anybody reads.
const WORTH_NAMING: Duration = Duration::from_secs(1);
/// Calls named of one pool: the page must not grow with the pool.
const NAMED_CALLS: usize = 100;

/// The page.
pub(super) fn page(state: &State) -> Response {
    let mut document = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "state": state.phase().name(),
        "uptime_seconds": state.uptime().as_secs_f64(),
    });
    if let Some(overview) = state.overview() {
        let (open, max) = overview.connections();
        let pools = overview.pools();
        let pools: Map<_, _> = pools
            .iter()
            .map(|one| (one.name().to_owned(), pool(one)))
            .collect();
        let locations = overview.locations();
        let locations: Vec<_> = locations.iter().map(|one| location(one)).collect();
        document["loops"] = overview.loops().len().into();
        document["connections"] = json!({ "open": open, "max": max });
        document["pools"] = pools.into();
        document["locations"] = locations.into();
    }
    answer(StatusCode::OK, &document)
}

fn pool(pool: &Pool) -> Value {
    let stats = pool.stats();
    json!({
        "threads": stats.threads,
        "limit": stats.limit,
        "capacity": pool.capacity(),
        "idle": stats.idle,
        "running": stats.running,
        "stuck": stats.stuck,
        "max_stuck": stats.max_stuck,
        "running_calls": running_calls(pool),
        "in_flight": stats.in_flight,
        "submitted": stats.submitted,
        "refused": stats.refused,
        "shed": stats.shed,
        "overloaded": stats.is_overloaded,
        "completed": stats.completed,
        "panicked": stats.panicked,
        "expired": stats.expired,
        "cancelled": stats.cancelled,
        "late": stats.late,
        "sessions": stats.sessions,
        "sessions_opened": stats.sessions_opened,
        "sessions_failed": stats.sessions_failed,
        "backend_failed": stats.backend_failed,
        "breaker": stats.breaker.name(),
        "breaker_opened": stats.breaker_opened,
    })
}

/// Those that have run for a while, the oldest first.
fn running_calls(pool: &Pool) -> Vec<Value> {
    let mut calls = pool.running();
    calls.retain(|call| call.age > WORTH_NAMING);
    calls.sort_by_key(|call| Reverse(call.age));
    calls.truncate(NAMED_CALLS);
    let named = |call: &RunningCall| {
        json!({
            "location": call.location.as_deref(),
            "request": call.tag,
            "age_seconds": call.age.as_secs_f64(),
            "thread_id": call.thread_id,
            "stuck": call.is_stuck,
        })
    };
    calls.iter().map(named).collect()
}

fn location(location: &SharedLocation) -> Value {
    let methods = location.methods.as_ref();
    let methods = methods.map(|all| all.iter().map(Method::as_str).collect::<Vec<_>>());
    let pool = location.mounting.pool().map(Pool::name);
    let mut document = json!({ "path": &*location.path, "methods": methods, "pool": pool });
    if let Some(limit) = location.places.limit_stats() {
        let kind = match limit.kind {
            LimitKind::Share => "share",
            LimitKind::Running => "max_running",
        };
        document[kind] = json!({
            "max": limit.max,
            "in_flight": limit.inside,
            "refused": limit.refused,
        });
    }
    if let Some(clients) = location.places.per_client() {
        document["max_per_client"] = json!({
            "max": clients.max(),
            "clients": clients.clients(),
            "refused": clients.refused(),
        });
    }
    document
}
