use std::time::Duration;

use super::*;

const QUERY: &str = "query = 'SELECT 1 AS a'\n";

fn read(keys: &str) -> Result<MySql, String> {
    let read = Settings::parse(&format!("{QUERY}{keys}"), &KEYS, MySql::from_settings);
    read.map_err(|errors| errors.render(false))
}

#[track_caller]
fn wrong(keys: &str, expected: &str) {
    let errors = read(keys).unwrap_err();
    assert!(errors.contains(expected), "{keys}: {errors}");
}

#[test]
fn every_key_is_read() {
    let adapter = read(
        "server = ['db:3307', '/run/s']\nuser = 'u'\npassword = 'p'\ndatabase = 'd'\ntls = 'require'\n\
         connect_timeout = '70ms'\nretries = 3\nreset = true\nmax_response = '100MiB'",
    )
    .unwrap();
    let login = &adapter.login;
    assert_eq!(
        login.servers,
        [
            Server::parse("db:3307").unwrap(),
            Server::parse("/run/s").unwrap()
        ]
    );
    assert_eq!(login.user.as_c_str(), c"u");
    assert_eq!(login.password.read().unwrap().as_deref(), Some(c"p"));
    assert_eq!(login.database.as_deref(), Some(c"d"));
    assert_eq!((login.tls, &login.ca_file), (Tls::Require, &None));
    assert_eq!(login.connect_timeout, Duration::from_millis(70));
    assert_eq!(login.packet_bytes_max, 100 << 20);
    assert_eq!((adapter.common.retries, adapter.resets), (3, true));
}

#[test]
fn the_defaults_are_those_that_the_keys_name() {
    let adapter = read("server = 'db'\nuser = 'u'").unwrap();
    let login = &adapter.login;
    assert_eq!(login.password.read().unwrap(), None);
    assert_eq!((login.tls, &login.database), (Tls::Prefer, &None));
    assert_eq!(login.connect_timeout, Duration::from_secs(5));
    assert_eq!(login.packet_bytes_max, PACKET_BYTES_MIN);
    assert_eq!((adapter.common.retries, adapter.resets), (0, false));
}

#[test]
fn all_that_is_missing_shows_at_once() {
    let errors = Settings::parse("", &KEYS, MySql::from_settings).unwrap_err();
    let errors = errors.render(false);
    for key in ["`server`", "`user`", "`query`"] {
        assert!(errors.contains(key), "{errors}");
    }
}

#[test]
fn mistakes_are_explained_where_they_are() {
    let rest = "user = 'u'\n";
    wrong(
        &format!("{rest}server = 'db:x'"),
        "its port is not between 1 and 65535",
    );
    wrong(&format!("{rest}server = ['db', '']"), "it has no host");
    wrong(&format!("{rest}server = []"), "there must be a server");
    wrong("server = 'db'\nuser = ''", "`user` is empty");
    let rest = "server = 'db'\nuser = 'u'\n";
    wrong(&format!("{rest}pasword = 'x'"), "password");
    wrong(&format!("{rest}database = ''"), "it is empty");
    wrong(&format!("{rest}tls = 'yes'"), "prefer");
    wrong(
        &format!("{rest}ca_file = '/etc/passwd'"),
        "it goes with `tls = \"verify\"`",
    );
    wrong(
        &format!("{rest}tls = 'verify'\nca_file = '/no/such'"),
        "cannot be read",
    );
    wrong(&format!("{rest}connect_timeout = '0s'"), "no time");
    wrong(&format!("{rest}retries = 1000"), "retries");
    wrong(
        &format!("{rest}password_env = 'PONTOON_NO_SUCH_VARIABLE'"),
        "is not set",
    );
    wrong(
        &format!("{rest}password_file = '/no/such/file'"),
        "/no/such/file",
    );
    wrong(
        &format!("{rest}password = 'a'\npassword_file = 'b'"),
        "given twice",
    );
    wrong("url = 'mysql://u@h/d'\nuser = 'u'", "`url` says this too");
    wrong("url = 'mysql://h/d'", "it has no user");
    wrong(
        "url = 'postgres://u@h/d'",
        "it does not begin with `mysql://`",
    );
}

#[test]
fn a_password_in_a_url_is_not_repeated_in_an_error() {
    // The report shows the line of the file, as it does for every key; what we say of it does not.
    let error = Url::parse("mysql://u:hunter2@h:99999/d?x=y").unwrap_err();
    assert!(!error.contains("hunter2"));
}

#[test]
fn a_password_may_be_in_a_file_that_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    std::fs::write(&path, "first\n").unwrap();
    let path_text = path.to_str().unwrap();
    let adapter = read(&format!(
        "server = 'db'\nuser = 'u'\npassword_file = '{path_text}'"
    ))
    .unwrap();
    assert_eq!(
        adapter.login.password.read().unwrap().as_deref(),
        Some(c"first")
    );
    std::fs::write(&path, "second\nline").unwrap();
    assert_eq!(
        adapter.login.password.read().unwrap().as_deref(),
        Some(c"second")
    );
    assert!(!format!("{adapter:?}").contains("second"));
}
