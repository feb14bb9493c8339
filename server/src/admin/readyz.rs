//! `/readyz`: whether new requests should come here.

use super::answer;
use super::state::{Phase, State};
use crate::stuck;
use http::StatusCode;
use pontoon_adapters::Response;
use pontoon_bridge::Pool;
use serde_json::{Value, json};

/// The page.
pub(super) fn page(state: &State) -> Response {
    let mut reasons = Vec::new();
    match state.phase() {
        Phase::Starting => reasons.push(json!({
            "code": "starting",
            "detail": "the server does not listen yet",
        })),
        Phase::Draining => reasons.push(json!({
            "code": "draining",
            "detail": "the server stops: it finishes what it has and takes no more connections",
        })),
        Phase::Serving => {}
    }
    if let Some(overview) = state.overview() {
        reasons.extend(overview.pools().iter().filter_map(why_unable));
    }
    if reasons.is_empty() {
        answer(StatusCode::OK, &json!({ "ready": true }))
    } else {
        let document = json!({ "ready": false, "reasons": reasons });
        answer(StatusCode::SERVICE_UNAVAILABLE, &document)
    }
}

/// Why a pool cannot serve, if it cannot. A full queue is none: it means that there is more to do than
/// can be done, and would be no less if nobody came here.
fn why_unable(pool: &Pool) -> Option<Value> {
    let name = pool.name();
    let (code, detail) = if pool.is_shutting_down() {
        let detail = format!("the pool `{name}` was shut down and takes no more calls");
        ("pool_stopped", detail)
    } else {
        let stuck = stuck::all_workers(pool)?;
        let detail =
            format!("the pool `{name}` has no worker left: {stuck} calls hang, see /status");
        ("pool_stuck", detail)
    };
    Some(json!({ "code": code, "pool": name, "detail": detail }))
}
