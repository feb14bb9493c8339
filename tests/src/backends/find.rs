//! Whether a backend is installed, and where.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::process::report;

/// Names the backends that must be there, with spaces between: without one of them its tests fail instead of
/// being skipped. `scripts/test` sets it.
const REQUIRED: &str = "PONTOON_TEST_BACKENDS";

/// The program of the first of these names that is in one of the folders, or else in `PATH`.
pub(super) fn program(names: &[&str], folders: &[PathBuf]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = env::split_paths(&path).collect();
    let folders = || folders.iter().chain(&path);
    let mut candidates = names
        .iter()
        .flat_map(|name| folders().map(move |folder| folder.join(name)));
    candidates.find(|candidate| is_program(candidate))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Says once for each program that the tests of a backend are skipped, and how that can be changed.
///
/// # Panics
///
/// When the backend is required.
pub(super) fn skip(backend: &str, missing: &str, packages: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let text = format!("{missing} is not installed (on Debian: apt-get install {packages})");
    let required = env::var(REQUIRED).unwrap_or_default();
    assert!(
        !required.split_whitespace().any(|name| name == backend),
        "{REQUIRED} says that there is {backend}, but {text}"
    );
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.insert(missing.to_owned()) {
        report(&format!("skipped: {text}"));
    }
}
