//! What a config file that is right means.

use std::time::Duration;

use pontoon::config::{
    Config, LOCATION_KEYS, ListenAddress, Overrides, POOL_KEYS, SERVER_KEYS, ServerConfig,
};
use pontoon::{ClientKey, Server, Share, Spin};
use pontoon_adapters::registry::Kind;
use pontoon_adapters::settings::{AutoOr, KeySpec};

use super::{errors, parse, registry};

pub(crate) const MINIMAL: &str =
    "listen = '127.0.0.1:8080'\n[[location]]\npath = '/'\nadapter = 'echo'\n";

#[test]
fn an_absent_key_means_its_documented_default() {
    let config = parse(MINIMAL).unwrap();
    let expected = ServerConfig {
        listen: "127.0.0.1:8080".parse().unwrap(),
        admin: None,
        loops: AutoOr::Auto,
        spin: Spin::Auto,
        max_connections: 10_000,
        header_timeout: Duration::from_secs(10),
        keep_alive: Duration::from_secs(75),
        request_timeout: Duration::from_secs(30),
        min_body_rate: 240,
        body_grace: Duration::from_secs(5),
        send_timeout: Duration::from_secs(30),
        min_send_rate: 240,
        max_request_line_bytes: 8 << 10,
        max_header_bytes: 32 << 10,
        max_body_bytes: 1 << 20,
        shutdown_timeout: Duration::from_secs(30),
        restart_when_stuck: None,
    };
    assert_eq!(config.server, expected);
    let location = &config.locations[0];
    assert_eq!((location.adapter, location.kind), ("echo", Kind::Loop));
    assert_eq!((&location.methods, &location.pool), (&None, &None));
    assert_eq!(location.deadline, Duration::from_secs(30));
    assert!(location.client_deadline);
    assert_eq!(location.stream_timeout, Duration::from_secs(3600));
    assert_eq!(
        (location.max_body_bytes, location.server_timing),
        (1 << 20, false)
    );
    assert_eq!(location.max_running, Some(1024));
    assert_eq!((location.share, location.max_per_client), (None, None));
    assert_eq!(location.client_key, ClientKey::Address);

    let config = parse(&format!("{MINIMAL}[pool.db]\n")).unwrap();
    let pool = &config.pools[0];
    assert_eq!((pool.threads, pool.max_queue), (8, 256));
    assert_eq!(pool.session_idle, Duration::from_secs(60));
    assert_eq!(pool.session_check_after, Duration::from_secs(1));
    assert_eq!((pool.session_max_age, pool.session_max_uses), (None, None));
    assert_eq!((pool.sessions_min, pool.breaker), (0, true));
    assert_eq!((pool.stack_size_bytes, pool.spin), (2 << 20, Spin::Auto));
}

#[test]
fn what_the_file_says_is_what_the_server_gets() {
    let config = parse(
        r#"
        listen = "unix:/run/pontoon.sock"
        admin = "127.0.0.1:9090"
        loops = 2
        spin = "20us"
        max_connections = 500
        keep_alive = "1m 30s"
        min_body_rate = "1KiB"
        min_send_rate = 0
        max_body = "2MiB"
        shutdown_timeout = "0s"
        [pool.db]
        threads = 4
        max_queue = 0
        stack_size = 131072
        spin = "off"
        [[location]]
        path = "/users/{id}"
        methods = ["GET", "HEAD", "GET"]
        adapter = "store"
        pool = "db"
        deadline = "250ms"
        client_deadline = false
        stream_timeout = "2m"
        share = 4
        max_per_client = 2
        client_key = "header:X-Api-Key"
        server_timing = true
        database = "users.db"
        query = "SELECT 1"
        [[location]]
        path = "/upload/{*rest}"
        methods = "PUT"
        adapter = "remote"
        max_body = "16MiB"
        max_running = 3
        "#,
    )
    .unwrap();
    assert_eq!(config.warnings.diagnostics(), []);
    assert_eq!(
        config.server.listen,
        ListenAddress::Unix("/run/pontoon.sock".into())
    );
    assert_eq!(config.server.admin, "127.0.0.1:9090".parse().ok());
    assert_eq!(config.server.loops, AutoOr::Fixed(2));
    assert_eq!(config.server.spin, Spin::For(Duration::from_micros(20)));
    assert_eq!(config.server.keep_alive, Duration::from_secs(90));
    let rates = (config.server.min_body_rate, config.server.min_send_rate);
    assert_eq!(rates, (1024, 0));
    assert_eq!(config.server.shutdown_timeout, Duration::ZERO);
    let pool = &config.pools[0];
    assert_eq!(
        (pool.name.as_str(), pool.threads, pool.max_queue),
        ("db", 4, 0)
    );
    assert_eq!((pool.stack_size_bytes, pool.spin), (128 << 10, Spin::Off));

    let [users, upload] = &config.locations[..] else {
        panic!("{config:?}")
    };
    assert_eq!(
        users.methods,
        Some(vec![http::Method::GET, http::Method::HEAD])
    );
    assert_eq!(
        (users.pool.as_deref(), users.max_running),
        (Some("db"), None)
    );
    assert_eq!(
        (users.deadline, users.server_timing),
        (Duration::from_millis(250), true)
    );
    assert!(!users.client_deadline && upload.client_deadline);
    assert_eq!(users.stream_timeout, Duration::from_secs(120));
    assert_eq!(users.share, Some(Share::Calls(4)));
    assert_eq!(users.max_per_client, Some(2));
    assert_eq!(users.client_key.to_string(), "header:x-api-key");
    assert_eq!(
        users.max_body_bytes,
        2 << 20,
        "the server's, where the location has none"
    );
    assert_eq!(upload.methods, Some(vec![http::Method::PUT]));
    assert_eq!(
        (upload.pool.as_deref(), upload.max_running),
        (None, Some(3))
    );
    assert_eq!(upload.max_body_bytes, 16 << 20);
}

