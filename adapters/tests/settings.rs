//! Reading settings: what is taken, what is refused, and that nothing is ever lost or fatal.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::time::Duration;

use pontoon_adapters::settings::{
    AutoOr, Diagnostic, Document, KeySpec, Settings, SettingsErrors, render,
};
use proptest::prelude::*;

const KEYS: &[KeySpec] = &[
    KeySpec::required("database", "text", "the file to open"),
    KeySpec::optional("tags", "texts", "labels"),
    KeySpec::with_default("tries", "integer", "3", "how often to try"),
    KeySpec::with_default("fast", "boolean", "true", "whether to hurry"),
    KeySpec::with_default("timeout", "duration", "5s", "how long to wait"),
    KeySpec::with_default("buffer", "size", "64KiB", "how much to hold"),
    KeySpec::with_default("mode", "read or write", "read", "what is allowed"),
    KeySpec::optional("status", "status", "the status of the answer"),
    KeySpec::optional("pause", "\"none\" or duration", "how long to rest"),
    KeySpec::optional("inner", "table", "more"),
    KeySpec::optional("items", "tables", "many more"),
    KeySpec::with_default(
        "broken",
        "integer",
        "several",
        "a default that is no integer",
    ),
];

#[derive(Debug, PartialEq)]
struct Everything {
    database: String,
    tags: Option<Vec<String>>,
    tries: i64,
    fast: bool,
    timeout: Duration,
    buffer_bytes: u64,
    mode: Option<&'static str>,
    status: Option<u16>,
}

fn read(settings: &mut Settings<'_>) -> Option<Everything> {
    let database = settings.required_string("database");
    let tags = settings.strings("tags");
    let tries = settings.integer_or_default("tries", 1..=10);
    let fast = settings.boolean_or_default("fast");
    let timeout = settings.duration_or_default("timeout");
    let buffer_bytes = settings.size_bytes_or_default("buffer");
    let mode = settings.choice("mode", &["read", "write"]);
    let status = settings.status("status").map(|status| status.as_u16());
    Some(Everything {
        database: database?,
        tags,
        tries: tries?,
        fast: fast?,
        timeout: timeout?,
        buffer_bytes: buffer_bytes?,
        mode,
        status,
    })
}

fn messages(errors: &SettingsErrors) -> Vec<&str> {
    errors
        .diagnostics()
        .iter()
        .map(|diagnostic| diagnostic.message.as_str())
        .collect()
}

/// The only error of a text that is right but for this line.
fn error_about(line: &str) -> Diagnostic {
    let errors = Settings::parse(&format!("database = 'a'\n{line}\n"), KEYS, read).unwrap_err();
    assert_eq!(errors.diagnostics().len(), 1, "{errors}");
    errors.diagnostics()[0].clone()
}

#[test]
fn absent_keys_are_none_or_their_default() {
    let everything = Settings::parse("database = 'a'", KEYS, read).unwrap();
    let expected = Everything {
        database: "a".to_owned(),
        tags: None,
        tries: 3,
        fast: true,
        timeout: Duration::from_secs(5),
        buffer_bytes: 64 << 10,
        mode: None,
        status: None,
    };
    assert_eq!(everything, expected);
}

#[test]
fn present_keys_are_read() {
    let text = "database = 'a'\ntags = ['x', 'y']\ntries = 0xA\nfast = false\ntimeout = '1m 5s'\n\
                buffer = 1_000\nmode = 'write'\nstatus = 404\n";
    let expected = Everything {
        database: "a".to_owned(),
        tags: Some(vec!["x".to_owned(), "y".to_owned()]),
        tries: 10,
        fast: false,
        timeout: Duration::from_secs(65),
        buffer_bytes: 1000,
        mode: Some("write"),
        status: Some(404),
    };
    assert_eq!(Settings::parse(text, KEYS, read), Ok(expected));
}

#[test]
fn one_text_is_a_list_of_one() {
    let everything = Settings::parse("database = 'a'\ntags = 'x'", KEYS, read).unwrap();
    assert_eq!(everything.tags, Some(vec!["x".to_owned()]));
}

