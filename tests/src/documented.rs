//! The config files that the documentation of adapters shows.

use pontoon::adapters::registry::Registry;
use pontoon::config::Config;

/// The first config file in a module's documentation, of which this is the source.
///
/// # Panics
///
/// When there is none.
pub fn config(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let lines = lines.skip_while(|line| line.trim() != "```toml").skip(1);
    let lines = lines.take_while(|line| line.trim() != "```");
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    assert!(!text.is_empty(), "no config file is shown");
    text
}

/// Checks that a config file is right.
///
/// # Panics
///
/// When it is not.
pub fn check(text: &str) {
    if let Err(error) = Config::parse(text, "documented.toml", &Registry::builtin()) {
        panic!("{}", error.render(false));
    }
}
