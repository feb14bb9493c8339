//! What the keys say, and mistakes in them.

use http::StatusCode;
use std::time::Duration;

use super::*;

fn read(text: &str) -> Result<(Redis, Mode), String> {
    let text = format!("server = 'redis://localhost'\n{text}");
    Settings::parse(&text, KEYS, from_settings).map_err(|errors| errors.render(false))
}

fn errors(text: &str) -> String {
    read(text).unwrap_err()
}

#[test]
fn every_key_is_read() {
    let (redis, mode) = read(
        r#"
        command = ["GET", ":key"]
        output = "raw"
        content_type = "image/png"
        nil = 410
        zero = 204
        status = 201
        connect_timeout = "70ms"
        max_response = "2KiB"
        mode = "loop"
        max_in_flight = 7
        "#,
    )
    .unwrap();
    assert_eq!(mode, Mode::Loop);
    let png = HeaderValue::from_static("image/png");
    assert_eq!(redis.answer.output, Output::Raw(png));
    assert_eq!(redis.answer.nil, Some(StatusCode::GONE));
    assert_eq!(redis.answer.zero, Some(StatusCode::NO_CONTENT));
    assert_eq!(redis.answer.status, StatusCode::CREATED);
    assert_eq!(redis.answer.max_bytes, 2048);
    assert_eq!(redis.connect_timeout, Duration::from_millis(70));
    assert_eq!(redis.max_in_flight, 7);
}

#[test]
fn the_defaults_are_those_that_the_keys_name() {
    let (redis, mode) = read("command = ['PING']").unwrap();
    let default = Redis::new("redis://localhost", Work::command(["PING"]).unwrap()).unwrap();
    assert_eq!(mode, Mode::default());
    assert_eq!(redis.answer.output, default.answer.output);
    assert_eq!(redis.answer.max_bytes, default.answer.max_bytes);
    assert_eq!(redis.answer.status, default.answer.status);
    assert_eq!(redis.connect_timeout, default.connect_timeout);
    assert_eq!(redis.max_in_flight, default.max_in_flight);
    let (redis, _) = read("command = ['PING']\noutput = 'raw'").unwrap();
    assert_eq!(
        redis.answer.output,
        Output::Raw(HeaderValue::from_static(BYTES))
    );
}

#[test]
fn lists_and_scripts_are_read() {
    read("commands = [['INCR', 'n'], ['GET', ':key']]\nmulti = true").unwrap();
    read("script = 'return 1'\nkeys = [':key']\narguments = ['a', ':b']").unwrap();
    read("script = 'return 1'").unwrap();
    read("subscribe = ['news', ':channel']\nmode = 'loop'").unwrap();
    let text = errors("subscribe = ['news']");
    assert!(text.contains("write `mode = \"loop\"`"), "{text}");
    assert!(errors("subscribe = []\nmode = 'loop'").contains("no channel"));
}

#[test]
fn there_is_one_thing_to_do() {
    assert!(errors("").contains("missing key `command`"));
    let both = errors("command = ['PING']\nscript = 'return 1'");
    assert!(both.contains("`command` is given as well"), "{both}");
}

#[test]
fn keys_that_mean_nothing_here_are_errors() {
    for (text, with) in [
        (
            "command = ['PING']\nmulti = true",
            "`multi` is for `commands`",
        ),
        ("command = ['PING']\nkeys = ['a']", "`keys` is for `script`"),
        (
            "command = ['PING']\ncontent_type = 'a/b'",
            "is for `output = \"raw\"`",
        ),
        (
            "command = ['PING']\nmax_in_flight = 5",
            "is for `mode = \"loop\"`",
        ),
        (
            "commands = [['PING']]\nnil = 404",
            "this is for a single reply",
        ),
        (
            "commands = [['PING']]\noutput = 'raw'",
            "this is for a single reply",
        ),
    ] {
        let errors = errors(text);
        assert!(errors.contains(with), "{text}: {errors}");
    }
}

#[test]
fn mistakes_are_told_where_they_are() {
    let text = errors("command = 'GET :key'");
    assert!(
        text.contains("each argument is a text of its own"),
        "{text}"
    );
    let text = errors("commands = ['GET', 'a']");
    assert!(
        text.contains("an array of arrays of texts, not text"),
        "{text}"
    );
    let text = errors("commands = [['EXPIRE', 'a', 60]]");
    assert!(text.contains("not an integer"), "{text}");
    let text = errors("command = ['BLPOP', ':key', '0']\nmode = 'loop'");
    assert!(text.contains("`BLPOP` waits"), "{text}");
    let text = errors("command = ['PING']\nmode = 'lop'");
    assert!(text.contains("did you mean `loop`"), "{text}");
    let text = errors("command = ['GET', ':key']\noutput = 'raw'\ncontent_type = 'png'");
    assert!(text.contains("a media type"), "{text}");
}

#[test]
fn a_password_that_is_not_there_is_found_at_start() {
    let text = errors("command = ['PING']\npassword_env = 'PONTOON_NO_SUCH_VARIABLE'");
    assert!(text.contains("PONTOON_NO_SUCH_VARIABLE"), "{text}");
    let text = errors("command = ['PING']\npassword_file = '/no/such/file'");
    assert!(text.contains("/no/such/file"), "{text}");
    let text = errors("command = ['PING']\npassword_file = 'a'\npassword_env = 'b'");
    assert!(text.contains("remove one of them"), "{text}");
}

#[test]
fn tls_is_for_an_url_of_tls_and_a_certificate_goes_with_its_key() {
    let text = errors("command = ['PING']\ntls_ca = 'ca.pem'");
    assert!(text.contains("`rediss://`"), "{text}");
    let text = errors("command = ['PING']\ntls_cert = 'cert.pem'");
    assert!(text.contains("`tls_key` is missing"), "{text}");
}

#[test]
fn all_that_is_missing_shows_at_once() {
    let errors = Settings::parse("", KEYS, from_settings).unwrap_err();
    let errors = errors.render(false);
    assert!(errors.contains("`server`"), "{errors}");
    assert!(errors.contains("`command`"), "{errors}");
}
