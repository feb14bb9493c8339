//! A pool that has no worker left says so where it is looked for.

use pontoon::{Location, Pool, Request, Response, Server, blocking};
use pontoon_tests::client::Connection;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::gate::gate;
use pontoon_tests::wait::eventually;
use serde_json::{Value, json};
use std::time::Duration;

fn look(server: &Fixture, page: &str) -> (u16, Value) {
    let mut client = Connection::open(server.admin());
    client.send_request("GET", page, &[], b"");
    let answer = client.read_response("GET");
    (answer.status, answer.json())
}

fn pool(server: &Fixture) -> Value {
    look(server, "/status").1["pools"]["p"].clone()
}

#[test]
fn a_server_is_not_ready_while_all_workers_of_a_pool_hang() {
    for max_stuck in [0, 1] {
        let workers = 1 + max_stuck;
        let (gate, door) = gate();
        let held = blocking("p", move |_: Request| {
            door.pass();
            Ok(Response::text("through"))
        });
        let pool_of_one = Pool::named("p").threads(1).max_stuck(max_stuck);
        let server = Server::new()
            .configure(|config| config.shutdown_timeout = Duration::from_secs(20))
            .pool(pool_of_one.stuck_after(Duration::from_millis(20)))
            .route(Location::new("/held", held))
            .admin("127.0.0.1:0");
        let server = Fixture::start(server);
        let mut clients = Vec::new();
        for stuck in 0..workers {
            assert_eq!(pool(&server)["stuck"], stuck);
            assert_eq!(look(&server, "/readyz"), (200, json!({ "ready": true })));
            let mut client = server.connect();
            client.send_request("GET", "/held", &[], b"");
            clients.push(client);
            eventually("one more is stuck", || pool(&server)["stuck"] == stuck + 1);
        }
        let (status, document) = look(&server, "/readyz");
        let reason = &document["reasons"][0];
        assert_eq!(
            (status, &reason["code"], &reason["pool"]),
            (503, &json!("pool_stuck"), &json!("p"))
        );
        assert!(
            reason["detail"]
                .as_str()
                .is_some_and(|text| text.contains("no worker left"))
        );

        eventually("they are old enough to be named", || {
            pool(&server)["running_calls"].as_array().map(Vec::len) == Some(workers)
        });
        let now = pool(&server);
        assert_eq!(
            (&now["running"], &now["max_stuck"]),
            (&json!(workers), &json!(max_stuck))
        );
        for (index, call) in now["running_calls"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            // The oldest first, and requests are counted from 1.
            assert_eq!(call["request"], index + 1);
            assert_eq!(
                (&call["location"], &call["stuck"]),
                (&json!("/held"), &json!(true))
            );
            assert!(
                call["age_seconds"].as_f64().is_some_and(|age| age > 1.0),
                "{call}"
            );
            assert!(call["thread_id"].is_i64() || call["thread_id"].is_u64());
        }

        gate.open();
        for client in &mut clients {
            assert_eq!(client.read_response("GET").status, 200);
        }
        eventually("it is ready again", || look(&server, "/readyz").0 == 200);
        eventually("nothing runs", || {
            let now = pool(&server);
            (&now["stuck"], &now["running"]) == (&json!(0), &json!(0))
        });
        assert_eq!(pool(&server)["running_calls"], json!([]));
    }
}
