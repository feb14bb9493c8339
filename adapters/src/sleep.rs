//! `sleep`: takes time, or CPU, and then answers.
//!
//! It is the model of a slow library: tests, demos and load runs put it behind a pool to see what
//! the pool makes of it. Mounted by the config name `sleep`. It blocks its worker for real, as a
//! library without any way to cancel does; with `interruptible` it stops when it is asked to.

use std::hint;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use pontoon_bridge::Interrupt;

use crate::mount::Mounted;
use crate::params;
use crate::registry::{AdapterSpec, Kind};
use crate::settings::{KeySpec, Settings};
use crate::{Adapter, CallContext, Error, Request, Response};

/// Blocks for a time, burns CPU for a time, then answers with a text.
///
/// ```
/// use std::time::Duration;
///
/// use pontoon_adapters::sleep::Sleep;
///
/// let slow = Sleep::new(Duration::from_millis(20)).max(Duration::from_secs(1));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sleep {
    duration: Duration,
    burn: Duration,
    max: Duration,
    body: Option<String>,
    interruptible: bool,
}

impl Sleep {
    /// Blocks each call for this long.
    pub fn new(duration: Duration) -> Self {
        Self {
            duration,
            ..Self::default()
        }
    }

    /// Uses this much CPU time in each call, after the blocking.
    #[must_use]
    pub fn burn(mut self, burn: Duration) -> Self {
        self.burn = burn;
        self
    }

    /// The longest that a request may ask for with `?ms=`. Zero: it may not ask at all.
    #[must_use]
    pub fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// The text of the answer, instead of the one that says how long it slept.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Whether a call stops blocking once nobody waits for it.
    #[must_use]
    pub fn interruptible(mut self, interruptible: bool) -> Self {
        self.interruptible = interruptible;
        self
    }

    fn from_settings(settings: &mut Settings<'_>) -> Self {
        Self {
            duration: settings.duration("duration").unwrap_or_default(),
            burn: settings.duration("burn").unwrap_or_default(),
            max: settings.duration("max").unwrap_or_default(),
            body: settings.string("body"),
            interruptible: settings.boolean("interruptible").unwrap_or(false),
        }
    }

    fn duration_for(&self, request: &Request) -> Result<Duration, Error> {
        let Some(asked) = params::query_value(request, "ms")? else {
            return Ok(self.duration);
        };
        if self.max.is_zero() {
            let detail = "`ms` is not accepted here: the location sets no `max`";
            return Err(Error::bad_request(detail));
        }
        let asked: u64 = asked.parse().map_err(|_| {
            Error::bad_request("`ms` must be a whole number of milliseconds, such as `?ms=20`")
        })?;
        let asked = Duration::from_millis(asked);
        if asked > self.max {
            let max_ms = self.max.as_millis();
            let detail = format!("`ms` is too large: this location sleeps {max_ms} ms at most");
            return Err(Error::bad_request(detail));
        }
        Ok(asked)
    }

    fn block(&self, alarm: &Alarm, duration: Duration, call: &CallContext) -> Result<(), Error> {
        if !self.interruptible {
            thread::sleep(duration);
            return Ok(());
        }
        if alarm.sleep(duration, call) {
            return Ok(());
        }
        Err(Error::unavailable(
            "the call was stopped: its deadline passed or its client left",
        ))
    }
}

impl Adapter for Sleep {
    type Session = Arc<Alarm>;

    fn open(&self) -> Result<Self::Session, Error> {
        Ok(Arc::default())
    }

    fn call(
        &self,
        alarm: &mut Self::Session,
        request: Request,
        call: &CallContext,
    ) -> Result<Response, Error> {
        let duration = self.duration_for(&request)?;
        self.block(alarm, duration, call)?;
        burn(self.burn)?;
        Ok(Response::text(self.body.clone().unwrap_or_else(|| {
            format!("slept {} ms\n", duration.as_millis())
        })))
    }

    fn interrupter(&self, alarm: &Self::Session) -> Option<Box<dyn Interrupt>> {
        self.interruptible
            .then(|| Box::new(Waker(Arc::clone(alarm))) as Box<dyn Interrupt>)
    }
}

/// What a worker sleeps on, so that another thread can wake it.
#[derive(Debug, Default)]
pub struct Alarm {
    // Guards nothing but the moment between looking at the call and going to sleep.
    asleep: Mutex<()>,
    rung: Condvar,
}