/// The `spin` of the loops and of a pool's workers; each line may be empty.
fn spins(server: &str, pool: &str) -> (Spin, Spin) {
    let config = parse(&format!("{server}\n{MINIMAL}[pool.db]\n{pool}\n")).unwrap();
    (config.server.spin, config.pools[0].spin)
}

#[test]
fn a_pool_spins_as_the_loops_do_unless_it_says_otherwise() {
    let us = |us| Spin::For(Duration::from_micros(us));
    assert_eq!(spins("", ""), (Spin::Auto, Spin::Auto));
    assert_eq!(spins("spin = 'off'", ""), (Spin::Off, Spin::Off));
    assert_eq!(spins("spin = '50µs'", ""), (us(50), us(50)));
    assert_eq!(spins("spin = '10ms'", "spin = '1us'"), (us(10_000), us(1)));
    assert_eq!(spins("", "spin = 'off'"), (Spin::Auto, Spin::Off));
    let both = spins("spin = 'off'", "spin = 'auto'");
    assert_eq!(both, (Spin::Off, Spin::Auto));
}

/// Seen by a value that no file can have, and that the pool refuses.
#[test]
fn what_the_file_says_of_spinning_reaches_the_pool() {
    let mut config = parse(&format!("{MINIMAL}[pool.db]\n")).unwrap();
    config.pools[0].spin = Spin::For(Spin::MAX * 2);
    let started = Server::from_config(config).listen("127.0.0.1:0").start();
    let error = started.unwrap_err().to_string();
    assert!(error.contains("spin for 20ms"), "{error}");
}

#[test]
fn the_command_line_address_wins_and_the_file_may_leave_it_out() {
    let listen = Some(ListenAddress::Unix("/tmp/x".into()));
    let overrides = Overrides {
        listen: listen.clone(),
    };
    let without = MINIMAL.split_once('\n').unwrap().1;
    for text in [MINIMAL, without] {
        let config = Config::parse_with(text, "p", &registry::registry(), &overrides).unwrap();
        assert_eq!(Some(config.server.listen), listen);
    }
    let wrong = MINIMAL.replace("127.0.0.1:8080", "nowhere");
    assert!(Config::parse_with(&wrong, "p", &registry::registry(), &overrides).is_err());
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_mistake() {
    parse(&format!("\u{feff}{}", MINIMAL.replace('\n', "\r\n"))).unwrap();
    let wrong = format!(
        "\u{feff}{}",
        MINIMAL.replace("'echo'", "'ecko'").replace('\n', "\r\n")
    );
    assert!(
        errors(&wrong).contains("pontoon.toml:4:11\n"),
        "{}",
        errors(&wrong)
    );
}

#[test]
fn a_share_may_be_a_part_and_clients_of_a_unix_socket_have_no_address() {
    let text = |key: &str| {
        format!(
            "listen = 'unix:/tmp/x'\n[pool.db]\n[[location]]\npath = '/'\nadapter = 'store'\n\
             pool = 'db'\ndatabase = 'a'\nquery = 'b'\nshare = '25 %'\nmax_per_client = 1\n{key}\n"
        )
    };
    let config = parse(&text("")).unwrap();
    assert_eq!(config.locations[0].share, Some(Share::Percent(25)));
    let warnings = config.warnings.render(false);
    assert!(
        warnings.contains("have no address: all of them count as one"),
        "{warnings}"
    );
    let config = parse(&text("client_key = 'header:X-Real-IP'")).unwrap();
    assert_eq!(config.warnings.diagnostics(), []);
}

#[test]
fn a_pool_that_no_location_uses_is_a_warning() {
    let config = parse(&format!("{MINIMAL}[pool.spare]\n")).unwrap();
    let warnings = config.warnings.render(false);
    assert!(
        warnings.starts_with("warning: no location uses the pool `spare`\n"),
        "{warnings}"
    );
    assert!(warnings.contains("pontoon.toml:5:1"), "{warnings}");
}

/// A date is the wrong type for every key: a key that takes it in silence is never read.
fn assert_read(keys: &[KeySpec], file_with: impl Fn(&str) -> String) {
    for key in keys.iter().map(|key| key.name) {
        let shown = errors(&file_with(&format!("{key} = 1979-05-27\n")));
        let about = [format!("`{key}` must be"), format!("each `{key}` has")];
        assert!(
            about.iter().any(|about| shown.contains(about)),
            "{key}: {shown}"
        );
    }
}

#[test]
fn every_documented_key_is_read() {
    assert_read(SERVER_KEYS, str::to_owned);
    assert_read(POOL_KEYS, |line| format!("{MINIMAL}[pool.db]\n{line}"));
    // The `adapter` key decides which others are read, so it stays but when it is the one.
    assert_read(LOCATION_KEYS, |line| match line.split(' ').next() {
        Some("adapter") => format!("[[location]]\n{line}"),
        Some("share") => format!("[[location]]\nadapter = 'store'\n{line}"),
        _ => format!("[[location]]\nadapter = 'echo'\n{line}"),
    });
}
