//! What the log says of a breaker: each change of its state once, with the reason.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::{eventually, outcome};
use pontoon_bridge::{BoxError, BreakerState, Pool};
use std::fmt::{Debug, Write};
use std::sync::Mutex;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Metadata, Subscriber};

/// Keeps the lines of the log in a static, as all threads write there.
struct Log;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(format!("{} ", event.metadata().level()));
        event.record(&mut line);
        if line.0.contains("breaker") {
            LINES.lock().unwrap().push(line.0);
            panic!("a subscriber that panics costs nothing");
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[test]
fn each_change_of_state_is_logged_once_with_its_reason() {
    tracing::subscriber::set_global_default(Log).unwrap();
    let pool = Pool::named("db")
        .threads(2)
        .session(|| Ok::<_, BoxError>(7));
    let pool = pool.build().unwrap();
    for _ in 0..20 {
        let call = pool.call_with(|session, _| session.backend_failed());
        outcome(call.submit()).unwrap();
    }
    for _ in 0..20 {
        outcome(pool.call(|_| ()).submit()).unwrap_err();
    }
    eventually("it closes", || {
        let _ = outcome(pool.call(|_| ()).submit());
        pool.stats().breaker == BreakerState::Closed
    });
    let lines = LINES.lock().unwrap();
    let expected = [
        ("WARN", "20 of 20 calls in 10 s failed"),
        ("INFO", "half open"),
        ("INFO", "closes"),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (level, text)) in lines.iter().zip(expected) {
        assert!(line.starts_with(level) && line.contains(text), "{line}");
        assert!(line.contains("pool=\"db\""), "{line}");
    }
}
