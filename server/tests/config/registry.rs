//! Adapters for the config tests: one of each kind, and one that this build lacks.

use pontoon_adapters::mount::Mounted;
use pontoon_adapters::registry::{AdapterSpec, Kind, Registry};
use pontoon_adapters::settings::{KeySpec, Settings};
use pontoon_adapters::{
    CallContext, CallbackAdapter, Error, LoopAdapter, Request, Response, ResponseCompleter, echo,
};

const STORE_KEYS: &[KeySpec] = &[
    KeySpec::required("database", "text", "the file to open"),
    KeySpec::required("query", "text", "the SQL to run"),
    KeySpec::with_default(
        "busy_timeout",
        "duration",
        "5s",
        "how long to wait for a lock",
    ),
    KeySpec::with_default("mode", "read or write", "read", "what the SQL may do"),
];

fn build_store(settings: &mut Settings<'_>) -> Option<Mounted> {
    let database = settings.required_string("database");
    let query = settings.required_string("query");
    let busy_timeout = settings.duration_or_default("busy_timeout");
    settings.choice("mode", &["read", "write"]);
    if query.as_ref()?.contains(';') {
        settings.invalid("query", "one statement only");
        return None;
    }
    database
        .and(busy_timeout)
        .map(|_| Mounted::blocking(echo::Echo))
}

/// Calls back at once.
struct Remote;

impl CallbackAdapter for Remote {
    fn submit(&self, _: Request, _: &CallContext, completer: ResponseCompleter) {
        completer.complete(Ok(Response::text("")));
    }
}

/// Answers on the loop.
struct OnLoop;

impl LoopAdapter for OnLoop {
    async fn call(&self, _: Request, _: &CallContext) -> Result<Response, Error> {
        Ok(Response::text(""))
    }
}

/// `store` blocks, `remote` calls back, `echo` runs on the loop, `oracle` is not compiled in.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::empty();
    registry.register(AdapterSpec {
        name: "store",
        kind: Kind::Blocking,
        modes: &[],
        summary: "answers with the rows of a query",
        keys: STORE_KEYS,
        build: build_store,
    });
    registry.register(AdapterSpec {
        name: "remote",
        kind: Kind::Callback,
        modes: &[],
        summary: "asks a library with threads of its own",
        keys: &[],
        build: |_| Some(Mounted::callback(Remote)),
    });
    registry.register(AdapterSpec {
        name: "echo",
        kind: Kind::Loop,
        modes: &[],
        summary: "answers with the request's body",
        keys: &[],
        build: |_| Some(Mounted::on_loop(|| OnLoop)),
    });
    registry.declare_not_compiled("oracle", "oracle");
    registry
}
