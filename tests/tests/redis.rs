//! Redis behind a whole server, from its config file: on a pool, and on the loops.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::io::Read;
use std::net::TcpStream;
use std::time::Instant;

use pontoon_tests::PATIENCE;
use pontoon_tests::backends::Redis;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::problem::problem;
use serde_json::json;

/// What a location says of the way in which its calls run.
const WAYS: [&str; 2] = ["pool = 'db'", "mode = 'loop'"];

fn serve(redis: &Redis, way: &str, locations: &[(&str, &str)]) -> Fixture {
    let server = redis.url(redis.database());
    let locations: String = locations
        .iter()
        .map(|(path, rest)| {
            format!(
                "[[location]]\npath = '{path}'\nadapter = 'redis'\nserver = '{server}'\n{way}\n{rest}\n"
            )
        })
        .collect();
    Fixture::from_toml(&format!("loops = 2\n[pool.db]\nthreads = 2\n{locations}"))
}

#[test]
fn a_cache_is_three_locations() {
    let Some(redis) = Redis::shared() else { return };
    for way in WAYS {
        let put =
            "methods = ['PUT']\ncommand = ['SET', ':key', ':body', 'EX', '3600']\nstatus = 204";
        let get = "methods = ['GET']\ncommand = ['GET', ':key']\noutput = 'raw'\n\
                   content_type = 'image/png'";
        let delete = "methods = ['DELETE']\ncommand = ['DEL', ':key']\nstatus = 204\nzero = 404";
        let path = "/cache/{key}";
        let server = serve(redis, way, &[(path, put), (path, get), (path, delete)]);
        assert_eq!(
            problem(&server.get("/cache/a"), 404),
            "there is no such value"
        );
        let image: Vec<u8> = (0..=255).collect();
        assert_eq!(server.request("PUT", "/cache/a", &[], &image).status, 204);
        let response = server.get("/cache/a");
        assert_eq!((response.status, &response.body), (200, &image));
        assert_eq!(response.header("content-type"), Some("image/png"));
        assert_eq!(server.request("DELETE", "/cache/a", &[], b"").status, 204);
        problem(&server.request("DELETE", "/cache/a", &[], b""), 404);
    }
}

#[test]
fn parameters_come_from_path_query_and_json_and_refusals_are_told() {
    let Some(redis) = Redis::shared() else { return };
    for way in WAYS {
        let add = "methods = ['POST']\ncommand = ['HSET', ':name', ':field', ':value']";
        let all = "methods = ['GET']\ncommand = ['HGETALL', ':name']";
        let length = "command = ['LLEN', ':name']";
        let hash = "/hash/{name}";
        let server = serve(
            redis,
            way,
            &[(hash, add), (hash, all), ("/length/{name}", length)],
        );
        let json = [("Content-Type", "application/json")];
        let body = br#"{"field": "a\"b", "value": 1.5}"#;
        let response = server.request("POST", "/hash/h", &json, body);
        assert_eq!((response.status, response.text().as_str()), (200, "1"));
        let response = server.request("POST", "/hash/h?field=c&value=%00", &[], b"");
        assert_eq!(response.status, 200, "{}", response.text());
        let expected = json!({"a\"b": "1.5", "c": "\0"});
        assert_eq!(server.get("/hash/h").json(), expected);
        let missing = server.request("POST", "/hash/h?field=c", &[], b"");
        assert_eq!(problem(&missing, 400), "the parameter `value` is missing");
        let refused = server.get("/length/h");
        let detail = problem(&refused, 422);
        assert!(!detail.contains("WRONGTYPE"), "{detail}");
    }
}

#[test]
fn a_server_that_hangs_is_answered_for_at_the_deadline() {
    for way in WAYS {
        let Some(redis) = Redis::start() else { return };
        let incr = "command = ['INCR', 'n']\ndeadline = '100ms'\nconnect_timeout = '200ms'";
        let server = serve(&redis, way, &[("/n", incr)]);
        assert_eq!(server.get("/n").status, 200);
        redis.pause();
        let begin = Instant::now();
        problem(&server.get("/n"), 504);
        assert!(begin.elapsed() < PATIENCE);
        redis.resume();
        pontoon_tests::eventually("it is used again", || server.get("/n").status == 200);
        assert_eq!(server.stop().connections_cut, 0);
    }
}

/// Reads until the text has come.
fn read_until(stream: &mut TcpStream, wanted: &str) -> String {
    let mut read = String::new();
    while !read.contains(wanted) {
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).unwrap();
        assert!(count > 0, "no `{wanted}` in {read:?}");
        read += &String::from_utf8_lossy(&bytes[..count]);
    }
    read
}

#[test]
fn messages_of_channels_are_events_until_the_client_leaves_or_the_server_does() {
    let Some(redis) = Redis::start() else { return };
    let one = "subscribe = [':channel']";
    let two = "subscribe = ['a', 'b']";
    let server = serve(
        &redis,
        "mode = 'loop'",
        &[("/one/{channel}", one), ("/two", two)],
    );
    let subscribe = |target: &str| {
        let mut client = server.connect();
        client.send_request("GET", target, &[], b"");
        let mut stream = client.socket().try_clone().unwrap();
        let head = read_until(&mut stream, ":\n\n").to_lowercase();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        (client, stream)
    };
    let publish = |channel: &str, message: &str| redis.run(0, &["PUBLISH", channel, message]);
    let (client, mut stream) = subscribe("/one/a");
    let (_other, mut both) = subscribe("/two");
    assert_eq!(publish("a", "hello\nyou"), "2");
    read_until(&mut stream, "data: hello\ndata: you\n\n");
    read_until(&mut both, "event: a\ndata: hello\n");
    assert_eq!(publish("b", "there"), "1");
    read_until(&mut both, "event: b\ndata: there\n\n");
    drop((client, stream));
    pontoon_tests::eventually("the subscription is gone", || publish("a", "x") == "1");
    redis.kill();
    let mut rest = Vec::new();
    // It ends, and not as one that has come to its end.
    let ended = both.read_to_end(&mut rest);
    assert!(ended.is_err() || !rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
    problem(&server.get("/two"), 502);
}

#[test]
fn mistakes_of_the_config_are_told_where_they_are() {
    let read = |lines: &str| {
        let text =
            format!("listen = '127.0.0.1:0'\n[[location]]\npath = '/'\nadapter = 'redis'\n{lines}");
        let registry = pontoon::adapters::registry::Registry::builtin();
        match pontoon::config::Config::parse(&text, "test.toml", &registry) {
            Ok(_) => panic!("it is wrong: {lines}"),
            Err(error) => error.render(false),
        }
    };
    let errors = read("server = 'localhost'\ncommand = ['SUBSCRIBE', 'news']\nmode = 'loop'");
    assert!(errors.contains("`redis://host:6379/0`"), "{errors}");
    let errors =
        read("server = 'redis://localhost'\ncommand = ['SUBSCRIBE', 'news']\nmode = 'loop'");
    assert!(
        errors.contains("`SUBSCRIBE` has no single reply"),
        "{errors}"
    );
    let errors = read("server = 'redis://localhost'\ncommand = ['PING']");
    assert!(errors.contains("missing key `pool`"), "{errors}");
    assert!(errors.contains("or write `mode = \"loop\"`"), "{errors}");
}
