//! Clients of all kinds at once, by chance: what they leave behind is nothing.

use crate::*;
use pontoon_tests::client::Connection;
use std::io::{Read, Write};
use std::thread;

const CLIENTS: usize = 8;
const ROUNDS: usize = 60;
const BYTES: usize = 1 << 20;

/// One request, which may be left in any way.
fn visit(client: &mut Connection, random: &mut fastrand::Rng) -> bool {
    let target = ["/whole", "/fails", "/panics"][random.usize(..3)];
    match random.u8(..8) {
        0 => {
            client.send_request("HEAD", target, &[], b"");
            client.read_response("HEAD").status == 200
        }
        1 => {
            client.send_request("GET", target, &[], b"");
            false
        }
        2..4 => {
            client.send_request("GET", target, &[], b"");
            let mut some = vec![0; random.usize(1..BYTES)];
            let _ = client.socket().read_exact(&mut some);
            false
        }
        _ if target == "/whole" => {
            client.send_request("GET", target, &[], b"");
            assert!(client.read_response("GET").body == patterned(BYTES));
            true
        }
        _ => {
            client.send_request("GET", target, &[], b"");
            assert!(
                !client.read_to_end().ends_with(b"0\r\n\r\n"),
                "{target} looks whole"
            );
            false
        }
    }
}

#[test]
fn whatever_clients_and_producers_do_no_worker_and_no_place_is_lost() {
    let seed = std::env::var("PONTOON_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let _ = writeln!(std::io::stderr(), "PONTOON_SEED={seed}");
    let (library, _) = library(|_, _, call| {
        let what = call.param("what").unwrap();
        call.stream(head(), |body| {
            send_pattern(body, BYTES)?;
            match what {
                "panics" => panic!("by chance"),
                "fails" => Err(Error::internal("by chance")),
                _ => Ok(()),
            }
        })
    });
    let location = pontoon::Location::new("/{what}", library).share(pontoon::Share::Calls(100));
    let server = Fixture::start(server().pool(pool(3)).route(location));
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let server = &server;
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed.wrapping_add(number as u64));
                let mut client = server.connect();
                for _ in 0..ROUNDS {
                    if !visit(&mut client, &mut random) {
                        let left = std::mem::replace(&mut client, server.connect());
                        if random.bool() {
                            left.reset();
                        }
                    }
                }
            });
        }
    });
    wait_in_flight(&server, 0);
    let mut client = server.connect();
    client.send_request("GET", "/whole", &[], b"");
    assert!(client.read_response("GET").body == patterned(BYTES));
    assert_eq!(server.running().pool_stats("p").unwrap().stuck, 0);
}
