//! The backend goes and comes: clients are told, and nobody has to start the server again.

use std::time::Duration;

use pontoon_tests::client::Response;

use crate::rig::{Rig, is_outage, on_time};
use crate::subject::Subject;

pub(crate) fn a_backend_that_is_down_at_the_start_is_found_when_it_comes<S: Subject>() {
    if !S::IS_SERVER {
        return;
    }
    let Some(rig) = Rig::<S>::without_backend() else {
        return;
    };
    is_told(&rig);
    rig.subject.restart();
    rig.recovers();
    rig.did_not_panic();
}

pub(crate) fn a_call_whose_backend_is_killed_ends_at_once<S: Subject>() {
    if !S::IS_SERVER {
        return;
    }
    let Some(rig) = Rig::<S>::for_slow_calls() else {
        return;
    };
    let mut client = rig.begin_slow("/slow", &[]);
    rig.wait_at_work();
    rig.subject.kill();
    let answer = on_time(Duration::ZERO, || client.read_response("POST"));
    tells_of_outage(&answer);
    is_told(&rig);
    rig.subject.restart();
    rig.recovers();
    rig.wait_idle();
    rig.did_not_panic();
}

pub(crate) fn a_backend_that_went_is_found_again_when_it_is_back<S: Subject>() {
    let Some(rig) = Rig::<S>::new() else { return };
    for round in 0..3 {
        rig.echoes(&format!("round {round}"));
        rig.subject.kill();
        is_told(&rig);
        rig.subject.restart();
        rig.recovers();
    }
    // Also when nobody asked while it was away: the sessions are dead, and nobody knows yet.
    rig.subject.kill();
    rig.subject.restart();
    rig.recovers();
    let sessions = rig.subject.sessions();
    assert!(sessions <= S::SESSIONS_MAX, "{sessions} sessions");
    rig.did_not_panic();
}

/// Everybody who asks is told at once.
fn is_told<S: Subject>(rig: &Rig<S>) {
    for _ in 0..20 {
        let answer = on_time(Duration::ZERO, || rig.post("/echo", "anybody there?"));
        tells_of_outage(&answer);
    }
}

fn tells_of_outage(answer: &Response) {
    assert!(is_outage(answer), "{} {}", answer.status, answer.text());
    // What a backend says is for the log.
    pontoon_tests::problem::problem(answer, answer.status);
}
