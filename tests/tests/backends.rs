//! The private servers that tests run adapters against: up when they say so, dead when they are killed, and
//! gone with whoever started them.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pontoon_tests::backends::{MariaDb, Postgres, PrivateServer, Redis};
use pontoon_tests::eventually;
use pontoon_tests::process::report;

/// Whether a process is there and has not ended.
fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

fn refuses_connections(server: &PrivateServer) -> bool {
    TcpStream::connect(server.address()).is_err()
}

/// What all servers can do. `look` asks the server something that it answers with `here`.
fn lives_and_dies(server: &PrivateServer, look: impl Fn() -> Result<String, String> + Sync) {
    let answers = || look().is_ok_and(|answer| answer == "here");
    assert!(answers());
    let pid = server.pid().unwrap();
    let address = server.address();
    assert!(address.ip().is_loopback() && address.ip().to_string() != "127.0.0.1");

    server.kill();
    assert!(!is_alive(pid));
    assert_eq!(server.pid(), None);
    assert!(refuses_connections(server));
    assert!(!answers());
    server.kill();

    server.restart();
    assert_eq!(server.address(), address);
    assert!(answers());
    let second = server.pid().unwrap();
    server.restart();
    assert!(!is_alive(second));
    assert!(answers());

    server.pause();
    thread::scope(|scope| {
        let asked = scope.spawn(answers);
        // The kernel takes the connection, and nobody answers.
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        let _ = stream.write_all(b"\n");
        assert!(
            stream.read(&mut [0]).is_err(),
            "a paused server says nothing"
        );
        assert!(!asked.is_finished());
        server.resume();
        assert!(
            asked.join().unwrap(),
            "what was asked meanwhile is answered then"
        );
    });

    // A paused one can be killed, too.
    server.pause();
    server.kill();
    server.restart();
    assert!(answers());
}

/// What is left of a server that is dropped.
fn leaves_nothing<S>(server: S, private: fn(&S) -> &PrivateServer) {
    let (pid, folder) = (
        private(&server).pid().unwrap(),
        private(&server).folder().to_owned(),
    );
    assert!(folder.exists());
    drop(server);
    assert!(!is_alive(pid));
    assert!(!folder.exists());
}

/// How long a look into a server takes, for who wonders whether to take many.
fn takes(what: &str, look: impl Fn()) {
    let began = Instant::now();
    (0..10).for_each(|_| look());
    report(&format!("{what}: {:?} each", began.elapsed() / 10));
}

#[test]
fn a_private_postgres_lives_and_dies_as_it_is_told() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    let database = postgres.database();
    postgres.run(
        &database,
        "CREATE TABLE kept (text text); INSERT INTO kept VALUES ('here')",
    );
    lives_and_dies(&postgres, || {
        postgres.try_run(&database, "SELECT text FROM kept")
    });
    takes("psql", || drop(postgres.run(&database, "SELECT 1")));
    takes("a new database", || drop(postgres.database()));
    leaves_nothing(postgres, |postgres| postgres);
}

#[test]
fn a_private_mariadb_lives_and_dies_as_it_is_told() {
    let Some(mariadb) = MariaDb::start() else {
        return;
    };
    let database = mariadb.database();
    mariadb.run(
        &database,
        "CREATE TABLE kept (text text); INSERT INTO kept VALUES ('here')",
    );
    lives_and_dies(&mariadb, || {
        mariadb.try_run(&database, "SELECT text FROM kept")
    });
    takes("mariadb", || drop(mariadb.run(&database, "SELECT 1")));
    leaves_nothing(mariadb, |mariadb| mariadb);
}

#[test]
fn a_private_redis_lives_and_dies_as_it_is_told() {
    let Some(redis) = Redis::start() else { return };
    lives_and_dies(&redis, || redis.try_run(0, &["ECHO", "here"]));
    takes("redis-cli", || drop(redis.run(0, &["PING"])));
    leaves_nothing(redis, |redis| redis);
}

