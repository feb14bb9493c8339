//! TERM under many connections: whoever had asked is answered, nobody gets half an answer.

use std::io::ErrorKind;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pontoon_tests::client::Connection;
use pontoon_tests::eventually;
use pontoon_tests::process::allow_descriptors;

use super::process::ConfigFile;

const CONNECTIONS: usize = 1000;
const CLIENTS: usize = 10;
/// How long the server may drain; some calls hang for longer.
const LIMIT: Duration = Duration::from_secs(2);

/// Whether the server has closed the connection, or sent something that nobody asked for.
fn has_ended(client: &Connection) -> bool {
    let socket = client.socket();
    socket.set_nonblocking(true).unwrap();
    let peeked = socket.peek(&mut [0]);
    socket.set_nonblocking(false).unwrap();
    match peeked {
        Ok(0) => true,
        Ok(_) => panic!("an answer to nothing"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("not a clean end: {error}"),
    }
}

/// Asks on all connections at once, again and again, until the server has closed each.
fn load(mut clients: Vec<Connection>, answered: &AtomicUsize) {
    while !clients.is_empty() {
        clients.retain(|client| !has_ended(client));
        for client in &mut clients {
            client.send_request("GET", "/quick", &[], b"");
        }
        clients.retain_mut(|client| {
            // Half an answer, or a reset, panics.
            let Some(response) = client.try_read_response("GET") else {
                return false;
            };
            assert_eq!(response.status, 200, "{}", response.text());
            // SeqCst: a test's own count.
            answered.fetch_add(1, SeqCst);
            !response.closes()
        });
    }
}

#[test]
fn term_under_a_thousand_connections_answers_or_closes_each_and_ends_in_time_with_hung_calls() {
    assert!(allow_descriptors(CONNECTIONS + 500) >= CONNECTIONS + 100);
    let file = ConfigFile::new(&format!(
        "listen = '127.0.0.1:0'\nshutdown_timeout = '{}s'\n\
         [pool.quick]\nthreads = 4\nmax_queue = 2000\ncodel_target = 'off'\n[pool.hangs]\nthreads = 2\n\
         [[location]]\npath = '/quick'\nadapter = 'sleep'\npool = 'quick'\n\
         [[location]]\npath = '/hangs'\nadapter = 'sleep'\npool = 'hangs'\nduration = '1h'\ndeadline = '2h'\n",
        LIMIT.as_secs()
    ));
    let server = file.serve_below("true");
    let address = server.listens_on();
    let mut hung: Vec<_> = (0..2).map(|_| Connection::open(address)).collect();
    for client in &mut hung {
        client.send_request("GET", "/hangs", &[], b"");
    }
    let answered = AtomicUsize::new(0);
    let ended = thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let each = CONNECTIONS / CLIENTS;
            let clients = (0..each).map(|_| Connection::open(address)).collect();
            let answered = &answered;
            scope.spawn(move || load(clients, answered));
        }
        eventually("the load is on", || answered.load(SeqCst) > 5 * CONNECTIONS);
        let began = Instant::now();
        server.signal(Signal::SIGTERM);
        let ended = server.wait();
        let took = began.elapsed();
        assert!(took < LIMIT + Duration::from_secs(5), "{took:?}");
        ended
    });
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(
        ended
            .err
            .contains("calls that did not return were left behind")
    );
    for mut client in hung {
        assert_eq!(client.read_to_end(), b"", "no half answer");
    }
}
