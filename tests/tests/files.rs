//! Files and names over a real socket: what a browser sees, and what an attacker does not.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::fs;

use pontoon_tests::documented;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::problem::problem;
use serde_json::json;
use tempfile::TempDir;

/// A site with a secret beside it, served on `/` and, by name, on `/get`.
struct Site {
    server: Fixture,
    _folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("site");
        fs::create_dir_all(root.join("docs")).unwrap();
        fs::write(folder.path().join("secret.txt"), "secret").unwrap();
        fs::write(root.join("index.html"), "<p>home").unwrap();
        fs::write(root.join("docs/a b.txt"), "0123456789").unwrap();
        fs::write(root.join("docs/index.html"), "<p>docs").unwrap();
        let locations: String = ["/", "/{*path}", "/get"]
            .iter()
            .map(|path| {
                format!(
                    "[[location]]\npath = \"{path}\"\nadapter = \"file\"\npool = \"disk\"\n\
                     root = {root:?}\nindex = \"index.html\"\n"
                )
            })
            .collect();
        let server = Fixture::from_toml(&format!("[pool.disk]\nthreads = 2\n{locations}"));
        Self {
            server,
            _folder: folder,
        }
    }
}

#[test]
fn a_site_is_served_from_its_folder() {
    let site = Site::new();
    assert_eq!(site.server.get("/").text(), "<p>home");
    let response = site.server.get("/docs/a%20b.txt");
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "0123456789")
    );
    assert_eq!(
        response.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let moved = site.server.get("/docs");
    assert_eq!(
        (moved.status, moved.header("location")),
        (301, Some("./docs/"))
    );
    assert_eq!(site.server.get("/docs/").text(), "<p>docs");
    assert_eq!(site.server.get("/get?path=docs/").text(), "<p>docs");
    assert_eq!(
        problem(&site.server.get("/none"), 404),
        "there is no such file"
    );
}

#[test]
fn no_target_leads_out_of_the_folder() {
    let site = Site::new();
    for target in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/docs/..%2f..%2fsecret.txt",
        "/docs/%2e%2e/%2e%2e/secret.txt",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/docs/a%20b.txt%00.html",
        "/%252e%252e/secret.txt",
        "/get?path=../secret.txt",
        "/get?path=%2Fetc%2Fpasswd",
    ] {
        problem(&site.server.get(target), 404);
    }
    problem(&site.server.get("/%ff"), 400);
}

#[test]
fn head_tells_the_length_of_what_it_does_not_send() {
    let site = Site::new();
    let mut connection = site.server.connect();
    connection.send_request("HEAD", "/docs/a%20b.txt", &[], b"");
    let head = connection.read_response("HEAD");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("10"))
    );
    assert_eq!(head.headers_named("content-length"), 1);
    // The connection goes on where the body would have been.
    connection.send_request("GET", "/docs/a%20b.txt", &[], b"");
    assert_eq!(connection.read_response("GET").text(), "0123456789");
}

#[test]
fn caches_and_players_get_what_they_ask_for() {
    let site = Site::new();
    let get =
        |headers: &[(&str, &str)]| site.server.request("GET", "/docs/a%20b.txt", headers, b"");
    let first = get(&[]);
    let tag = first.header("etag").unwrap();
    let date = first.header("last-modified").unwrap();
    for held in [("If-None-Match", tag), ("If-Modified-Since", date)] {
        let response = get(&[held]);
        assert_eq!((response.status, response.body.len()), (304, 0), "{held:?}");
    }
    let part = get(&[("Range", "bytes=2-4"), ("If-Range", tag)]);
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    let beyond = get(&[("Range", "bytes=10-")]);
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.header("content-range"), Some("bytes */10"));
    let refused = site.server.request("DELETE", "/docs/a%20b.txt", &[], b"");
    problem(&refused, 405);
    assert_eq!(refused.header("allow"), Some("GET, HEAD"));
}

#[test]
fn a_name_is_resolved_or_refused() {
    let server = Fixture::from_toml(
        "[pool.dns]\nthreads = 2\n[[location]]\npath = \"/resolve/{name}\"\nadapter = \"resolve\"\n\
         pool = \"dns\"\nfamily = \"ipv4\"\n",
    );
    let answer = server.get("/resolve/localhost");
    let addresses = json!([{"family": "ipv4", "address": "127.0.0.1"}]);
    assert_eq!(
        (answer.status, &answer.json()["addresses"]),
        (200, &addresses)
    );
    problem(&server.get("/resolve/::1"), 404);
    for target in [
        "/resolve/a%00b",
        "/resolve/a..b",
        "/resolve/-x",
        "/resolve/a%0Ab",
    ] {
        let detail = problem(&server.get(target), 400);
        assert!(detail.starts_with("this is no host name"), "{detail}");
    }
}

#[test]
fn the_documented_config_files_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let files = documented::config(include_str!("../../adapters/src/file.rs"));
    documented::check(&files.replace("\"site\"", &format!("{:?}", folder.path())));
    documented::check(&documented::config(include_str!(
        "../../adapters/src/resolve.rs"
    )));
}
