//! Single mistakes, and what is said about each.

use std::fs;
use std::path::Path;

use pontoon::config::{Config, ConfigError};
use pontoon_adapters::echo;
use pontoon_adapters::mount::Mounted;
use pontoon_adapters::registry::{AdapterSpec, Kind};
use pontoon_adapters::settings::KeySpec;

use super::{errors, registry};

const LISTEN: &str = "listen = '127.0.0.1:8080'\n";

/// The first lines of all errors: what is wrong, without where.
fn messages(text: &str) -> Vec<String> {
    let first = |line: &str| line.strip_prefix("error: ").map(str::to_owned);
    errors(text).lines().filter_map(first).collect()
}

/// The messages about a location of the `store` adapter with these lines.
fn about_store(lines: &str) -> Vec<String> {
    messages(&format!(
        "{LISTEN}[pool.db]\n[[location]]\npath = '/'\nadapter = 'store'\n{lines}\n"
    ))
}

#[test]
fn a_blocking_adapter_needs_a_pool_and_takes_no_max_running() {
    let keys = "database = 'a'\nquery = 'b'\n";
    assert_eq!(
        about_store(keys),
        ["missing key `pool`: adapter `store` blocks a thread"]
    );
    assert_eq!(
        about_store(&format!("{keys}pool = 'db'\nmax_running = 5")),
        ["`max_running` is for adapters without a pool"]
    );
}

#[test]
fn an_adapter_that_does_not_block_takes_no_pool() {
    for adapter in ["echo", "remote"] {
        let text = format!(
            "{LISTEN}[pool.db]\n[[location]]\npath = '/'\nadapter = '{adapter}'\npool = 'db'\n"
        );
        let message = format!("adapter `{adapter}` takes no pool: it does not block a thread");
        assert_eq!(messages(&text), [message]);
    }
}

/// `both` blocks, or runs on the loop with `mode = "loop"`.
#[test]
fn the_mode_of_an_adapter_decides_whether_it_takes_a_pool() {
    const MODE: &[KeySpec] = &[KeySpec::optional("mode", "text", "which")];
    let mut registry = registry::registry();
    registry.register(AdapterSpec {
        name: "both",
        kind: Kind::Blocking,
        modes: &[("blocking", Kind::Blocking), ("loop", Kind::Loop)],
        summary: "",
        keys: MODE,
        build: |_| Some(Mounted::blocking(echo::Echo)),
    });
    let read = |lines: &str| {
        let location = format!("[[location]]\npath = '/'\nadapter = 'both'\n{lines}\n");
        let text = format!("{LISTEN}[pool.db]\n{location}");
        Config::parse(&text, "pontoon.toml", &registry)
    };
    let config = read("pool = 'db'\nmode = 'blocking'\nshare = '50%'").unwrap();
    assert_eq!(config.locations[0].kind, Kind::Blocking);
    let error = read("").unwrap_err().to_string();
    assert!(error.contains("missing key `pool`"), "{error}");
    assert!(error.contains("or write `mode = \"loop\"`"), "{error}");
    let error = read("mode = 'loop'\npool = 'db'").unwrap_err().to_string();
    assert!(error.contains("takes no pool"), "{error}");
    let error = read("mode = 'loop'\nshare = 5").unwrap_err().to_string();
    assert!(error.contains("for adapters with a pool"), "{error}");
    let text = format!(
        "{LISTEN}[[location]]\npath = '/'\nadapter = 'both'\nmode = 'loop'\nmax_running = 5\n"
    );
    let config = Config::parse(&text, "pontoon.toml", &registry).unwrap();
    assert_eq!(config.locations[0].kind, Kind::Loop);
    assert_eq!(config.locations[0].max_running, Some(5));
}

#[test]
fn an_adapter_that_this_build_lacks_names_its_feature() {
    let with = |adapter| format!("{LISTEN}[[location]]\npath = '/'\nadapter = '{adapter}'\n");
    let needs = "adapter `oracle` needs a build with `--features oracle`";
    assert_eq!(messages(&with("oracle")), [needs]);
    assert_eq!(messages(&with("oracel")), ["unknown adapter `oracel`"]);
    assert!(errors(&with("oracel")).contains(&format!("did you mean `oracle`? {needs}")));
    assert!(errors(&with("x")).contains("known adapters: `echo`, `remote`, `store`"));
}

/// Which other keys are right depends on the adapter: guesses about them would be noise.
#[test]
fn an_unknown_adapter_does_not_make_its_keys_unknown() {
    let text = format!("{LISTEN}[[location]]\npath = '/'\nadapter = 'x'\nurl = 'y'\nquery = 'z'\n");
    assert_eq!(messages(&text), ["unknown adapter `x`"]);
    assert_eq!(messages(&format!("{text}deadlin = '1s'")).len(), 2);
}

#[test]
fn an_adapters_own_errors_stand_beside_the_others() {
    let lines = "pool = 'db'\ndatabase = ''\nquery = 'a;b'\nmode = 'wirte'\ndeadline = 5";
    assert_eq!(
        about_store(lines),
        [
            "`database` is empty",
            "one statement only",
            "`mode` cannot be `wirte`",
            "`deadline` is a duration and needs a unit, 5 has none",
        ]
    );
}

