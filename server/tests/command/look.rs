//! The commands that only look, and the help.

use super::process::{Process, sleeper};

#[test]
fn help_names_the_commands_and_their_arguments() {
    let help = Process::run(["--help"]);
    assert_eq!(help.code, Some(0));
    for command in ["run", "check", "adapters", "demo"] {
        let listed = |line: &str| line.trim_start().starts_with(command);
        assert!(help.out.lines().any(listed), "{command}: {}", help.out);
    }
    let help = Process::run(["run", "--help"]);
    assert_eq!(help.code, Some(0));
    for part in ["--listen", "[FILE]", "pontoon run pontoon.toml"] {
        assert!(help.out.contains(part), "{part}: {}", help.out);
    }
    assert_eq!(Process::run(["rnu"]).code, Some(2));
}

#[test]
fn check_says_ok_in_one_line() {
    let file = sleeper("", "");
    let ended = Process::run(["check", &file.path()]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert_eq!(
        ended.out,
        format!("{}: ok, 1 location, 1 pool", file.path())
    );
}

#[test]
fn adapters_lists_sqlite_and_its_keys() {
    let all = Process::run(["adapters"]);
    assert_eq!(all.code, Some(0));
    for name in [
        "callback", "echo", "file", "redis", "resolve", "sleep", "sqlite",
    ] {
        assert!(
            all.out.lines().any(|line| line.starts_with(name)),
            "{}",
            all.out
        );
    }
    let one = Process::run(["adapters", "sqlite"]);
    assert_eq!(one.code, Some(0));
    for key in [
        "database",
        "query",
        "format",
        "busy_timeout",
        "pool",
        "deadline",
    ] {
        let listed = |line: &str| line.starts_with(&format!("  {key} "));
        assert!(one.out.lines().any(listed), "{key}: {}", one.out);
    }
}
