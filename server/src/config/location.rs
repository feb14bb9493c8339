//! `[[location]]`: its own keys, and the keys of its adapter in the same table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use http::Method;
use pontoon_adapters::mount::Mounted;
use pontoon_adapters::registry::{AdapterSpec, Kind, Registry};
use pontoon_adapters::settings::{Diagnostic, Fingerprint, Settings, did_you_mean, nearest};

use super::clients::{self, Clients};
use super::limits::{count, duration, size_within};
use super::path::Paths;
use super::share::share;
use super::{keys, methods};
use crate::{ClientKey, Share};

/// A path with an adapter on it.
pub struct LocationConfig {
    /// The path, in the router's syntax. No two locations answer the same requests.
    pub path: String,
    /// The methods to answer; `None` answers all.
    pub methods: Option<Vec<Method>>,
    /// The name of the adapter.
    pub adapter: &'static str,
    /// How the adapter runs its library.
    pub kind: Kind,
    /// The pool that runs the calls: there for blocking adapters, and only for them.
    pub pool: Option<String>,
    /// How long a call may take, queueing included.
    pub deadline: Duration,
    /// Whether clients may ask for an earlier deadline.
    pub client_deadline: bool,
    /// How long a response's body may take that is produced while it is sent.
    pub stream_timeout: Duration,
    /// The largest request body.
    pub max_body_bytes: usize,
    /// Whether responses carry `Server-Timing`.
    pub server_timing: bool,
    /// Calls that run at once: there for adapters without a pool, and only for them.
    pub max_running: Option<usize>,
    /// What the location says at the adapter's own keys. A reload keeps the adapter of a location, and
    /// with it its sessions, while this and the adapter's name stay.
    pub settings: Fingerprint,
    /// How much of the pool the calls may take; `None` is all.
    pub share: Option<Share>,
    /// Calls that one client may have running or waiting; `None` is any number.
    pub max_per_client: Option<usize>,
    /// By what clients are told apart.
    pub client_key: ClientKey,
    /// The adapter, made and not yet started.
    pub mounted: Mounted,
}

impl fmt::Debug for LocationConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocationConfig")
            .field("path", &self.path)
            .field("methods", &self.methods)
            .field("adapter", &self.adapter)
            .field("pool", &self.pool)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// What locations are read against.
pub(super) struct Surroundings<'a> {
    pub(super) registry: &'a Registry,
    pub(super) pools: Vec<&'a str>,
    pub(super) pools_in_use: BTreeSet<String>,
    /// How many calls may be in each pool that is right.
    pub(super) pool_places: BTreeMap<&'a str, usize>,
    pub(super) paths: Paths,
    /// Whether clients come through a Unix socket, and so without an address.
    pub(super) on_unix_socket: bool,
    /// `None` where the server's own value is wrong.
    pub(super) max_body_bytes: Option<usize>,
}

/// Reads all keys, whatever is wrong with some of them.
pub(super) fn read(
    settings: &mut Settings<'_>,
    around: &mut Surroundings<'_>,
) -> Option<LocationConfig> {
    let methods = methods::read(settings);
    let path = around.paths.read(settings, &methods);
    let deadline = duration(settings, "deadline", keys::TIMEOUT);
    let client_deadline = settings.boolean_or_default("client_deadline");
    let stream_timeout = duration(settings, "stream_timeout", keys::TIMEOUT);
    let max_body_bytes = max_body(settings, around.max_body_bytes);
    let server_timing = settings.boolean_or_default("server_timing");
    let clients = clients::read(settings, around.on_unix_socket);
    let spec = adapter(settings, around.registry);
    let Some(spec) = spec else {
        // Which keys are right depends on the adapter: only clear slips can be told.
        note_pool(settings, around);
        let foreign: Vec<_> = around.registry.iter().flat_map(|spec| spec.keys).collect();
        let foreign: Vec<_> = foreign.into_iter().map(|key| key.name).collect();
        settings.reject_misspelt_keys(&foreign);
        return None;
    };
    let kind = spec.kind_in(settings);
    let pool = pool(settings, around, spec, kind);
    let max_running = max_running(settings, kind);
    let share = share(settings, kind, pool.as_ref(), &around.pool_places);
    settings.allow(spec.keys);
    settings.reject_unknown_keys();
    let mounted = build(settings, spec);
    let Clients {
        key: client_key,
        max: max_per_client,
    } = clients?;
    Some(LocationConfig {
        path: path?,
        methods: methods?,
        adapter: spec.name,
        kind,
        pool: pool?,
        deadline: deadline?,
        client_deadline: client_deadline?,
        stream_timeout: stream_timeout?,
        max_body_bytes: max_body_bytes?,
        server_timing: server_timing?,
        max_running: max_running?,
        settings: settings.fingerprint(spec.keys),
        share: share?,
        max_per_client,
        client_key,
        mounted: mounted?,
    })
}

fn max_body(settings: &mut Settings<'_>, server_bytes: Option<usize>) -> Option<usize> {
    if !settings.contains("max_body") {
        return server_bytes;
    }
    let bytes = settings.size_bytes("max_body")?;
    size_within(settings, "max_body", bytes, keys::MAX_BODY)
}

