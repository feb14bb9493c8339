//! Requests and what Redis answers to them, both ways.

use http::StatusCode;
use http::header::HeaderValue;
use pontoon_adapters::redis::{Output, Redis, Work};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::rig::{MODES, Rig, command, get, put, status, text};
use super::server::Server;

fn raw(media_type: &'static str) -> Output {
    Output::Raw(HeaderValue::from_static(media_type))
}

#[test]
fn a_body_is_stored_and_comes_back_byte_for_byte() {
    let Some(server) = Server::start() else {
        return;
    };
    for (mode, url) in MODES.into_iter().flat_map(|mode| {
        let urls = [server.url(), server.socket_url()];
        urls.map(|url| (mode, url))
    }) {
        let redis = |words: [&str; 2], more: &[&str]| {
            let words = words.into_iter().chain(more.iter().copied());
            Redis::new(&url, Work::command(words).unwrap()).unwrap()
        };
        let set = Rig::new(mode, redis(["SET", ":key"], &[":body"]));
        let get_raw = Rig::new(mode, redis(["GET", ":key"], &[]).output(raw("image/png")));
        let bytes: Vec<u8> = (0..=255).collect();
        let stored = set.call(put(bytes.clone()), &[("key", "k")]);
        assert_eq!(text(stored), r#""OK""#);
        let response = get_raw.call(get(), &[("key", "k")]).unwrap();
        assert_eq!(response.body(), &bytes);
        assert_eq!(response.headers()["content-type"], "image/png");
        assert_eq!(status(get_raw.call(get(), &[("key", "none")])), 404);
    }
}

#[test]
fn any_value_that_is_set_is_read_back_the_same() {
    let Some(server) = Server::start() else {
        return;
    };
    for mode in MODES {
        let set = Rig::command(mode, &server, &["SET", ":key", ":body"]);
        let get_raw = Rig::new(mode, command(&server, &["GET", ":key"]).output(raw("a/b")));
        let values = (".{0,40}", proptest::collection::vec(any::<u8>(), 0..3000));
        let mut runner = TestRunner::new(Config::with_cases(100));
        let outcome = runner.run(&values, |(key, value)| {
            let params = [("key", key.as_str())];
            prop_assert_eq!(text(set.call(put(value.clone()), &params)), r#""OK""#);
            let response = get_raw.call(get(), &params).unwrap();
            prop_assert_eq!(response.body(), &value);
            Ok(())
        });
        outcome.unwrap();
    }
}

#[test]
fn hostile_values_are_only_values() {
    let Some(server) = Server::start() else {
        return;
    };
    let large = "x".repeat(10 << 20);
    for mode in MODES {
        let set = Rig::command(mode, &server, &["SET", ":key", ":body"]);
        let get_json = Rig::command(mode, &server, &["GET", ":key"]);
        for value in [
            "'\"\\",
            "a\0b",
            "x\r\n*1\r\n$8\r\nFLUSHALL\r\n",
            "$-1\r\n",
            "",
            &large,
        ] {
            for key in ["k", "a\r\nFLUSHALL\r\n", "\0", "'\"; FLUSHALL"] {
                let params = [("key", key)];
                assert_eq!(text(set.call(put(value.to_owned()), &params)), r#""OK""#);
                let read: String = serde_json::from_str(&get_json.text(&params)).unwrap();
                assert!(read == value, "{key:?}");
            }
        }
        text(set.call(put(vec![0xff, 0xfe]), &[("key", "k")]));
        assert_eq!(get_json.text(&[("key", "k")]), r#""//4=""#);
    }
    assert_eq!(server.ask::<u64>(&["DBSIZE"]), 4);
}

#[test]
fn every_type_of_resp3_has_its_json() {
    let Some(server) = Server::start() else {
        return;
    };
    let _: () = server.ask(&["HSET", "hash", "a", "1"]);
    let _: () = server.ask(&["ZADD", "scores", "1.5", "x", "+inf", "y"]);
    let _: () = server.ask(&["SADD", "set", "only"]);
    let of_lua =
        |text: &str| Work::script(&format!("redis.setresp(3); return {text}"), [], []).unwrap();
    let of = |words: &[&str]| Work::command(words.iter().copied()).unwrap();
    let cases = [
        (of(&["PING"]), r#""PONG""#),
        (of(&["GET", "none"]), "null"),
        (of(&["HGETALL", "hash"]), r#"{"a":"1"}"#),
        (of(&["SMEMBERS", "set"]), r#"["only"]"#),
        (of(&["ZSCORE", "scores", "x"]), "1.5"),
        (of(&["ZSCORE", "scores", "y"]), r#""inf""#),
        (of(&["STRLEN", "none"]), "0"),
        (of(&["MGET", "none", "none"]), "[null,null]"),
        (of(&["LRANGE", "none", "0", "-1"]), "[]"),
        (of_lua("true"), "true"),
        (of_lua("{double = 2.5}"), "2.5"),
        (of_lua("{map = {k = 1}}"), r#"{"k":1}"#),
        (of_lua("{set = {k = true}}"), r#"["k"]"#),
        (
            of_lua("{big_number = '12345678901234567890123'}"),
            r#""12345678901234567890123""#,
        ),
        (
            of_lua("{verbatim_string = {string = 'abc', format = 'txt'}}"),
            r#""abc""#,
        ),
        (of_lua("{1, {2, 'x'}, false}"), r#"[1,[2,"x"],false]"#),
    ];
    for (work, expected) in cases {
        for mode in MODES {
            let redis = Redis::new(&server.url(), work.clone()).unwrap();
            assert_eq!(Rig::new(mode, redis).text(&[]), expected, "{work:?}");
        }
    }
}

#[test]
fn a_list_of_commands_is_answered_in_its_order() {
    let Some(server) = Server::start() else {
        return;
    };
    for mode in MODES {
        let work = Work::list(
            [
                ["SET", ":key", "1"].as_slice(),
                &["INCR", ":key"],
                &["GET", "none"],
            ]
            .map(|words| words.iter().copied()),
        );
        let rig = Rig::new(mode, Redis::new(&server.url(), work.unwrap()).unwrap());
        assert_eq!(rig.text(&[("key", "n")]), r#"["OK",2,null]"#);
    }
}

#[test]
fn a_transaction_is_answered_with_what_it_ran() {
    let Some(server) = Server::start() else {
        return;
    };
    let _: () = server.ask(&["SET", "text", "abc"]);
    for mode in MODES {
        let _: () = server.ask(&["SET", "n", "0"]);
        let rig = |words: [[&str; 2]; 2]| {
            let work = Work::list(words).unwrap().in_transaction();
            Rig::new(mode, Redis::new(&server.url(), work).unwrap())
        };
        let good = rig([["INCR", "n"], ["GET", ":key"]]);
        assert_eq!(good.text(&[("key", "n")]), r#"[1,"1"]"#);
        let failing = rig([["INCR", "n"], ["LLEN", "text"]]);
        assert_eq!(status(failing.call(get(), &[])), 422);
        assert_eq!(
            server.ask::<u64>(&["GET", "n"]),
            2,
            "Redis takes nothing back"
        );
        let refused = rig([["INCR", "n"], ["NOSUCHCOMMAND", "x"]]);
        assert_eq!(status(refused.call(get(), &[])), 500);
        assert_eq!(server.ask::<u64>(&["GET", "n"]), 2, "none of it was run");
        // The connection is as good as before.
        assert_eq!(status(refused.call(get(), &[])), 500);
        assert_eq!(good.text(&[("key", "n")]), r#"[3,"3"]"#);
    }
}

#[test]
fn a_script_is_loaded_when_the_server_does_not_know_it() {
    let Some(server) = Server::start() else {
        return;
    };
    let text = "return {KEYS[1], ARGV[1], redis.call('INCR', 'runs')}";
    let digest = redis::Script::new(text).get_hash().to_owned();
    let known = || server.ask::<Vec<bool>>(&["SCRIPT", "EXISTS", &digest])[0];
    for mode in MODES {
        let _: () = server.ask(&["FLUSHALL"]);
        let _: () = server.ask(&["SCRIPT", "FLUSH"]);
        let work = Work::script(text, [":key"], [":arg"]).unwrap();
        let rig = Rig::new(mode, Redis::new(&server.url(), work).unwrap());
        let params = [("key", "k"), ("arg", "a\r\nb")];
        assert!(!known());
        assert_eq!(rig.text(&params), r#"["k","a\r\nb",1]"#);
        assert!(known());
        assert_eq!(rig.text(&params), r#"["k","a\r\nb",2]"#);
        let _: () = server.ask(&["SCRIPT", "FLUSH"]);
        assert_eq!(rig.text(&params), r#"["k","a\r\nb",3]"#);
    }
}

#[test]
fn statuses_are_those_that_the_location_chooses() {
    let Some(server) = Server::start() else {
        return;
    };
    for mode in MODES {
        let _: () = server.ask(&["SET", "k", "1"]);
        let delete = command(&server, &["DEL", ":key"]);
        let delete = delete
            .zero(StatusCode::NOT_FOUND)
            .status(StatusCode::NO_CONTENT);
        let rig = Rig::new(mode, delete);
        let key = [("key", "k")];
        assert_eq!(status(rig.call(get(), &key)), 204);
        assert_eq!(status(rig.call(get(), &key)), 404);
        let gone = command(&server, &["GET", ":key"]).nil(StatusCode::GONE);
        assert_eq!(status(Rig::new(mode, gone).call(get(), &key)), 410);
    }
}