#[test]
fn an_adapter_that_refuses_without_a_reason_is_reported_itself() {
    let mut registry = registry::registry();
    let mut broken = *registry.get("echo").unwrap();
    broken.build = |_| None;
    registry.register(broken);
    let text = format!("{LISTEN}[[location]]\npath = '/'\nadapter = 'echo'\n");
    let error = Config::parse(&text, "p", &registry)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("adapter `echo` refused its settings without a reason"),
        "{error}"
    );
}

#[test]
fn limits_are_told_in_the_units_of_the_file() {
    for (line, message) in [
        (
            "max_connections = 0",
            "`max_connections` must be an integer from 1 to 10000000, not 0",
        ),
        (
            "header_timeout = '0s'",
            "`header_timeout` must be from 1ms to 1day, not 0s",
        ),
        (
            "max_header_bytes = '1KiB'",
            "`max_header_bytes` must be from 8KiB to 16MiB, not 1KiB",
        ),
        (
            "max_body = -1",
            "`max_body` must be a size such as \"1MiB\", or bytes, not -1",
        ),
        (
            "loops = 'all'",
            "`loops` must be \"auto\" or an integer from 1 to 1024, not `all`",
        ),
        (
            "loops = 99999999999999999999",
            "`loops` must be \"auto\" or an integer from 1 to 1024, not 99999999999999999999",
        ),
        (
            "spin = '20ms'",
            "`spin` must be \"auto\", \"off\" or a duration from 1us to 10ms, not `20ms`",
        ),
        (
            "spin = false",
            "`spin` must be \"auto\", \"off\" or a duration from 1us to 10ms, not a boolean",
        ),
        (
            "min_send_rate = '2GiB'",
            "`min_send_rate` must be from 0 to 1GiB, not 2GiB",
        ),
        (
            "min_body_rate = '240B/s'",
            "`min_body_rate` is not a size: `240B/s`",
        ),
        (
            "body_grace = 5",
            "`body_grace` is a duration and needs a unit, 5 has none",
        ),
        (
            "keep_alive = '75'",
            "`keep_alive` is a duration and needs a unit, 75 has none",
        ),
    ] {
        let text = format!("{LISTEN}{line}\n[[location]]\npath = '/'\nadapter = 'echo'\n");
        assert_eq!(messages(&text), [message]);
    }
}

#[test]
fn a_pool_name_must_be_fit_for_metrics_and_thread_names() {
    for name in ["''", "'a b'", "'ä'", &format!("'{}'", "x".repeat(65))] {
        let text = format!("{LISTEN}[pool.{name}]\n[[location]]\npath = '/'\nadapter = 'echo'\n");
        let messages = messages(&text);
        assert!(
            messages[0].ends_with("cannot be the name of a pool"),
            "{messages:?}"
        );
    }
}

#[test]
fn the_same_path_with_plain_braces_is_told_from_one_with_a_parameter() {
    let location = |path| format!("[[location]]\npath = '{path}'\nadapter = 'echo'\n");
    let both = format!("{LISTEN}{}{}", location("/{id}"), location("/{{id}}"));
    super::parse(&both).unwrap();
    let shown = errors(&format!("{both}{}", location("/{{id}}")));
    assert!(
        shown.contains("6 | path = '/{{id}}'\n  |        --------- the other"),
        "{shown}"
    );
}

#[test]
fn a_missing_file_is_named_with_what_to_do() {
    let path = Path::new("no/such/pontoon.toml");
    let error = Config::load(path, &registry::registry()).unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }));
    assert_eq!(
        error.to_string(),
        "cannot read the config file `no/such/pontoon.toml`: No such file or directory (os error 2)\n\
         help: check the path, or see a server at work without a file: `pontoon demo`"
    );
}

#[test]
fn a_directory_and_an_endless_file_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let error = Config::load(directory.path(), &registry::registry()).unwrap_err();
    assert!(error.to_string().contains("Is a directory"), "{error}");
    let error = Config::load(Path::new("/dev/zero"), &registry::registry()).unwrap_err();
    assert!(matches!(error, ConfigError::TooLarge { .. }), "{error}");
}

#[test]
fn a_file_that_is_not_utf_8_is_shown_at_the_wrong_byte() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pontoon.toml");
    fs::write(&path, b"# a comment\nlisten = \"\xff\"\n").unwrap();
    let error = Config::load(&path, &registry::registry())
        .unwrap_err()
        .to_string();
    let expected = format!(
        "error: not valid UTF-8: the byte 0xff
 --> {}:2:11
  |
2 | listen = \"\u{fffd}\"
  |           ^
  |
  = help: save the file as UTF-8",
        path.display()
    );
    assert!(error.starts_with(&expected), "{error}");
}

/// Errors get into logs; a config holds passwords.
#[test]
fn the_debug_form_of_an_error_leaves_the_text_out() {
    let error = super::parse("password = 'hunter2'").unwrap_err();
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn control_characters_of_the_file_do_not_reach_the_terminal() {
    let shown = errors("listen = \"\\u001b[2J\"\n\"\\u001b]0;x\" = 1\n");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}
