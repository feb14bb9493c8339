//! Rows that are sent as they come.

use std::io::Read;
use std::process::Command;

use http::Method;
use pontoon_adapters::ErrorKind;
use pontoon_tests::fixture::Fixture;
use pontoon_tests::process::resident_bytes;
use serde_json::json;

use crate::fixture::{Client, database, get, post, request, text};

const QUERY: &str = "query = 'SELECT n, repeat($$x$$, 1000) AS x, 10 / (:bad::int - n) AS y FROM generate_series(1, :n::int) n'";

#[test]
fn a_stream_has_what_the_whole_answer_would_have() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    for format in ["array", "ndjson", "csv"] {
        let keys = format!("format = '{format}'\n{QUERY}");
        let mut whole = Client::new(server, &database, &keys);
        let mut stream = Client::new(server, &database, &format!("stream = true\n{keys}"));
        for target in ["/?n=0&bad=0", "/?n=1&bad=0", "/?n=3000&bad=0"] {
            let (whole, stream) = (whole.get(target).unwrap(), stream.get(target).unwrap());
            assert_eq!(stream.headers(), whole.headers(), "{format} {target}");
            assert!(text(&stream) == text(&whole), "{format} {target}");
            assert!(!stream.breaks_session());
        }
    }
}

#[test]
fn what_fails_before_the_first_row_is_an_answer_of_its_own() {
    let Some((server, database)) = database("SELECT 1") else {
        return;
    };
    let mut client = Client::new(server, &database, &format!("stream = true\n{QUERY}"));
    for _ in 0..2 {
        let error = client.get("/?n=9&bad=1").unwrap_err();
        assert_eq!(
            (error.kind(), error.breaks_session()),
            (ErrorKind::Unprocessable, false)
        );
        assert_eq!(
            client.get("/?n=9").unwrap_err().kind(),
            ErrorKind::BadRequest
        );
        assert!(client.get("/?n=9&bad=0").is_ok());
    }
    // Later it cuts the response, and the session goes.
    let error = client.get("/?n=9000&bad=5000").unwrap_err();
    assert!(error.breaks_session());
}

#[test]
fn no_rows_have_their_status_and_what_changes_something_is_not_streamed() {
    let schema = "CREATE TABLE t (id int)";
    let Some((server, database)) = database(schema) else {
        return;
    };
    let keys = "stream = true\nno_rows = 404\nqueries.GET = 'SELECT * FROM t'\n\
                queries.POST = 'INSERT INTO t VALUES (1) RETURNING id'";
    let mut client = Client::new(server, &database, keys);
    assert_eq!(client.get("/").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(client.text(post(&json!({}))), r#"[{"id":1}]"#);
    assert_eq!(client.text(get("/")), r#"[{"id":1}]"#);
    assert!(
        client
            .call(request(Method::PUT, "/", "", Vec::new()))
            .is_err()
    );
}

fn ask(target: &str, keys: &str) -> Option<std::net::TcpStream> {
    let (server, database) = database("SELECT 1")?;
    let url = server.url(&database);
    let text = format!(
        "[pool.p]\nthreads = 1\n[[location]]\npath = '/s'\nadapter = 'postgres'\npool = 'p'\n\
         deadline = '20s'\nurl = '{url}'\nstream = true\n{keys}\n"
    );
    let fixture = Box::leak(Box::new(Fixture::from_toml(&text)));
    let mut stream = std::net::TcpStream::connect(fixture.address()).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    Some(stream)
}

#[test]
fn a_failure_after_the_first_row_is_seen_by_the_client() {
    let Some(mut stream) = ask("/s?n=9000&bad=5000", QUERY) else {
        return;
    };
    let mut answer = Vec::new();
    // It may end by a reset.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:.200}");
    assert!(!answer.ends_with("0\r\n\r\n") && answer.contains("\"n\":1,"));
}

#[test]
#[ignore = "the test below runs it in a process of its own"]
fn a_large_result_in_a_process_of_its_own() {
    const BYTES: u64 = 256 << 20;
    let keys =
        "format = 'csv'\nquery = 'SELECT repeat($$x$$, 4096) AS x FROM generate_series(1, 65536)'";
    let Some(mut stream) = ask("/s", keys) else {
        return;
    };
    let mut buffer = vec![0; 64 * 1024];
    let mut read = stream.read(&mut buffer).unwrap() as u64;
    let before = resident_bytes();
    let mut most = before;
    loop {
        let more = stream.read(&mut buffer).unwrap() as u64;
        if more == 0 {
            break;
        }
        if read >> 22 != (read + more) >> 22 {
            most = most.max(resident_bytes());
        }
        read += more;
    }
    assert!(read > BYTES, "{read}");
    let growth = most - before;
    assert!(growth < 16 << 20, "{growth} bytes more in RAM");
}

#[test]
fn a_large_result_takes_little_memory() {
    let program = std::env::current_exe().unwrap();
    let name = "streaming::a_large_result_in_a_process_of_its_own";
    let output = Command::new(program)
        .args(["--ignored", "--exact", name])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
}
