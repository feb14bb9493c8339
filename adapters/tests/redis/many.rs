//! Many calls, at once and in a row.

use std::fs;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use pontoon_adapters::redis::Mode;

use super::rig::{MODES, Outcome, Rig, command, get, status, text};
use super::server::Server;
use pontoon_tests::{PATIENCE, eventually};

pub(crate) type Boxed<'f> = Pin<Box<dyn Future<Output = Outcome> + 'f>>;

pub(crate) fn boxed<'f>(call: impl Future<Output = Outcome> + 'f) -> Boxed<'f> {
    Box::pin(call)
}

/// Awaits all of them at once.
pub(crate) async fn all(mut calls: Vec<Boxed<'_>>) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = calls.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (call, outcome) in calls.iter_mut().zip(&mut outcomes) {
            if outcome.is_none()
                && let Poll::Ready(ended) = call.as_mut().poll(context)
            {
                *outcome = Some(ended);
            }
        }
        match outcomes.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    outcomes.into_iter().flatten().collect()
}

#[test]
fn a_thousand_calls_at_once_each_get_their_own_answer() {
    let Some(server) = Server::start() else {
        return;
    };
    for mode in MODES {
        let rig = Rig::with_threads(mode, command(&server, &["ECHO", ":text"]), 4);
        let texts: Vec<String> = (0..1000).map(|number| format!("{number}")).collect();
        let calls = texts.iter().map(|text| {
            let params = [("text", text.as_str())];
            let rig = &rig;
            boxed(async move { rig.begin(get(), &params, PATIENCE).await })
        });
        let outcomes = rig.block_on(all(calls.collect()));
        for (expected, outcome) in texts.iter().zip(outcomes) {
            assert_eq!(text(outcome), format!("\"{expected}\""));
        }
        // The test's own is one of them.
        assert!(server.info("connected_clients") <= 5);
    }
}

#[test]
fn more_than_may_be_in_flight_are_refused() {
    let Some(server) = Server::start() else {
        return;
    };
    let redis = command(&server, &["PING"]).max_in_flight(10);
    let rig = Rig::new(Mode::Loop, redis);
    let calls = (0..30).map(|_| {
        let rig = &rig;
        boxed(async move { rig.begin(get(), &[], PATIENCE).await })
    });
    let statuses: Vec<u16> = rig
        .block_on(all(calls.collect()))
        .into_iter()
        .map(status)
        .collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10);
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 20);
    assert_eq!(rig.text(&[]), r#""PONG""#);
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn nothing_is_left_of_many_calls_and_connections() {
    let Some(server) = Server::start() else {
        return;
    };
    for mode in MODES {
        let rig = Rig::with_threads(mode, command(&server, &["ECHO", ":text"]), 2);
        for _ in 0..100 {
            for _ in 0..100 {
                assert_eq!(rig.text(&[("text", "x")]), r#""x""#);
            }
            server.kill_clients();
            rig.turn();
        }
        drop(rig);
        eventually("all connections are closed", || {
            server.info("connected_clients") == 1
        });
    }
    assert!(descriptors() < 500, "{}", descriptors());
}