fn adapter<'a>(settings: &mut Settings<'_>, registry: &'a Registry) -> Option<&'a AdapterSpec> {
    let name = settings.required_string("adapter")?;
    let spec = registry.get(&name);
    if spec.is_none() {
        settings.report("adapter", unknown_adapter(&name, registry));
    }
    spec
}

/// Why there is no such adapter, for the config file and for `pontoon adapters NAME`.
pub(crate) fn unknown_adapter(name: &str, registry: &Registry) -> Diagnostic {
    let needs_build = |name: &str, feature: &str| {
        format!("adapter `{name}` needs a build with `--features {feature}`")
    };
    if let Some(feature) = registry.feature_of(name) {
        return Diagnostic::error(needs_build(name, feature))
            .help("`pontoon adapters` lists what this build has");
    }
    let compiled: Vec<_> = registry.iter().map(|spec| spec.name).collect();
    let missing: Vec<_> = registry.not_compiled().map(|(name, _)| name).collect();
    let all = [compiled.as_slice(), missing.as_slice()].concat();
    let meant = nearest(name, &all);
    let help = match meant.and_then(|meant| Some((meant, registry.feature_of(meant)?))) {
        Some((meant, feature)) => {
            format!("did you mean `{meant}`? {}", needs_build(meant, feature))
        }
        None if meant.is_some() => did_you_mean(name, &all, "adapters"),
        None => did_you_mean(name, &compiled, "adapters"),
    };
    Diagnostic::error(format!("unknown adapter `{name}`")).help(help)
}

/// The pool, as the adapter's kind wants it; the outer `None` is a recorded error.
fn pool(
    settings: &mut Settings<'_>,
    around: &mut Surroundings<'_>,
    spec: &AdapterSpec,
    kind: Kind,
) -> Option<Option<String>> {
    if !settings.contains("pool") {
        if !kind.needs_pool() {
            return Some(None);
        }
        settings.report_table(missing_pool(spec, &around.pools));
        return None;
    }
    let name = note_pool(settings, around)?;
    if !kind.needs_pool() {
        let error = format!(
            "adapter `{}` takes no pool: it does not block a thread",
            spec.name
        );
        let help = "remove the `pool` key; `max_running` bounds the calls of this location";
        settings.report("pool", Diagnostic::error(error).help(help));
        return None;
    }
    Some(Some(name))
}

fn missing_pool(spec: &AdapterSpec, pools: &[&str]) -> Diagnostic {
    let error = format!(
        "missing key `pool`: adapter `{}` blocks a thread",
        spec.name
    );
    let help = match pools.first() {
        Some(pool) => {
            format!("name the [pool.NAME] that runs the calls, as in `pool = \"{pool}\"`")
        }
        None => "add a table `[pool.main]` and `pool = \"main\"` here".to_owned(),
    };
    let without = spec.modes.iter().find(|(_, kind)| !kind.needs_pool());
    let help = match without {
        Some((mode, _)) => format!("{help}; or write `mode = \"{mode}\"`, which needs none"),
        None => help,
    };
    Diagnostic::error(error).help(help)
}

/// The name of a pool that exists, which is in use from now on.
fn note_pool(settings: &mut Settings<'_>, around: &mut Surroundings<'_>) -> Option<String> {
    let name = settings.string("pool")?;
    if !around.pools.contains(&name.as_str()) {
        let help = if around.pools.is_empty() {
            format!("add a table `[pool.{name}]`")
        } else {
            did_you_mean(&name, &around.pools, "pools")
        };
        settings.report(
            "pool",
            Diagnostic::error(format!("unknown pool `{name}`")).help(help),
        );
        return None;
    }
    around.pools_in_use.insert(name.clone());
    Some(name)
}

/// The limit, as the adapter's kind wants it; the outer `None` is a recorded error.
fn max_running(settings: &mut Settings<'_>, kind: Kind) -> Option<Option<usize>> {
    if !kind.needs_pool() {
        return count(settings, "max_running", keys::MAX_RUNNING).map(Some);
    }
    if !settings.contains("max_running") {
        return Some(None);
    }
    let error = "`max_running` is for adapters without a pool";
    let help = "remove it; the `threads` of the pool decide how many calls run at once";
    settings.report("max_running", Diagnostic::error(error).help(help));
    None
}

/// Lets the adapter read its keys, and holds it to its part: no key of the location's for itself,
/// no refusal without a reason.
fn build(settings: &mut Settings<'_>, spec: &AdapterSpec) -> Option<Mounted> {
    let own = |key: &&str| keys::LOCATION_KEYS.iter().any(|own| own.name == *key);
    if let Some(key) = spec.keys.iter().map(|key| key.name).find(own) {
        let error = format!(
            "adapter `{}` declares `{key}`, a key of every location",
            spec.name
        );
        settings.report_table(Diagnostic::error(error).help("rename the key in the adapter"));
        return None;
    }
    let errors_before = settings.error_count();
    let mounted = (spec.build)(settings);
    if mounted.is_none() && settings.error_count() == errors_before {
        let error = format!(
            "adapter `{}` refused its settings without a reason",
            spec.name
        );
        let help = "this is a mistake in the adapter: `build` records what is wrong";
        settings.report_table(Diagnostic::error(error).help(help));
    }
    mounted
}
