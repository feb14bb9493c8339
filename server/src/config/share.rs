//! How much of its pool a location may take.

use std::collections::BTreeMap;

use pontoon_adapters::registry::Kind;
use pontoon_adapters::settings::{CountOrPercent, Diagnostic, Settings};

use super::keys;
use crate::Share;

/// The share, as the adapter's kind and the pool want it; the outer `None` is a recorded error.
/// `pool` is the location's, `None` where that is wrong.
pub(super) fn share(
    settings: &mut Settings<'_>,
    kind: Kind,
    pool: Option<&Option<String>>,
    pool_places: &BTreeMap<&str, usize>,
) -> Option<Option<Share>> {
    if !settings.contains("share") {
        return Some(None);
    }
    if !kind.needs_pool() {
        let error = "`share` is for adapters with a pool";
        let help = "remove it; `max_running` bounds the calls of this location";
        settings.report("share", Diagnostic::error(error).help(help));
        return None;
    }
    let calls = match settings.count_or_percent("share", keys::SHARE)? {
        CountOrPercent::Percent(percent) => return Some(Some(Share::Percent(percent))),
        CountOrPercent::Count(calls) => usize::try_from(calls).ok()?,
    };
    let pool = pool.and_then(Option::as_deref).unwrap_or_default();
    if let Some(places) = pool_places.get(pool).filter(|places| **places < calls) {
        let error = format!("`share` is {calls}, and the whole pool `{pool}` has {places} places");
        let help = "a pool has `threads` and `max_queue` together; for a part of it write \"50%\"";
        settings.report("share", Diagnostic::error(error).help(help));
        return None;
    }
    Some(Some(Share::Calls(calls)))
}
