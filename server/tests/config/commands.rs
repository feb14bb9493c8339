//! `pontoon check`, `pontoon adapters`, and what the command line may say.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use clap::Parser;
use clap::error::ErrorKind;
use pontoon::cli::{
    AdaptersArguments, Arguments, CheckArguments, Command, LogFormat, Outcome, adapters, check,
};
use pontoon::config::ListenAddress;

use super::registry::registry;

/// The outcome of `pontoon check` with its two outputs.
fn run_check(text: &str, listen: Option<ListenAddress>) -> (Outcome, String, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pontoon.toml");
    fs::write(&file, text).unwrap();
    let (mut out, mut problems) = (Vec::new(), Vec::new());
    let arguments = CheckArguments {
        file: file.clone(),
        listen,
    };
    let outcome = check(&arguments, &registry(), &mut out, &mut problems, false).unwrap();
    let shown = |bytes| {
        String::from_utf8(bytes)
            .unwrap()
            .replace(file.to_str().unwrap(), "FILE")
    };
    (outcome, shown(out), shown(problems))
}

fn run_adapters(name: Option<&str>) -> (Outcome, String, String) {
    let (mut out, mut problems) = (Vec::new(), Vec::new());
    let arguments = AdaptersArguments {
        name: name.map(str::to_owned),
    };
    let outcome = adapters(&arguments, &registry(), &mut out, &mut problems).unwrap();
    (
        outcome,
        String::from_utf8(out).unwrap(),
        String::from_utf8(problems).unwrap(),
    )
}

fn parse<const N: usize>(arguments: [&str; N]) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(
        [OsStr::new("pontoon")]
            .into_iter()
            .chain(arguments.iter().map(OsStr::new)),
    )
}

#[test]
fn check_says_what_a_good_file_holds() {
    let location = |path| format!("[[location]]\npath = '{path}'\nadapter = 'echo'\n");
    let text = format!("listen = '[::1]:0'\n{}", location("/"));
    assert_eq!(
        run_check(&text, None),
        (
            Outcome::Success,
            "FILE: ok, 1 location, 0 pools\n".to_owned(),
            String::new()
        )
    );
    let text = format!("{text}{}[pool.a]\n", location("/b"));
    let (outcome, out, problems) = run_check(&text, None);
    assert_eq!(
        (outcome, out.as_str()),
        (Outcome::Success, "FILE: ok, 2 locations, 1 pool\n")
    );
    assert!(
        problems.starts_with("warning: no location uses the pool `a`"),
        "{problems}"
    );
}

#[test]
fn check_fails_with_all_errors() {
    let (outcome, out, problems) = run_check("loops = 0\nmax_body = 'x'\n", None);
    assert_eq!(
        (outcome, outcome.status(), out.as_str()),
        (Outcome::Failure, 1, "")
    );
    // listen, loops, max_body, no location
    assert!(problems.ends_with("\nFILE: 4 errors\n"), "{problems}");
}

#[test]
fn check_takes_the_address_that_run_will_be_given() {
    let text = "[[location]]\npath = '/'\nadapter = 'echo'\n";
    assert_eq!(run_check(text, None).0, Outcome::Failure);
    assert_eq!(
        run_check(text, Some("[::1]:0".parse().unwrap())).0,
        Outcome::Success
    );
}

#[test]
fn adapters_are_listed_with_those_that_need_another_build() {
    let (outcome, out, _) = run_adapters(None);
    assert_eq!(outcome, Outcome::Success);
    assert_eq!(
        out,
        "\
echo    loop      answers with the request's body
remote  callback  asks a library with threads of its own
store   blocking  answers with the rows of a query

not in this build, which would need:
  oracle  --features oracle

`pontoon adapters NAME` lists the keys of one.
"
    );
}

#[test]
fn one_adapter_is_told_with_every_key_that_its_location_may_have() {
    let (outcome, out, _) = run_adapters(Some("store"));
    assert_eq!(outcome, Outcome::Success);
    let own = "\
store: answers with the rows of a query
kind: blocking, runs on the workers of a pool

keys of `store`:
  database      text           required      the file to open
  query         text           required      the SQL to run
  busy_timeout  duration       default 5s    how long to wait for a lock
  mode          read or write  default read  what the SQL may do

keys of every location:
";
    assert!(out.starts_with(own), "{out}");
    assert!(
        out.contains("\n  pool ") && out.contains("\n  threads "),
        "{out}"
    );
    let spin = out.lines().find(|line| line.starts_with("  spin "));
    assert!(
        spin.is_some_and(|line| line.contains(" \"auto\", \"off\" or duration  optional ")),
        "{out}"
    );
    assert!(
        !out.contains("max_running") && out.contains("\n  share "),
        "{out}"
    );
    let (_, out, _) = run_adapters(Some("echo"));
    assert!(
        out.contains("\n  max_running ") && !out.contains("\n  pool "),
        "{out}"
    );
    assert!(
        out.contains("\n  max_per_client ") && !out.contains("\n  share "),
        "{out}"
    );
}

#[test]
fn an_adapter_that_there_is_not_is_a_usage_error() {
    let (outcome, out, problems) = run_adapters(Some("stroe"));
    assert_eq!(
        (outcome, outcome.status(), out.as_str()),
        (Outcome::Usage, 2, "")
    );
    assert_eq!(
        problems,
        "error: unknown adapter `stroe`\nhelp: did you mean `store`?\n"
    );
}

#[test]
fn run_takes_its_file_from_the_working_directory_unless_told_otherwise() {
    let Command::Run(run) = parse(["run"]).unwrap().command else {
        panic!("not run")
    };
    assert_eq!(
        (run.file.clone(), run.listen.clone()),
        (PathBuf::from("pontoon.toml"), None)
    );
    let arguments = parse(["run", "x.toml", "--listen", "unix:/tmp/x"]).unwrap();
    let Command::Run(run) = arguments.command else {
        panic!("not run")
    };
    assert_eq!(run.file, PathBuf::from("x.toml"));
    assert_eq!(
        run.overrides().listen,
        Some(ListenAddress::Unix("/tmp/x".into()))
    );
}

#[test]
fn the_log_filter_comes_from_the_command_line_then_the_environment() {
    let log = parse(["check", "x", "--log", "debug", "--log-format", "json"])
        .unwrap()
        .log;
    assert_eq!(
        (log.filter_or(Some("warn")), log.format),
        ("debug", LogFormat::Json)
    );
    let log = parse(["check", "x"]).unwrap().log;
    assert_eq!(
        (log.filter_or(Some("warn")), log.format),
        ("warn", LogFormat::Text)
    );
    assert_eq!(
        (log.filter_or(None), log.filter_or(Some(""))),
        ("info", "info")
    );
}

#[test]
fn a_command_line_that_makes_no_sense_ends_with_status_2() {
    for arguments in [
        &["rum"][..],
        &["check"],
        &["check", "a", "b"],
        &["run", "--listen", "localhost:80"],
        &["run", "--log", "a=b=c"],
        &["demo", "x"],
    ] {
        let all = [&["pontoon"], arguments].concat();
        assert_eq!(
            Arguments::try_parse_from(all).unwrap_err().exit_code(),
            2,
            "{arguments:?}"
        );
    }
}

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in ["run", "check", "adapters", "demo"] {
        let help = parse([command, "--help"]).unwrap_err();
        assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
        assert!(
            help.to_string()
                .contains(&format!("\n  pontoon {command} ")),
            "{help}"
        );
    }
}
