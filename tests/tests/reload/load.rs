//! Reloads under load: no request fails, and nothing is left at the end.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use pontoon::Server;
use pontoon_tests::client::Connection;
use pontoon_tests::fixture::Fixture;

use crate::{alone, config, usage_before, wait_for_usage};

/// How long the server is reloaded, and how often.
const TIME: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);

/// One of two configs: what differs is the pool, an adapter's settings, and only the server's.
fn version(odd: bool) -> Server {
    let (threads, answer) = if odd { (3, 2) } else { (2, 1) };
    config(&format!(
        "shutdown_timeout = '5s'\nkeep_alive = '{answer}0s'\n\
         [pool.changes]\nthreads = {threads}\ncodel_target = 'off'\n\
         [pool.stays]\nthreads = 2\ncodel_target = 'off'\n\
         [[location]]\npath = '/new-pool'\nadapter = 'sleep'\npool = 'changes'\nduration = '1ms'\n\
         [[location]]\npath = '/new-adapter'\nadapter = 'sleep'\npool = 'stays'\nduration = '{answer}ms'\n\
         [[location]]\npath = '/same'\nadapter = 'sleep'\npool = 'stays'\nduration = '1ms'\ndeadline = '{answer}0s'\n\
         [[location]]\npath = '/callback'\nadapter = 'callback'\nmax_running = {answer}00\n"
    ))
}

const PATHS: [&str; 4] = ["/new-pool", "/new-adapter", "/same", "/callback"];

fn ask(client: &mut Connection, path: &str) {
    client.send_request("GET", path, &[], b"");
    let response = client.read_response("GET");
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    assert!(!response.closes(), "{path}: the connection stays");
}

#[test]
fn no_request_fails_while_the_server_is_reloaded_ten_times_a_second() {
    let _alone = alone();
    let before = usage_before();
    let server = Fixture::start(version(false));
    let address = server.address();
    let is_over = AtomicBool::new(false);
    let (mut reloads, mut answered) = (0, 0);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|number| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let mut client = Connection::open(address);
                    let mut answered = 0;
                    // SeqCst: a test's own flag.
                    while !is_over.load(SeqCst) {
                        // Half of them stay, half come anew.
                        if number % 2 == 0 {
                            client = Connection::open(address);
                        }
                        ask(&mut client, PATHS[answered % PATHS.len()]);
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        let until = Instant::now() + TIME;
        while Instant::now() < until {
            reloads += 1;
            let report = server.running().reload(version(reloads % 2 == 1));
            let report = report.unwrap_or_else(|error| panic!("not reloaded: {error}"));
            assert_eq!(report.pools_started, ["changes"]);
            assert_eq!((report.locations_kept, report.locations_new), (2, 2));
            // The pace of what is tested.
            thread::sleep(PAUSE);
        }
        is_over.store(true, SeqCst);
        answered = clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .sum();
    });
    assert!(reloads > 10 && answered > reloads, "{reloads} {answered}");
    let report = server.stop();
    assert_eq!((report.connections_cut, report.stuck.len()), (0, 0));
    wait_for_usage(before);
}