#[test]
fn each_mistake_has_its_message() {
    for (line, message) in [
        (
            "tags = ['x', 1]",
            "`tags` must be text or an array of texts, not an integer",
        ),
        (
            "tries = 11",
            "`tries` must be an integer from 1 to 10, not 11",
        ),
        (
            "tries = 1.5",
            "`tries` must be an integer from 1 to 10, not a number with a fraction",
        ),
        ("fast = 'yes'", "`fast` must be true or false, not text"),
        (
            "timeout = 1.5",
            "`timeout` is a duration and needs a unit, 1.5 has none",
        ),
        ("timeout = '99years'", "`timeout` is too long: `99years`"),
        (
            "timeout = []",
            "`timeout` must be a duration such as \"30s\", not an array",
        ),
        ("buffer = '1 potato'", "`buffer` is not a size: `1 potato`"),
        (
            "buffer = true",
            "`buffer` must be a size such as \"1MiB\", or bytes, not a boolean",
        ),
        ("mode = 'raed'", "`mode` cannot be `raed`"),
        (
            "status = 100",
            "`status` must be an integer from 200 to 599, not 100",
        ),
        ("colour = 'red'", "unknown key `colour`"),
    ] {
        assert_eq!(error_about(line).message, message);
    }
}

#[test]
fn an_error_points_at_the_value_and_an_unknown_key_at_itself() {
    let text = |line: &str| format!("database = 'a'\n{line}\n");
    for (line, pointed_at) in [
        ("tries = 11", "11"),
        ("tags = ['x', 1]", "1"),
        ("fast = 'yes'", "'yes'"),
        ("'colour' = 'red'", "'colour'"),
    ] {
        let span = error_about(line).span.unwrap();
        assert_eq!(&text(line)[span], pointed_at);
    }
}

#[test]
fn all_mistakes_are_collected_in_the_order_of_the_text() {
    let errors = Settings::parse("timout = '1s'\ntries = 0\nfast = 1", KEYS, read).unwrap_err();
    assert_eq!(
        messages(&errors),
        [
            "missing key `database`",
            "unknown key `timout`",
            "`tries` must be an integer from 1 to 10, not 0",
            "`fast` must be true or false, not an integer",
        ]
    );
    assert_eq!(
        errors.diagnostics()[1].help.as_deref(),
        Some("did you mean `timeout`?")
    );
}

#[test]
fn a_table_within_the_table_has_keys_of_its_own() {
    const INNER: &[KeySpec] = &[KeySpec::required("depth", "integer", "how deep")];
    let read = |settings: &mut Settings<'_>| {
        let mut depths = Vec::new();
        let mut tables = settings.tables("items", INNER).unwrap_or_default();
        tables.extend(settings.table("inner", INNER));
        for table in &mut tables {
            depths.extend(table.integer("depth", 0..=9));
            table.reject_unknown_keys();
        }
        Some(depths)
    };
    let text = "[inner]\ndepth = 1\n[[items]]\ndepth = 2\n[[items]]\ndepth = 3\n";
    assert_eq!(Settings::parse(text, KEYS, read), Ok(vec![2, 3, 1]));
    let errors = Settings::parse("[inner]\ndeth = 1\n[items]\n", KEYS, read).unwrap_err();
    assert_eq!(
        messages(&errors),
        [
            "unknown key `deth`",
            "`items` is a list, and this is a single table"
        ]
    );
}

#[test]
fn auto_or_an_integer_is_either() {
    let read = |settings: &mut Settings<'_>| settings.auto_or_integer("tries", 1..=4);
    assert_eq!(
        Settings::parse("tries = 'auto'", KEYS, read),
        Ok(AutoOr::Auto)
    );
    assert_eq!(
        Settings::parse("tries = 4", KEYS, read),
        Ok(AutoOr::Fixed(4))
    );
    for text in ["tries = 'all'", "tries = 5"] {
        assert!(Settings::parse(text, KEYS, read).is_err(), "{text}");
    }
}

#[test]
fn a_word_or_a_duration_is_either() {
    let read = |settings: &mut Settings<'_>| {
        let range = Duration::from_micros(1)..=Duration::from_millis(2);
        let words = [("none", None), ("long", Some(Duration::MAX))];
        settings.word_or_duration("pause", &words, range, Some)
    };
    let parse = |text: &str| Settings::parse(text, KEYS, read);
    assert_eq!(parse("pause = 'none'"), Ok(None));
    assert_eq!(parse("pause = 'long'"), Ok(Some(Duration::MAX)));
    for (text, us) in [("1us", 1), ("50µs", 50), ("1ms 20us", 1020), ("2ms", 2000)] {
        let pause = parse(&format!("pause = '{text}'"));
        assert_eq!(pause, Ok(Some(Duration::from_micros(us))), "{text}");
    }
}

