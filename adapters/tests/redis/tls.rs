//! TLS to the server, with certificates that the test makes with the `openssl` command.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use pontoon_adapters::ErrorKind;
use pontoon_adapters::redis::{Redis, Work};
use pontoon_tests::PATIENCE;
use tempfile::TempDir;

use super::rig::{MODES, Rig, get, put, text};
use super::server::Server;

const NO_AUTHORITY: &str = "basicConstraints=critical,CA:FALSE";

/// An authority, and certificates by it for the server and for us.
struct Certificates(TempDir);

impl Certificates {
    fn new(server: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = Self(folder);
        let name = format!("subjectAltName=IP:{}", server.address().ip());
        made.openssl(
            "req -x509 -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
            &[],
        );
        let by_ca = "-x509 -days 2 -CA ca.pem -CAkey ca.key";
        let server = format!("req {by_ca} -subj /CN=server -keyout server.key -out server.pem");
        made.openssl(&server, &["-addext", &name, "-addext", NO_AUTHORITY]);
        let client = format!("req {by_ca} -subj /CN=client -keyout client.key -out client.pem");
        made.openssl(&client, &["-addext", NO_AUTHORITY]);
        // The server runs as somebody else.
        fs::set_permissions(made.0.path(), Permissions::from_mode(0o755)).unwrap();
        for file in fs::read_dir(made.0.path()).unwrap() {
            fs::set_permissions(file.unwrap().path(), Permissions::from_mode(0o644)).unwrap();
        }
        made
    }

    fn openssl(&self, arguments: &str, more: &[&str]) {
        let key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ')).args(key).args(more);
        let output = command.current_dir(self.0.path()).output().unwrap();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {problem}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Has the server listen with TLS as well; its URL.
fn listen(server: &Server, certificates: &Certificates) -> String {
    let set = |key: &str, value: &str| {
        let _: () = server.ask(&["CONFIG", "SET", key, value]);
    };
    let path = |name: &str| certificates.path(name).display().to_string();
    let ip = server.address().ip();
    let port = TcpListener::bind((ip, 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let _: () = server.ask(&[
        "CONFIG",
        "SET",
        "tls-cert-file",
        &path("server.pem"),
        "tls-key-file",
        &path("server.key"),
        "tls-ca-cert-file",
        &path("ca.pem"),
    ]);
    set("tls-port", &port.to_string());
    format!("rediss://{ip}:{port}")
}

fn redis(url: &str, words: &[&str]) -> Redis {
    Redis::new(url, Work::command(words.iter().copied()).unwrap()).unwrap()
}

#[test]
fn a_connection_is_protected_and_both_sides_know_each_other() {
    let Some(server) = Server::start() else {
        return;
    };
    let certificates = Certificates::new(&server);
    let url = listen(&server, &certificates);
    let path = |name| certificates.path(name);
    let (ca, cert, key) = (path("ca.pem"), path("client.pem"), path("client.key"));
    let ours: Option<(&Path, &Path)> = Some((&cert, &key));
    for mode in MODES {
        let rig = |words: &[&str], ca: Option<&Path>, identity| {
            Rig::new(mode, redis(&url, words).tls(ca, identity).unwrap())
        };
        let set = rig(&["SET", ":key", ":body"], Some(&ca), ours);
        let read = rig(&["GET", ":key"], Some(&ca), ours);
        // More than fits into a record, or into the buffers of sockets.
        let large = "x".repeat(10 << 20);
        for value in ["", "abc", &large] {
            assert_eq!(
                text(set.call(put(value.to_owned()), &[("key", "k")])),
                r#""OK""#
            );
            assert!(read.text(&[("key", "k")]) == format!("{value:?}"));
        }
        // A server that nobody vouches for, and a client that the server does not know.
        for unknown in [rig(&["PING"], None, ours), rig(&["PING"], Some(&ca), None)] {
            let error = unknown.call(get(), &[]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadGateway, "{error:?}");
        }
    }
}

#[test]
fn many_calls_share_a_protected_connection_and_a_broken_one_is_replaced() {
    let Some(server) = Server::start() else {
        return;
    };
    let certificates = Certificates::new(&server);
    let url = listen(&server, &certificates);
    let _: () = server.ask(&["CONFIG", "SET", "tls-auth-clients", "no"]);
    let ca = certificates.path("ca.pem");
    for mode in MODES {
        let echo = redis(&url, &["ECHO", ":text"])
            .tls(Some(&ca), None)
            .unwrap();
        let rig = Rig::new(mode, echo);
        for _ in 0..3 {
            let texts: Vec<String> = (0..200)
                .map(|number| number.to_string().repeat(200))
                .collect();
            let calls = texts.iter().map(|text| {
                let (rig, params) = (&rig, [("text", text.as_str())]);
                super::many::boxed(async move { rig.begin(get(), &params, PATIENCE).await })
            });
            let outcomes = rig.block_on(super::many::all(calls.collect()));
            for (expected, outcome) in texts.iter().zip(outcomes) {
                assert_eq!(text(outcome), format!("{expected:?}"));
            }
            server.kill_clients();
            rig.turn();
        }
    }
}

#[test]
fn a_server_that_hangs_in_the_handshake_holds_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("rediss://{}", listener.local_addr().unwrap());
    let limit = std::time::Duration::from_millis(100);
    for mode in MODES {
        let rig = Rig::new(mode, redis(&url, &["PING"]).connect_timeout(limit));
        let error = rig.call(get(), &[]).unwrap_err();
        let kind = error.kind();
        let is_expected = matches!(kind, ErrorKind::BadGateway | ErrorKind::TimedOut);
        assert!(is_expected, "{error:?}");
    }
}
