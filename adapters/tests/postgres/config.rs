//! What a config file may say, and what it is told otherwise. Nothing is connected to.

use pontoon_adapters::postgres::Postgres;

fn errors(keys: &str) -> String {
    match Postgres::from_toml(keys) {
        Ok(_) => panic!("{keys}: it was taken"),
        Err(errors) => errors.render(false),
    }
}

const QUERY: &str = "query = 'SELECT 1'\n";

#[test]
fn every_key_is_taken() {
    let text = format!(
        "{QUERY}
        server = ['db1', 'db2:5433', '[::1]:5434', '/run/postgresql']
        database = 'app'
        user = 'ada'
        password = 'secret'
        sslmode = 'verify-full'
        connect_timeout = '2500ms'
        application_name = 'shop'
        options = '-c search_path=app'
        target_session_attrs = 'read-write'
        isolation = 'repeatable-read'
        read_only = true
        retries = 3
        prepare = false
        stream = true
        reset = true"
    );
    let adapter =
        Postgres::from_toml(&text).unwrap_or_else(|errors| panic!("{}", errors.render(false)));
    let shown = format!("{adapter:?}");
    assert!(shown.contains("db1,db2,::1,/run/postgresql"), "{shown}");
    assert!(
        shown.contains(",5433,5434,") && !shown.contains("secret"),
        "{shown}"
    );
}

#[test]
fn a_uri_stands_for_many_keys() {
    let uri = "url = 'postgresql://ada:secret@db:5433/app?sslmode=require&options=-c%20a.b%3Dc'";
    let adapter = Postgres::from_toml(&format!("{QUERY}{uri}")).unwrap();
    let shown = format!("{adapter:?}");
    assert!(
        shown.contains("5433") && !shown.contains("secret"),
        "{shown}"
    );
}

#[test]
fn all_that_is_missing_shows_at_once() {
    let errors = errors("");
    for key in ["query", "server", "database"] {
        assert!(errors.contains(&format!("missing key `{key}`")), "{errors}");
    }
}

#[test]
fn mistakes_are_explained() {
    for (keys, says) in [
        ("server = 'db:x'", "a port is a number from 1 to 65535"),
        ("server = 'a,b'", "several servers are an array"),
        ("server = 'postgresql://db'", "give it as `url`"),
        ("server = []", "names none"),
        ("sslmode = 'verify-ful'", "verify-full"),
        ("isolation = 'snapshot'", "repeatable-read"),
        ("connect_timeout = '1s'", "at least \"2s\""),
        ("retries = 11", "from 0 to 10"),
        (
            "password = 'a'\npassword_file = '/nowhere'",
            "there is a password already",
        ),
        ("password_file = '/nowhere'", "cannot be read"),
        ("sslrootcert = '/nowhere'", "cannot be read"),
        (
            "stream = true\nformat = 'object'",
            "only with `format` array",
        ),
        ("pasword = 'a'", "did you mean `password`?"),
        ("url = 'db'", "must begin with postgresql://"),
        ("url = 'postgresql://db/app?colour=red'", "colour"),
        (
            "url = 'postgresql://db/app?replication=on'",
            "`replication` cannot be set here",
        ),
        ("url = 'postgresql://ada@db'\nuser = 'bob'", "remove `user`"),
        ("url = 'postgresql://db'\nserver = 'db'", "remove `server`"),
    ] {
        let errors = errors(&format!("{QUERY}{keys}"));
        assert!(errors.contains(says), "{keys}: {errors}");
    }
}

#[test]
fn a_uri_that_is_not_understood_is_not_told_with_its_password() {
    let errors = errors(&format!("{QUERY}url = 'postgresql://ada:hunter2@[::1/app'"));
    let told = errors
        .lines()
        .filter(|line| line.contains("not understood"));
    assert!(told.clone().count() > 0, "{errors}");
    told.for_each(|line| assert!(!line.contains("hunter2"), "{line}"));
}