#[test]
fn what_is_neither_the_word_nor_a_duration_is_told_what_may_be() {
    let read = |settings: &mut Settings<'_>| {
        let range = Duration::from_micros(1)..=Duration::from_millis(2);
        settings.word_or_duration("pause", &[("none", None)], range, Some)
    };
    let unit = Some("a duration is a number and its unit, such as \"50us\" or \"1ms\"");
    for (value, shown, help) in [
        ("'nine'", "`nine`", Some("did you mean `none`?")),
        ("'quick'", "`quick`", unit),
        ("'20'", "`20`", unit),
        ("20", "20", unit),
        ("0.5", "0.5", unit),
        ("'0s'", "`0s`", None),
        ("'2001us'", "`2001us`", None),
        ("false", "a boolean", None),
    ] {
        let errors = Settings::parse(&format!("pause = {value}"), KEYS, read).unwrap_err();
        let message =
            format!("`pause` must be \"none\" or a duration from 1us to 2ms, not {shown}");
        assert_eq!(messages(&errors), [message]);
        assert_eq!(errors.diagnostics()[0].help.as_deref(), help, "{value}");
    }
}

#[test]
fn a_default_that_cannot_be_read_is_an_error_and_no_panic() {
    let read = |settings: &mut Settings<'_>| settings.integer_or_default("broken", 1..=4);
    let errors = Settings::parse("", KEYS, read).unwrap_err();
    assert!(
        messages(&errors)[0].contains("no usable default"),
        "{errors}"
    );
}

#[test]
fn an_adapters_own_error_stands_at_the_value_it_names() {
    let read = |settings: &mut Settings<'_>| -> Option<()> {
        settings.invalid("database", "no such place");
        settings.invalid_item("tags", 1, "not this one");
        settings.invalid("mode", "cannot be left out here");
        None
    };
    let text = "database = 'a'\ntags = ['x', 'y']\n";
    let errors = Settings::parse(text, KEYS, read).unwrap_err();
    let places: Vec<_> = errors
        .diagnostics()
        .iter()
        .map(|d| d.span.clone().map(|span| &text[span]))
        .collect();
    assert_eq!(places, [None, Some("'a'"), Some("'y'")]);
}

#[test]
fn color_is_there_only_when_asked_for() {
    let errors = Settings::parse("tries = 0", KEYS, read).unwrap_err();
    assert!(errors.render(true).contains('\u{1b}'));
    assert!(!errors.render(false).contains('\u{1b}'));
    assert_eq!(errors.to_string(), errors.render(false).trim_end());
}

/// Text that often is TOML, with keys that often are known.
fn near_toml() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec!["database", "tags", "tries", "timeout", "buffer", "x"]);
    let value = prop_oneof![
        "[0-9a-z'\"\\[\\]{}, ._-]{0,12}",
        "'[0-9]{1,30}[a-zA-Zµ ]{0,5}'",
        "-?[0-9]{1,25}",
        "\"\\PC{0,6}\"",
    ];
    prop::collection::vec((key, value), 0..6).prop_map(|lines| {
        lines
            .into_iter()
            .map(|(key, value)| format!("{key} = {value}\n"))
            .collect()
    })
}

proptest! {
    #[test]
    fn no_text_makes_reading_or_showing_panic(text in prop_oneof![".{0,200}", near_toml()]) {
        match Settings::parse(&text, KEYS, read) {
            Ok(everything) => prop_assert!(text.contains(&everything.database)
                || text.contains('\\')),
            Err(errors) => {
                prop_assert!(!errors.diagnostics().is_empty());
                prop_assert!(!errors.render(true).is_empty());
            }
        }
    }

    #[test]
    fn no_span_makes_showing_panic(text in "\\PC{0,20}", start in 0usize..40, end in 0usize..40) {
        let diagnostic = Diagnostic::error("wrong").at(start..end).related(end..start, "here");
        prop_assert!(render(&[diagnostic], &text, "file", false).contains("wrong"));
    }

    #[test]
    fn every_finding_about_broken_toml_is_within_the_text(text in ".{0,200}") {
        if let Err(diagnostics) = Document::parse(&text) {
            for span in diagnostics.into_iter().filter_map(|diagnostic| diagnostic.span) {
                prop_assert!(span.end <= text.len());
            }
        }
    }
}
