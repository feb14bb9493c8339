//! One happy path per adapter, over a real socket.

use pontoon_tests::fixture::Fixture;

#[test]
fn echo_answers_what_it_was_sent() {
    let server = Fixture::from_toml(
        "[pool.p]\nthreads = 1\n[[location]]\npath = \"/echo\"\nadapter = \"echo\"\npool = \"p\"\n",
    );
    let response = server.request("POST", "/echo", &[("Content-Type", "text/plain")], b"hello");
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    assert_eq!(response.header("content-type"), Some("text/plain"));
}
