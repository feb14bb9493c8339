//! What a reload does not change goes on as it is, with its sessions.

use pontoon::bridge::EventLoop;
use pontoon::{Pool, blocking};
use pontoon_tests::eventually;
use pontoon_tests::fixture::Fixture;

use crate::{alone, config, pool, reload, server, text};

struct Database {
    path: String,
    _folder: tempfile::TempDir,
}

impl Database {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("t.db");
        let connection = rusqlite::Connection::open(&path).expect("a database");
        connection
            .execute_batch("CREATE TABLE t (a)")
            .expect("a table");
        Self {
            path: path.display().to_string(),
            _folder: folder,
        }
    }

    fn location(&self, path: &str, rest: &str) -> String {
        format!(
            "[[location]]\npath = '{path}'\nadapter = 'sqlite'\npool = 'p'\ndatabase = '{}'\n{rest}\n",
            self.path
        )
    }
}

fn opened(fixture: &Fixture) -> u64 {
    fixture
        .running()
        .pool_stats("p")
        .expect("the pool")
        .sessions_opened
}

const ONE_THREAD: &str = "[pool.p]\nthreads = 1\n";

#[test]
fn a_location_that_says_the_same_keeps_its_sessions() {
    let _alone = alone();
    let database = Database::new();
    let version = |location: &str| config(&format!("{ONE_THREAD}{location}"));
    let one = database.location("/t", "query = 'SELECT a FROM t'");
    let fixture = Fixture::start(version(&one));
    assert_eq!(fixture.get("/t").status, 200);
    assert_eq!(opened(&fixture), 1);
    for same in [
        one.clone(),
        // Written differently.
        database.location("/t", "# the same\nquery = \"SELECT a FROM t\""),
        // What differs is the server's.
        database.location("/t", "query = 'SELECT a FROM t'\ndeadline = '7s'"),
        database.location("/t", "query = 'SELECT a FROM t'\nmethods = ['GET']"),
        // Somewhere else.
        database.location("/elsewhere", "query = 'SELECT a FROM t'"),
        one.clone(),
    ] {
        let report = reload(&fixture, version(&same));
        assert_eq!((report.locations_kept, report.locations_new), (1, 0));
        let path = if same.contains("/elsewhere") {
            "/elsewhere"
        } else {
            "/t"
        };
        assert_eq!(fixture.get(path).status, 200);
        assert_eq!(opened(&fixture), 1, "{same}");
    }
    let other = database.location("/t", "query = 'SELECT a AS b FROM t'");
    assert_eq!(reload(&fixture, version(&other)).locations_new, 1);
    assert_eq!(fixture.get("/t").status, 200);
    assert_eq!(opened(&fixture), 2);
}

#[test]
fn two_locations_that_say_the_same_each_keep_their_own() {
    let _alone = alone();
    let database = Database::new();
    let location = |path| database.location(path, "query = 'SELECT a FROM t'");
    let both = || config(&format!("{ONE_THREAD}{}{}", location("/a"), location("/b")));
    let fixture = Fixture::start(both());
    for _ in 0..3 {
        assert_eq!(fixture.get("/a").status, 200);
        assert_eq!(fixture.get("/b").status, 200);
        assert_eq!(reload(&fixture, both()).locations_kept, 2);
    }
    assert_eq!(opened(&fixture), 2);
    let third = config(&format!(
        "{ONE_THREAD}{}{}{}",
        location("/a"),
        location("/b"),
        location("/c")
    ));
    let report = reload(&fixture, third);
    assert_eq!((report.locations_kept, report.locations_new), (2, 1));
}

#[test]
fn a_worker_closes_sessions_that_no_location_uses_any_more() {
    let _alone = alone();
    let database = Database::new();
    let version = |number: i32| {
        let query = format!("query = 'SELECT a AS a{number} FROM t'");
        config(&format!("{ONE_THREAD}{}", database.location("/t", &query)))
    };
    let fixture = Fixture::start(version(0));
    for number in 1..=20 {
        assert_eq!(fixture.get("/t").status, 200);
        reload(&fixture, version(number));
    }
    assert_eq!(opened(&fixture), 20);
    // The drains of the last ones may still hold them when the next is opened.
    let mut number = 20;
    eventually("all but the last few are closed", || {
        number += 1;
        reload(&fixture, version(number));
        assert_eq!(fixture.get("/t").status, 200);
        fixture.running().pool_stats("p").unwrap().sessions <= 3
    });
}

