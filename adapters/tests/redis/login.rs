//! Who we are to the server, and which database is used.

use pontoon_adapters::ErrorKind;
use pontoon_adapters::redis::{Redis, Work};

use super::rig::{MODES, Rig, get};
use super::server::Server;

fn whoami() -> Work {
    Work::command(["ACL", "WHOAMI"]).unwrap()
}

#[test]
fn the_database_of_the_url_is_used() {
    let Some(server) = Server::start() else {
        return;
    };
    for mode in MODES {
        let of = |database: u8, words: [&str; 3]| {
            let work = Work::command(words).unwrap();
            let redis = Redis::new(&format!("{}/{database}", server.url()), work).unwrap();
            Rig::new(mode, redis)
        };
        of(3, ["SET", "k", "three"]).text(&[]);
        let read = |database| of(database, ["GETRANGE", "k", "0"]).call(get(), &[]);
        assert!(read(3).is_err(), "it has too few arguments");
        let three: String = redis::cmd("GET")
            .arg("k")
            .query(
                &mut redis::Client::open(format!("{}/3", server.url()))
                    .unwrap()
                    .get_connection()
                    .unwrap(),
            )
            .unwrap();
        assert_eq!(three, "three");
        assert_eq!(server.ask::<Option<String>>(&["GET", "k"]), None);
    }
    let redis = Redis::new(&format!("{}/5000", server.url()), whoami()).unwrap();
    for mode in MODES {
        let error = Rig::new(mode, redis.clone()).call(get(), &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadGateway);
    }
}

#[test]
fn a_user_logs_in_with_a_password_from_wherever_it_is() {
    let Some(server) = Server::start() else {
        return;
    };
    let _: () = server.ask(&["ACL", "SETUSER", "ada", "on", ">s@cret", "~a:*", "+@all"]);
    let as_ada = server.url().replace("redis://", "redis://ada@");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "s@cret\n").unwrap();
    for mode in MODES {
        let rigs = [
            Redis::new(
                &server.url().replace("redis://", "redis://ada:s%40cret@"),
                whoami(),
            )
            .unwrap(),
            Redis::new(&as_ada, whoami())
                .unwrap()
                .password("s@cret")
                .unwrap(),
            Redis::new(&as_ada, whoami())
                .unwrap()
                .password_file(&file)
                .unwrap(),
        ];
        for redis in rigs {
            assert_eq!(Rig::new(mode, redis).text(&[]), r#""ada""#);
        }
        let wrong = Redis::new(&as_ada, whoami())
            .unwrap()
            .password("wrong")
            .unwrap();
        let error = Rig::new(mode, wrong).call(get(), &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadGateway);
        assert!(!error.detail().contains("ada"), "{error}");
        let other = Work::command(["GET", ":key"]).unwrap();
        let other = Redis::new(&as_ada, other)
            .unwrap()
            .password("s@cret")
            .unwrap();
        let rig = Rig::new(mode, other);
        assert_eq!(rig.text(&[("key", "a:1")]), "null");
        let error = rig.call(get(), &[("key", "b:1")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden);
    }
}

#[test]
fn a_password_without_a_user_is_that_of_the_default_user() {
    let Some(server) = Server::start() else {
        return;
    };
    let _: () = server.ask(&["CONFIG", "SET", "requirepass", "x"]);
    for mode in MODES {
        let redis = || Redis::new(&server.url(), whoami()).unwrap();
        let with = Rig::new(mode, redis().password("x").unwrap());
        assert_eq!(with.text(&[]), r#""default""#);
        let error = Rig::new(mode, redis()).call(get(), &[]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BadGateway);
    }
}

#[test]
fn a_server_that_knows_no_hello_is_spoken_to_in_resp2() {
    let Some(server) = Server::with(&["--rename-command", "HELLO", ""]) else {
        return;
    };
    let _: () = server.ask(&["CONFIG", "SET", "requirepass", "x"]);
    let expected = format!(r#"["port","{}"]"#, server.address().port());
    for mode in MODES {
        let hash = Work::command(["CONFIG", "GET", "port"]).unwrap();
        let url = format!("{}?db=2", server.socket_url());
        let redis = Redis::new(&url, hash).unwrap().password("x").unwrap();
        // A map in RESP3.
        assert_eq!(Rig::new(mode, redis).text(&[]), expected);
    }
}