#[test]
fn a_killed_postgres_takes_its_running_statements_along_and_leaves_no_shared_memory() {
    let Some(postgres) = Postgres::start() else {
        return;
    };
    thread::scope(|scope| {
        let slow = scope.spawn(|| postgres.try_run("postgres", "SELECT pg_sleep(600)"));
        eventually("it runs", || postgres.running("%pg_sleep(600)%") == 1);
        assert_eq!(postgres.sessions(), 1);
        let pids = postgres.run("postgres", "SELECT pid FROM pg_stat_activity");
        let pids: Vec<u32> = pids.lines().map(|pid| pid.parse().unwrap()).collect();
        let segment = segment(postgres.folder()).unwrap();
        assert!(is_shared(&segment));
        postgres.kill();
        assert!(slow.join().unwrap().is_err());
        assert!(pids.iter().all(|pid| !is_alive(*pid)), "{pids:?}");
        assert!(!is_shared(&segment));
    });
}

/// The number of the segment of shared memory that a PostgreSQL has from the system.
fn segment(folder: &Path) -> Option<String> {
    let lock = fs::read_to_string(folder.join("data/postmaster.pid")).ok()?;
    let numbers = lock.lines().nth(6)?;
    numbers.split_whitespace().nth(1).map(str::to_owned)
}

fn is_shared(segment: &str) -> bool {
    let list = fs::read_to_string("/proc/sysvipc/shm").unwrap();
    list.lines()
        .any(|line| line.split_whitespace().nth(1) == Some(segment))
}