#[test]
fn a_pool_that_says_the_same_goes_on_and_a_changed_one_is_replaced() {
    let _alone = alone();
    let version = |threads: usize| {
        config(&format!(
            "[pool.p]\nthreads = {threads}\n[[location]]\npath = '/s'\nadapter = 'sleep'\npool = 'p'\nduration = '1ms'\n"
        ))
    };
    let fixture = Fixture::start(version(2));
    assert_eq!(fixture.get("/s").status, 200);
    let submitted = || fixture.running().pool_stats("p").unwrap().submitted;
    assert_eq!(submitted(), 1);
    let report = reload(&fixture, version(2));
    assert!(report.pools_started.is_empty() && report.pools_draining.is_empty());
    assert_eq!(submitted(), 1);
    let report = reload(&fixture, version(3));
    assert_eq!(report.pools_started, ["p"]);
    assert_eq!(report.pools_draining, ["p"]);
    assert_eq!(
        report.locations_new, 1,
        "its sessions were the old workers'"
    );
    assert_eq!(submitted(), 0);
}

#[test]
fn a_pool_of_the_program_is_given_back_to_it() {
    let _alone = alone();
    let mine = Pool::named("mine").threads(1).build().unwrap();
    let with_mine = || {
        server()
            .pool(&mine)
            .location("/", blocking("mine", text("on mine")))
    };
    let fixture = Fixture::start(with_mine());
    let report = reload(&fixture, with_mine());
    assert!(report.pools_started.is_empty() && report.pools_draining.is_empty());
    assert_eq!(fixture.get("/").text(), "on mine");
    let without = server()
        .pool(pool("p"))
        .location("/", blocking("p", text("on another")));
    let report = reload(&fixture, without);
    assert!(report.pools_draining.is_empty());
    assert_eq!(fixture.get("/").text(), "on another");
    assert_eq!(fixture.stop().stuck, []);
    let call = mine.call(|()| 6 * 7).submit();
    let answer = EventLoop::new().unwrap().block_on(call);
    assert!(matches!(answer, Ok(42)), "{answer:?}");
}

#[test]
fn what_takes_a_restart_is_named_and_the_rest_is_applied() {
    let _alone = alone();
    let fixture = Fixture::start(config(
        "[pool.p]\n[[location]]\npath = '/old'\nadapter = 'sleep'\npool = 'p'\nduration = '1ms'\n",
    ));
    let other = || {
        config("[pool.p]\n[[location]]\npath = '/new'\nadapter = 'sleep'\npool = 'p'\nduration = '1ms'\n")
            .loops(1)
    };
    for _ in 0..2 {
        assert_eq!(reload(&fixture, other()).needs_restart, ["loops"]);
        assert_eq!(fixture.get("/new").status, 200);
    }
}

#[test]
fn a_new_location_does_not_take_over_from_one_that_stays_on_its_path() {
    let _alone = alone();
    let database = Database::new();
    let version = |paths: &[&str]| {
        let location = |path: &&str| database.location(path, "query = 'SELECT a FROM t'");
        let locations: String = paths.iter().map(location).collect();
        config(&format!("{ONE_THREAD}{locations}"))
    };
    let fixture = Fixture::start(version(&["/stays"]));
    assert_eq!(fixture.get("/stays").status, 200);
    // The new one comes first in the file.
    let report = reload(&fixture, version(&["/new", "/stays"]));
    assert_eq!((report.locations_kept, report.locations_new), (1, 1));
    assert_eq!(fixture.get("/stays").status, 200);
    assert_eq!(opened(&fixture), 1, "with the session that it had");
}
