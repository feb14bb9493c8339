//! `/livez`: whether the loops turn.
//!
//! Each loop is sent a message and has to answer it in time. A loop that does not is held up by code
//! that blocks its thread; it would be sent more and more, so it gets the next message only when it
//! has taken the last one. The answer wakes everybody who waits for it.

use super::answer;
use super::state::{Phase, State};
use http::StatusCode;
use pontoon_adapters::Response;
use pontoon_bridge::{Call, CallError, Completer, LoopHandle, call};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How long a loop may take to answer. Shorter than the second after which most probes give up, so
/// that they read which loop it is.
const LIMIT: Duration = Duration::from_millis(800);

/// The page.
#[derive(Debug)]
pub(super) struct Livez {
    state: Arc<State>,
    knocks: OnceLock<Vec<Arc<Knock>>>,
}

impl Livez {
    pub(super) fn new(state: &Arc<State>) -> Self {
        Self {
            state: Arc::clone(state),
            knocks: OnceLock::new(),
        }
    }

    pub(super) async fn page(&self) -> Response {
        let until = Instant::now() + LIMIT;
        let calls: Vec<_> = self
            .knocks()
            .iter()
            .map(|knock| knock.call(until))
            .collect();
        let loops = calls.len();
        let mut reasons = Vec::new();
        for (index, call) in calls.into_iter().enumerate() {
            let reason = match call.await {
                Ok(()) => continue,
                Err(CallError::DeadlineExceeded { .. }) => hangs(index),
                // A loop that has drained ends, as it should.
                Err(_) if self.state.phase() == Phase::Draining => continue,
                Err(_) => ended(index),
            };
            reasons.push(reason);
        }
        if reasons.is_empty() {
            return answer(StatusCode::OK, &json!({ "live": true, "loops": loops }));
        }
        let document = json!({ "live": false, "loops": loops, "reasons": reasons });
        answer(StatusCode::SERVICE_UNAVAILABLE, &document)
    }

    fn knocks(&self) -> &[Arc<Knock>] {
        let Some(overview) = self.state.overview() else {
            // Still starting, which is a way to live.
            return &[];
        };
        let knocks = || overview.loops().into_iter().map(Knock::new).collect();
        self.knocks.get_or_init(knocks)
    }
}

fn hangs(index: usize) -> Value {
    let limit = LIMIT.as_millis();
    json!({
        "code": "loop_hangs",
        "loop": index,
        "detail": format!(
            "the thread pontoon-loop-{index} has not answered for {limit} ms: a callback adapter or a \
             handler blocks it"
        ),
    })
}

fn ended(index: usize) -> Value {
    json!({
        "code": "loop_ended",
        "loop": index,
        "detail": format!("the thread pontoon-loop-{index} has ended; see the log for its panic"),
    })
}

/// A loop, and who waits for its answer.
#[derive(Debug)]
struct Knock {
    to: LoopHandle,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// A message is on its way to the loop.
    is_posted: bool,
    /// As many as there are requests for the page: who has given up is removed by the next.
    callers: Vec<Completer<()>>,
}

impl Knock {
    fn new(to: LoopHandle) -> Arc<Self> {
        Arc::new(Self {
            to,
            waiting: Mutex::default(),
        })
    }

    /// Ends when the loop has answered; as abandoned when the loop has ended.
    fn call(self: &Arc<Self>, until: Instant) -> Call<()> {
        let (call, caller) = call();
        let is_posted = {
            let mut waiting = self.lock();
            waiting.callers.retain(|caller| !caller.is_cancelled());
            waiting.callers.push(caller);
            std::mem::replace(&mut waiting.is_posted, true)
        };
        if !is_posted {
            let message = Message(Some(Arc::clone(self)));
            // A loop that is gone drops it, which is an answer too.
            let _ = self.to.post(move || message.answer());
        }
        call.deadline_at(until)
    }

    fn take(&self) -> Vec<Completer<()>> {
        let mut waiting = self.lock();
        waiting.is_posted = false;
        std::mem::take(&mut waiting.callers)
    }

    /// The lock is held for a few instructions; nothing is woken under it.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What travels to the loop; nothing is left of it once it is answered.
struct Message(Option<Arc<Knock>>);

impl Message {
    fn answer(mut self) {
        for caller in self.0.take().iter().flat_map(|knock| knock.take()) {
            caller.complete(());
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // It was not answered: the loop has ended, and so the callers are dropped.
        if let Some(knock) = self.0.take() {
            drop(knock.take());
        }
    }
}
