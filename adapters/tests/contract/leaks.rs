//! Nothing grows with the number of calls or of sessions.

use std::thread;

use pontoon_tests::client::Connection;
use pontoon_tests::eventually;
use pontoon_tests::process::{descriptors, report, resident_bytes, threads};
use serde_json::json;

use crate::rig::{JSON, Rig, THREADS};
use crate::subject::Subject;

const CLIENTS: usize = 16;

/// Between two rounds an adapter without a pool connects anew.
const ROUNDS: usize = 100;

/// Of each client, in each round.
const CALLS_EACH: usize = 7;

/// More than ten thousand.
const CALLS: usize = ROUNDS * CLIENTS * CALLS_EACH;

/// Calls of one session. With a pool it is replaced after so many, so there are more than a hundred.
const USES: usize = 100;

/// What is sent: large enough for a leak of it to be seen.
const VALUE_BYTES: usize = 4 * 1024;

/// Less than half of what is sent in all.
const GROWTH_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(crate) fn ten_thousand_calls_and_a_hundred_reconnects_leave_nothing_behind<S: Subject>() {
    let keys = format!("threads = {THREADS}\nsession_max_uses = {USES}");
    let Some(rig) = Rig::<S>::alone(&keys) else {
        return;
    };
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| rig.server.connect()).collect();
    drive(&rig, &mut clients, 10 * CALLS_EACH);
    let usage = || (descriptors(), threads());
    let opened = || {
        let pool = rig.server.running().pool_stats("p");
        pool.map_or(0, |stats| stats.sessions_opened)
    };
    let (before, bytes_before, opened_before) = (usage(), resident_bytes(), opened());

    for _ in 0..ROUNDS {
        drive(&rig, &mut clients, CALLS_EACH);
        if !S::HAS_POOL {
            rig.subject.cut_sessions();
            rig.recovers();
        }
    }

    if S::HAS_POOL {
        let reconnects = opened() - opened_before;
        assert!(reconnects >= 100, "only {reconnects} reconnects");
    }
    // What sessions use, of which there may be more now, but not what sessions have used.
    eventually("descriptors and threads have not grown", || {
        let now = usage();
        now.0 <= before.0 + S::SESSIONS_MAX && now.1 <= before.1 + S::SESSIONS_MAX
    });
    eventually("no session is left over", || {
        rig.subject.sessions() <= S::SESSIONS_MAX
    });
    let growth = resident_bytes().saturating_sub(bytes_before);
    report(&format!("{CALLS} calls: {} KiB more in RAM", growth / 1024));
    assert!(growth <= GROWTH_BYTES_MAX, "{growth} bytes more in RAM");
    rig.did_not_panic();

    let Rig {
        server, subject, ..
    } = rig;
    assert!(server.stop().stuck.is_empty());
    eventually("a server that has stopped has no sessions", || {
        subject.sessions() == 0
    });
}

/// Each client makes so many calls, all of them at once.
fn drive<S: Subject>(rig: &Rig<S>, clients: &mut [Connection], each: usize) {
    thread::scope(|scope| {
        for (driver, clients) in clients.chunks_mut(CLIENTS / 2).enumerate() {
            scope.spawn(move || {
                for round in 0..each {
                    call_each(rig, clients, &format!("{driver} {round} "));
                }
            });
        }
    });
}

fn call_each<S: Subject>(rig: &Rig<S>, clients: &mut [Connection], name: &str) {
    let value = name.repeat(VALUE_BYTES / name.len());
    let body = json!({ "value": value }).to_string();
    for client in clients.iter_mut() {
        client.send_request("POST", "/echo", JSON, body.as_bytes());
    }
    for client in clients.iter_mut() {
        let answer = client.read_response("POST");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(rig.subject.value_of(&answer), value);
    }
}
