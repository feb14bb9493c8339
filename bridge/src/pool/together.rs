//! A worker's turn with a [line](super::line): takes calls, runs them together, tells each its outcome.

use super::awaited::Awaited;
use super::batch::Batch;
use super::breaker::{Ended, Episode};
use super::core::Core;
use super::line::Line;
use super::member::Member;
use super::outing::{Guided, Outing};
use super::serve::{CallerSpan, Clock, Outcome, Served, count, serve_guarded};
use super::worker::Worker;
use crate::call::Posts;
use crate::error::CallError;
use crate::inbox::chain::Pushed;
use crate::quiet::drop_quietly;
use std::sync::Arc;
use std::time::Instant;

/// The calls of a batch, beside what the foreign code sees of them.
struct Party<S, I, T> {
    batch: Batch<I, T>,
    /// In the same order.
    members: Vec<Taken<S, I, T>>,
}

/// A call, and when it was taken.
type Taken<S, I, T> = (Arc<Member<S, I, T>>, Instant);

/// The worker has taken the line's token.
pub(super) fn run<S, I, T>(line: &Arc<Line<S, I, T>>, core: &Core, worker: &mut Worker)
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    let Some(turn) = line.begin(worker.index()) else {
        return;
    };
    let outing = Arc::new(Outing::new());
    let started = worker.now();
    if let Some(mut party) = first(line, &outing, worker, started) {
        let episode = core.breaker.episode();
        let guide = Guided {
            bound: &line.bound,
            outing: &outing,
        };
        let served = serve_guarded(
            &CallerSpan::none(),
            &line.bound,
            worker,
            (started, Clock::Read),
            &guide,
            |session| {
                // Now that there is a session: what has come while it was opened goes with it.
                fill(line, &outing, &mut party);
                (line.work)(session, &mut party.batch);
            },
        );
        let (calls, most) = (party.members.len(), line.limits.calls);
        worker.batch_ended(&line.bound, [started, served.1], calls, most);
        party.end(served, episode, core, worker);
    }
    turn.end(worker.comes_right_back(core));
}

/// The oldest call that is worth running.
fn first<S, I, T>(
    line: &Arc<Line<S, I, T>>,
    outing: &Arc<Outing>,
    worker: &mut Worker,
    now: Instant,
) -> Option<Party<S, I, T>>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    loop {
        let member = line.take(1).pop()?;
        worker.begins_stoppable(&line.bound, outing, member.tag, now);
        match member.board(now, outing, &mut worker.posts) {
            Some(call) => {
                return Some(Party {
                    batch: Batch::of(call),
                    members: vec![(member, now)],
                });
            }
            None => drop_quietly(member),
        }
    }
}

/// Takes all further calls that wait, as far as they may go together.
fn fill<S, I, T>(line: &Arc<Line<S, I, T>>, outing: &Arc<Outing>, party: &mut Party<S, I, T>)
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    let (now, mut posts) = (Instant::now(), Posts::default());
    while party.members.len() < line.limits.calls {
        let taken = line.take(line.limits.calls - party.members.len());
        if taken.is_empty() {
            break;
        }
        for member in taken {
            match member.board(now, outing, &mut posts) {
                Some(call) => {
                    party.batch.add(call);
                    party.members.push((member, now));
                }
                None => drop_quietly(member),
            }
        }
    }
    line.pass_on();
    if outing.was_left() {
        line.interrupt(Arc::clone(outing));
    }
}

impl<S, I, T> Party<S, I, T>
where
    S: 'static,
    I: Send + 'static,
    T: Send + 'static,
{
    /// Tells each caller how its call ended, and the breaker what that says of the backend.
    fn end(
        self,
        (result, ended, verdict): Served<()>,
        episode: Episode,
        core: &Core,
        worker: &mut Worker,
    ) {
        let mut unsaid = Unsaid::of(result);
        let mut found = Pushed::Quiet;
        let calls = self.batch.into_calls().into_iter().zip(self.members);
        for (call, (member, started)) in calls {
            let (outcome, said) = (call.outcome, call.said);
            // What the call took along goes before anybody learns of its outcome.
            drop_quietly((call.input, call.context, call.span));
            let of_end = match outcome {
                Some(_) => verdict,
                None => unsaid.verdict(verdict),
            };
            count(core, worker, episode, said.or(of_end));
            let result = outcome.ok_or_else(|| Box::new(unsaid.next(core)));
            let pushed = member.finish(result, started, ended, &mut worker.posts);
            if pushed == Some(Pushed::WakeOwed) {
                found = Pushed::WakeOwed;
            }
        }
        // Telling many takes its time, and so does dropping what came too late.
        worker.forget_the_time();
        worker.sent(found);
    }
}

/// How calls end of which the foreign code has said nothing.
enum Unsaid {
    /// It has returned all the same.
    Forgotten,
    /// As the first one of them does.
    As(CallError),
    /// It has panicked, and one call was told.
    Panicked(String),
}

impl Unsaid {
    fn of(result: Outcome<()>) -> Self {
        match result {
            Ok(()) => Self::Forgotten,
            Err(error) => Self::As(*error),
        }
    }

    /// What such an end says of the backend, if the batch as a whole says `verdict`.
    fn verdict(&self, verdict: Option<Ended>) -> Option<Ended> {
        match self {
            Self::Forgotten => Some(Ended::NoMatter),
            Self::As(_) | Self::Panicked(_) => verdict,
        }
    }

    fn next(&mut self, core: &Core) -> CallError {
        let next = match self {
            Self::Forgotten => return CallError::Abandoned,
            Self::As(CallError::Panicked { message }) => Self::Panicked(message.clone()),
            // Only a batch of one ends in any other way.
            Self::As(_) => Self::Forgotten,
            Self::Panicked(message) => {
                // The panic itself was counted for the first.
                core.counters.panicked.add();
                return CallError::Panicked {
                    message: message.clone(),
                };
            }
        };
        match std::mem::replace(self, next) {
            Self::As(error) => error,
            Self::Forgotten | Self::Panicked(_) => CallError::Abandoned,
        }
    }
}
