//! A server with the adapter on it, and what the clauses ask of it.

use std::any::Any;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use pontoon_tests::client::{Connection, Response};
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;
use serde_json::json;

use crate::subject::Subject;

/// Workers of the pool.
pub(crate) const THREADS: usize = 8;

/// Event loops of the server.
pub(crate) const LOOPS: usize = 2;

/// How much later than it should an answer may come, on a busy machine. A call that waited for the backend
/// would take longer.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Longer than any test: what takes so long never ends by itself.
const FOR_EVER_SECONDS: u32 = 600;

const SLOW_PATHS: [(&str, &str); 4] = [
    ("/slow", "20s"),
    ("/slow/1", "1s"),
    ("/slow/4", "4s"),
    ("/slow/16", "16s"),
];

pub(crate) const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

/// Clauses run side by side, but for those that look at the whole process.
static TURN: RwLock<()> = RwLock::new(());

/// Held until the rig is dropped.
type Turn = Box<dyn Any + Sync>;

fn turn() -> Turn {
    Box::new(TURN.read().unwrap_or_else(PoisonError::into_inner))
}

/// The subject and a server with it on `/echo`, `/store` and `/slow`, with a deadline of 20 s, and on `/echo/1`,
/// `/slow/1`, `/slow/4` and `/slow/16`, with a deadline of so many seconds.
///
/// The server goes first, the turn last.
pub(crate) struct Rig<S> {
    pub(crate) server: Fixture,
    pub(crate) subject: S,
    _turn: Turn,
}

impl<S: Subject> Rig<S> {
    /// `None` where the backend is not installed.
    pub(crate) fn new() -> Option<Self> {
        Self::with(&format!("threads = {THREADS}"))
    }

    /// With these keys of the pool.
    pub(crate) fn with(pool_keys: &str) -> Option<Self> {
        let turn = turn();
        Some(Self::around(S::start()?, turn, pool_keys))
    }

    /// Also `None` for an adapter that takes no slow calls.
    pub(crate) fn for_slow_calls() -> Option<Self> {
        Self::new().filter(|rig| rig.subject.slow().is_some())
    }

    /// With nothing else running in this process.
    pub(crate) fn alone(pool_keys: &str) -> Option<Self> {
        let turn = Box::new(TURN.write().unwrap_or_else(PoisonError::into_inner));
        Some(Self::around(S::start()?, turn, pool_keys))
    }

    /// Whose backend is down when the server starts.
    pub(crate) fn without_backend() -> Option<Self> {
        let turn = turn();
        let subject = S::start()?;
        subject.kill();
        Some(Self::around(subject, turn, &format!("threads = {THREADS}")))
    }

    fn around(subject: S, turn: Turn, pool_keys: &str) -> Self {
        let mut text = format!("loops = {LOOPS}\nmax_body = '32MiB'\nshutdown_timeout = '2s'\n");
        if S::HAS_POOL {
            let own_keys = subject.pool_keys();
            // Nobody is turned away: that is for other tests.
            text += &format!(
                "[pool.p]\n{pool_keys}\n{own_keys}\nmax_queue = 2000\ncodel_target = 'off'\n"
            );
        }
        let mut location = |path: &str, deadline: &str, keys: String| {
            let pool = if S::HAS_POOL { "pool = 'p'" } else { "" };
            text += &format!(
                "[[location]]\npath = '{path}'\ndeadline = '{deadline}'\n{pool}\n{keys}\n"
            );
        };
        location("/echo", "20s", subject.echo());
        location("/echo/1", "1s", subject.echo());
        location("/store", "20s", subject.store());
        for (path, deadline) in SLOW_PATHS {
            if let Some(keys) = subject.slow() {
                location(path, deadline, keys);
            }
        }
        Self {
            server: Fixture::from_toml(&text),
            subject,
            _turn: turn,
        }
    }

    /// Sends this value to `path`.
    pub(crate) fn post(&self, path: &str, value: &str) -> Response {
        let body = json!({ "value": value }).to_string();
        self.server.request("POST", path, JSON, body.as_bytes())
    }

    /// Has the backend answer with this value.
    pub(crate) fn echoes(&self, value: &str) {
        let answer = self.post("/echo", value);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(self.subject.value_of(&answer), value);
    }

    /// A call that does not end by itself, on a connection of its own.
    pub(crate) fn begin_slow(&self, path: &str, headers: &[(&str, &str)]) -> Connection {
        let headers = [JSON, headers].concat();
        let body = json!({ "seconds": FOR_EVER_SECONDS }).to_string();
        let mut client = self.server.connect();
        client.send_request("POST", path, &headers, body.as_bytes());
        client
    }

    /// Waits until the backend works on a slow call.
    pub(crate) fn wait_at_work(&self) {
        eventually("the backend is at work", || self.subject.is_at_work());
    }

    /// Waits until the backend has let go of its work, and the adapter of its calls.
    pub(crate) fn wait_idle(&self) {
        eventually("the work in the backend is gone", || {
            !self.subject.is_at_work()
        });
        eventually("no call is inside", || self.in_flight() == 0);
    }

    fn in_flight(&self) -> usize {
        let pool = self.server.running().pool_stats("p");
        pool.map_or(0, |stats| stats.in_flight)
    }

    /// Waits until the backend is reached again, by every session.
    pub(crate) fn recovers(&self) {
        eventually("twenty calls in a row are answered", || {
            (0..20).all(|number| {
                let value = format!("again {number}");
                let answer = self.post("/echo", &value);
                assert!(
                    is_outage(&answer) || answer.status == 200,
                    "{}",
                    answer.text()
                );
                answer.status == 200 && self.subject.value_of(&answer) == value
            })
        });
    }

    /// That no call panicked.
    pub(crate) fn did_not_panic(&self) {
        let pool = self.server.running().pool_stats("p");
        assert_eq!(pool.map_or(0, |stats| stats.panicked), 0);
    }
}

/// Whether an answer says that the backend cannot be had.
pub(crate) fn is_outage(answer: &Response) -> bool {
    matches!(answer.status, 502 | 503)
}

/// What `ask` answers, which must be there within `deadline`, give or take the machine's business.
pub(crate) fn on_time(deadline: Duration, ask: impl FnOnce() -> Response) -> Response {
    let began = Instant::now();
    let answer = ask();
    let took = began.elapsed();
    assert!(took < deadline + GRACE, "{took:?} is too late");
    answer
}