#[test]
fn an_adapters_user_logs_in_by_tcp_with_its_password_and_is_no_superuser() {
    let Some(postgres) = Postgres::shared() else {
        return;
    };
    let database = postgres.database();
    let url = postgres.url(&database);
    assert!(url.contains(&postgres.address().to_string()), "{url}");
    let psql = |url: &str| {
        let sql = "CREATE TABLE mine (id int); SELECT usename, usesuper FROM pg_user WHERE usename = current_user";
        let output = Command::new("psql")
            .args(["-XAtq", url, "-c", sql])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert_eq!(psql(&url), "pontoon|f\n");
    assert_eq!(psql(&url.replace(Postgres::PASSWORD, "wrong")), "");
}

#[test]
fn settings_of_a_test_are_its_servers() {
    if let Some(postgres) = Postgres::start_with(&[("max_connections", "7")]) {
        assert_eq!(postgres.run("postgres", "SHOW max_connections"), "7");
    }
    if let Some(mariadb) = MariaDb::start_with(&["--max-connections=17"]) {
        assert_eq!(mariadb.run("mysql", "SELECT @@max_connections"), "17");
    }
    if let Some(redis) = Redis::start_with(&["--maxclients", "7"]) {
        let answer = redis.run(0, &["CONFIG", "GET", "maxclients"]);
        assert_eq!(answer, "maxclients\n7");
    }
}

#[test]
fn sessions_and_what_they_run_are_told() {
    if let Some(mariadb) = MariaDb::start() {
        thread::scope(|scope| {
            let slow = scope.spawn(|| mariadb.try_run("mysql", "SELECT SLEEP(600)"));
            eventually("it runs", || mariadb.running("%SLEEP(600)%") == 1);
            assert_eq!(mariadb.sessions(), 1);
            mariadb.kill();
            assert!(slow.join().unwrap().is_err());
        });
    }
    if let Some(redis) = Redis::start() {
        thread::scope(|scope| {
            let slow = scope.spawn(|| redis.try_run(1, &["BLPOP", "nothing", "600"]));
            eventually("it waits", || redis.running("blpop") == 1);
            assert_eq!(redis.sessions(), 1);
            redis.run(1, &["RPUSH", "nothing", "something"]);
            assert_eq!(slow.join().unwrap().unwrap(), "nothing\nsomething");
        });
    }
}

#[test]
fn what_a_server_refuses_is_an_error_with_its_reason() {
    if let Some(postgres) = Postgres::shared() {
        let error = postgres.try_run("postgres", "SELECT nothing").unwrap_err();
        assert!(error.contains("nothing"), "{error}");
    }
    if let Some(mariadb) = MariaDb::shared() {
        let error = mariadb.try_run("mysql", "SELECT nothing").unwrap_err();
        assert!(error.contains("nothing"), "{error}");
    }
    if let Some(redis) = Redis::shared() {
        let error = redis.try_run(0, &["NOTHING"]).unwrap_err();
        assert!(error.contains("NOTHING"), "{error}");
    }
}

/// The test below runs this one in a process of its own, and ends that.
#[test]
#[ignore = "it waits to be killed; the test below runs it"]
fn starts_servers_and_waits() {
    let lines = [
        Postgres::shared().map(|server| line(server)),
        MariaDb::shared().map(|server| line(server)),
        Redis::shared().map(|server| line(server)),
    ];
    if env::var_os("PAUSED").is_some() {
        Postgres::shared().inspect(|server| server.pause());
    }
    for line in lines.into_iter().flatten() {
        report(&format!("started {line}"));
    }
    report("all");
    // Ends when the other test does.
    let _ = std::io::stdin().read(&mut [0]);
}

fn line(server: &PrivateServer) -> String {
    format!("{} {}", server.pid().unwrap(), server.folder().display())
}

fn servers_end_with_a_process_that(ends: &str, is_paused: bool) {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--ignored", "--exact", "starts_servers_and_waits"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if is_paused {
        command.env("PAUSED", "");
    }
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let lines: Vec<String> = lines
        .map(Result::unwrap)
        .take_while(|line| line != "all")
        .collect();
    let servers: Vec<(u32, PathBuf)> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("started "))
        .map(|line| {
            let (pid, folder) = line.split_once(' ').unwrap();
            (pid.parse().unwrap(), PathBuf::from(folder))
        })
        .collect();
    assert!(
        servers
            .iter()
            .all(|(pid, folder)| is_alive(*pid) && folder.exists())
    );
    let segments: Vec<String> = servers
        .iter()
        .filter_map(|(_, folder)| segment(folder))
        .collect();
    if ends == "is killed" {
        child.kill().unwrap();
    } else {
        drop(child.stdin.take());
    }
    child.wait().unwrap();
    for (pid, folder) in &servers {
        eventually("the server ends", || !is_alive(*pid));
        eventually("its files go", || !folder.exists());
        let home = folder.parent().unwrap();
        eventually("so does the folder of all", || !Path::exists(home));
    }
    for segment in &segments {
        eventually("its shared memory goes", || !is_shared(segment));
    }
}

#[test]
fn servers_do_not_outlive_a_test_program_that_ends() {
    servers_end_with_a_process_that("ends", false);
}

#[test]
fn servers_do_not_outlive_a_test_program_that_is_killed() {
    servers_end_with_a_process_that("is killed", false);
}

#[test]
fn a_paused_server_does_not_outlive_a_test_program_that_is_killed() {
    servers_end_with_a_process_that("is killed", true);
}

#[test]
fn the_server_of_a_test_that_panics_is_gone_after_it() {
    let Some(redis) = Redis::start() else { return };
    let pid = redis.pid().unwrap();
    let outcome = thread::spawn(move || {
        let _redis = redis;
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(outcome.join().is_err());
    assert!(!is_alive(pid));
}

#[test]
fn a_backend_that_is_not_installed_is_told_once_and_fails_tests_only_where_it_must_be_there() {
    let without_path = |required: &str| {
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", "a_private_redis_lives_and_dies_as_it_is_told"])
            .env("PATH", "/nowhere")
            .env("PONTOON_TEST_BACKENDS", required)
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        (output.status.success(), told)
    };
    let (passed, told) = without_path("postgres");
    assert!(passed);
    let line = "skipped: redis-server is not installed (on Debian: apt-get install redis-server)\n";
    assert_eq!(told, line);
    assert!(!without_path("postgres redis").0);
}
