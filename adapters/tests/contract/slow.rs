//! The backend takes its time: who waits is answered on time, and what nobody waits for ends in the backend.

use std::time::{Duration, Instant};

use pontoon_tests::client::Response;
use pontoon_tests::eventually;
use serde_json::json;

use crate::rig::{JSON, Rig, on_time};
use crate::subject::Subject;

pub(crate) fn at_its_deadline_a_call_is_answered_and_its_work_ends<S: Subject>() {
    let Some(rig) = Rig::<S>::for_slow_calls() else {
        return;
    };
    // The work must be seen before the deadline, which a busy machine may need more time for.
    let was_seen = [1, 4, 16].into_iter().any(|seconds| {
        let deadline = Duration::from_secs(seconds);
        let began = Instant::now();
        let mut client = rig.begin_slow(&format!("/slow/{seconds}"), &[]);
        let mut was_seen = false;
        while !was_seen && began.elapsed() < deadline {
            was_seen = rig.subject.is_at_work();
        }
        let answer = client.read_response("POST");
        let took = began.elapsed();
        tells_of_deadline(&answer);
        assert!(took >= deadline, "{took:?} is too early");
        on_time(deadline.saturating_sub(took), || answer);
        rig.wait_idle();
        rig.echoes("and the next one is unharmed");
        was_seen
    });
    assert!(was_seen, "the backend was never seen at work");
    rig.did_not_panic();
}

pub(crate) fn a_call_whose_client_left_ends_in_the_backend<S: Subject>() {
    let Some(rig) = Rig::<S>::for_slow_calls() else {
        return;
    };
    for _ in 0..3 {
        let client = rig.begin_slow("/slow", &[]);
        rig.wait_at_work();
        drop(client);
        rig.wait_idle();
        rig.echoes("and the next one is unharmed");
    }
    rig.did_not_panic();
}

/// One worker, so that the next call comes right behind the one that is cancelled.
pub(crate) fn a_late_cancel_never_hits_the_next_call<S: Subject>() {
    let rig = Rig::<S>::with("threads = 1").filter(|rig| rig.subject.slow().is_some());
    let Some(rig) = rig else { return };
    for round in 0..30 {
        let mut slow = rig.begin_slow("/slow", &[("X-Request-Timeout", "0.05")]);
        let value = format!("round {round}");
        let mut next = rig.server.connect();
        let body = json!({ "value": value }).to_string();
        next.send_request("POST", "/echo", JSON, body.as_bytes());
        let answer = next.read_response("POST");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(rig.subject.value_of(&answer), value);
        tells_of_deadline(&slow.read_response("POST"));
    }
    rig.wait_idle();
    rig.did_not_panic();
}

pub(crate) fn a_backend_that_hangs_costs_nobody_more_than_the_deadline<S: Subject>() {
    let Some(rig) = Rig::<S>::new() else { return };
    rig.echoes("before");
    rig.subject.pause();
    for _ in 0..3 {
        let ask = || rig.post("/echo/1", "anybody there?");
        let answer = on_time(Duration::from_secs(1), ask);
        let is_told = matches!(answer.status, 502..=504);
        assert!(is_told, "{} {}", answer.status, answer.text());
    }
    rig.subject.resume();
    rig.recovers();
    rig.wait_idle();
    eventually(
        "the sessions of calls that were given up are closed",
        || {
            // Those of `/echo` and of `/echo/1`.
            rig.subject.sessions() <= 2 * S::SESSIONS_MAX
        },
    );
    rig.did_not_panic();
}

/// 504, or 503 when the adapter itself ends the call at its deadline, which may be a moment sooner.
fn tells_of_deadline(answer: &Response) {
    let is_told = matches!(answer.status, 503 | 504);
    assert!(is_told, "{} {}", answer.status, answer.text());
}