impl Alarm {
    /// Whether it slept to the end. What ends it early is the call's own state, not the ringing:
    /// one that comes late cannot hit the next call.
    fn sleep(&self, duration: Duration, call: &CallContext) -> bool {
        let guard = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .rung
            .wait_timeout_while(guard, duration, |()| !call.is_cancelled());
        waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

struct Waker(Arc<Alarm>);

impl Interrupt for Waker {
    fn interrupt(&self) {
        drop(self.0.asleep.lock().unwrap_or_else(PoisonError::into_inner));
        self.0.rung.notify_all();
    }
}

/// Keeps this thread busy until it has used that much CPU time, however often it is preempted.
fn burn(cpu_time: Duration) -> Result<(), Error> {
    if cpu_time.is_zero() {
        return Ok(());
    }
    let end = cpu_time_used()?.saturating_add(cpu_time);
    while cpu_time_used()? < end {
        for _ in 0..32 {
            hint::spin_loop();
        }
    }
    Ok(())
}

fn cpu_time_used() -> Result<Duration, Error> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map(Duration::from)
        .map_err(|errno| {
            Error::internal("the CPU time of the worker cannot be read").with_source(errno)
        })
}

const KEYS: &[KeySpec] = &[
    KeySpec::with_default("duration", "duration", "0s", "how long each call blocks"),
    KeySpec::with_default(
        "burn",
        "duration",
        "0s",
        "how much CPU time each call uses, after the blocking",
    ),
    KeySpec::with_default(
        "max",
        "duration",
        "0s",
        "the longest that a request may ask for with `?ms=`; 0s: it may not ask",
    ),
    KeySpec::optional("body", "text", "the answer, instead of `slept N ms`"),
    KeySpec::with_default(
        "interruptible",
        "boolean",
        "false",
        "whether a call stops once its client left or its deadline passed",
    ),
];

/// How a config file mounts it.
pub const fn spec() -> AdapterSpec {
    AdapterSpec {
        name: "sleep",
        kind: Kind::Blocking,
        modes: &[],
        summary: "blocks or burns CPU for a time: the model of a slow library",
        keys: KEYS,
        build: |settings| Some(Mounted::blocking(Sleep::from_settings(settings))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::ErrorKind;
    use crate::PathParams;
    use crate::test_support::{PATIENCE, Stoppable, get};

    const MS: Duration = Duration::from_millis(1);

    fn call(sleep: &Sleep, target: &str) -> Result<Response, Error> {
        let mut alarm = sleep.open()?;
        sleep.call(&mut alarm, get(target), &CallContext::detached())
    }

    #[test]
    fn it_blocks_for_its_duration_and_says_so() {
        let start = Instant::now();
        let response = call(&Sleep::new(5 * MS), "/").unwrap();
        assert!(start.elapsed() >= 5 * MS);
        assert_eq!(response.body(), "slept 5 ms\n");
    }

    #[test]
    fn burning_uses_cpu_time_not_only_time() {
        let before = cpu_time_used().unwrap();
        call(&Sleep::default().burn(3 * MS), "/").unwrap();
        assert!(cpu_time_used().unwrap() - before >= 3 * MS);
    }

    #[test]
    fn the_answer_can_be_chosen() {
        let response = call(&Sleep::default().body("pong"), "/").unwrap();
        assert_eq!(response.body(), "pong");
    }

    #[test]
    fn a_request_may_ask_for_less_than_the_cap() {
        let sleep = Sleep::new(PATIENCE).max(10 * MS);
        let response = call(&sleep, "/?ms=2").unwrap();
        assert_eq!(response.body(), "slept 2 ms\n");
    }

    #[test]
    fn a_request_that_asks_for_more_than_the_cap_is_told_the_cap() {
        let sleep = Sleep::default().max(10 * MS);
        let error = call(&sleep, "/?ms=11").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest);
        assert!(error.detail().contains("10 ms at most"), "{error}");
    }

    #[test]
    fn without_a_cap_no_request_may_ask_for_anything() {
        let error = call(&Sleep::default(), "/?ms=0").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest);
        assert!(error.detail().contains("`max`"), "{error}");
    }

    #[test]
    fn what_is_asked_for_must_be_a_number() {
        let error = call(&Sleep::default().max(10 * MS), "/?ms=long").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadRequest);
    }

    #[test]
    fn an_interruptible_call_ends_when_it_is_interrupted() {
        let sleep = Sleep::new(PATIENCE * 10).interruptible(true);
        let mut alarm = sleep.open().unwrap();
        let interrupter = sleep.interrupter(&alarm).unwrap();
        let stoppable = Stoppable::new(None);
        let call = stoppable.call(PathParams::default());
        let start = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                stoppable.stop();
                interrupter.interrupt();
            });
            let error = sleep.call(&mut alarm, get("/"), &call).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unavailable);
        });
        assert!(start.elapsed() < PATIENCE);
    }

    #[test]
    fn an_interrupt_that_comes_late_does_not_hit_the_next_call() {
        let sleep = Sleep::new(5 * MS).interruptible(true);
        let mut alarm = sleep.open().unwrap();
        sleep.interrupter(&alarm).unwrap().interrupt();
        let response = sleep.call(&mut alarm, get("/"), &CallContext::detached());
        assert_eq!(response.unwrap().body(), "slept 5 ms\n");
    }

    #[test]
    fn by_default_nothing_can_interrupt_it() {
        let sleep = Sleep::default();
        assert!(sleep.interrupter(&sleep.open().unwrap()).is_none());
    }

    #[test]
    fn every_key_is_read() {
        let text = r#"
            duration = "20ms"
            burn = "30us"
            max = "2s"
            body = "pong"
            interruptible = true
        "#;
        let read = |settings: &mut Settings<'_>| Some(Sleep::from_settings(settings));
        let sleep = Settings::parse(text, KEYS, read).unwrap();
        assert_eq!(sleep.duration, 20 * MS);
        assert_eq!(sleep.burn, Duration::from_micros(30));
        assert_eq!(sleep.max, Duration::from_secs(2));
        assert_eq!(sleep.body.as_deref(), Some("pong"));
        assert!(sleep.interruptible);
    }
}
