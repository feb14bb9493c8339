//! A request and its answer, alone and in a crowd.

use pontoon_tests::process::allow_descriptors;
use serde_json::json;

use crate::rig::{JSON, Rig};
use crate::subject::Subject;

pub(crate) fn a_request_has_its_answer<S: Subject>() {
    let Some(rig) = Rig::<S>::new() else { return };
    rig.echoes("hello");
    let mut client = rig.server.connect();
    for number in 0..20 {
        let value = format!("number {number}");
        let body = json!({ "value": value }).to_string();
        client.send_request("POST", "/store", JSON, body.as_bytes());
        let answer = client.read_response("POST");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(rig.subject.value_of(&answer), value);
    }
    rig.did_not_panic();
}

pub(crate) fn a_thousand_calls_at_once_share_a_few_sessions<S: Subject>() {
    const CALLS: usize = 1000;
    // Each has two ends here.
    allow_descriptors(2 * CALLS + 500);
    let Some(rig) = Rig::<S>::new() else { return };
    let value = |number: usize| format!("call {number}");
    let mut clients: Vec<_> = (0..CALLS).map(|_| rig.server.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let body = json!({ "value": value(number) }).to_string();
        client.send_request("POST", "/echo", JSON, body.as_bytes());
    }
    for (number, client) in clients.iter_mut().enumerate() {
        if number % 250 == 0 {
            let sessions = rig.subject.sessions();
            assert!(sessions <= S::SESSIONS_MAX, "{sessions} sessions");
        }
        let answer = client.read_response("POST");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(rig.subject.value_of(&answer), value(number));
    }
    let sessions = rig.subject.sessions();
    assert!(
        (1..=S::SESSIONS_MAX).contains(&sessions),
        "{sessions} sessions"
    );
    rig.did_not_panic();
}
