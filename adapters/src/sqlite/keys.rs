//! The keys of a location with `adapter = "sqlite"`.

use crate::mount::Mounted;
use crate::registry::{AdapterSpec, Kind};
use crate::settings::{KeySpec, Settings};
use crate::sql::{self, Common, Dialect};

use super::{JournalMode, MAX_BATCH, Sqlite, Synchronous};

const OWN_KEYS: [KeySpec; 6] = [
    KeySpec::required(
        "database",
        "path",
        "the database file, which must exist; relative to the working directory",
    ),
    KeySpec::with_default(
        "busy_timeout",
        "duration",
        "5s",
        "how long a call waits for locks in all, but never past its deadline",
    ),
    KeySpec::optional(
        "read_only",
        "boolean",
        "how the file is opened; if absent, for writing only when a statement writes",
    ),
    KeySpec::optional(
        "journal_mode",
        "delete, truncate, persist or wal",
        "the journal mode that the file is brought into; if absent, it is left as it is",
    ),
    KeySpec::with_default(
        "synchronous",
        "off, normal, full or extra",
        "full",
        "how often a commit waits for the disk; with less than full it may be lost when the power fails",
    ),
    KeySpec::with_default(
        "batch",
        "number",
        "1",
        "how many calls that wait are written in one transaction, 1 to 4096; each has its own answer",
    ),
];

const KEYS: &[KeySpec] = &sql::with_own::<6, { 6 + sql::COUNT }>(OWN_KEYS);

/// How a config file mounts it.
pub const fn spec() -> AdapterSpec {
    AdapterSpec {
        name: "sqlite",
        kind: Kind::Blocking,
        summary: "runs SQL statements on an SQLite database and answers with JSON, CSV or a value",
        modes: &[],
        keys: KEYS,
        build: |settings| Sqlite::from_settings(settings).map(Mounted::blocking),
    }
}

impl Sqlite {
    fn from_settings(settings: &mut Settings<'_>) -> Option<Self> {
        // All are read before any may end this, so that all that is missing shows at once.
        let database = settings.required_string("database");
        let common = Common::read(settings, Dialect::SQLITE);
        let busy_timeout = settings.duration_or_default("busy_timeout");
        let read_only = settings.boolean("read_only");
        let journal_mode =
            settings.choice("journal_mode", &JournalMode::ALL.map(JournalMode::name));
        let synchronous = settings.choice("synchronous", &Synchronous::ALL.map(Synchronous::name));
        let batch = settings.integer_or_default("batch", 1..=MAX_BATCH as i64);
        let adapter = Self {
            batch: usize::try_from(batch?).unwrap_or(1),
            read_only,
            busy_timeout: busy_timeout?,
            journal_mode: JournalMode::ALL
                .into_iter()
                .find(|mode| Some(mode.name()) == journal_mode),
            synchronous: Synchronous::ALL
                .into_iter()
                .find(|one| Some(one.name()) == synchronous),
            ..Self::with(database?, common?)
        };
        match adapter.validate() {
            Ok(()) => Some(adapter),
            Err(problem) => {
                let is_query = problem.key == "query" && !settings.contains("query");
                let key = if is_query { "queries" } else { problem.key };
                settings.invalid(key, problem.message);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::super::tests::Database;
    use super::*;
    use crate::sql::Format;

    fn read(database: &Database, rest: &str) -> Result<Sqlite, String> {
        let text = format!("database = {:?}\n{rest}", database.path());
        Settings::parse(&text, KEYS, Sqlite::from_settings).map_err(|errors| errors.render(false))
    }

    #[test]
    fn every_key_is_read() {
        let database = Database::new();
        let rest = r#"
            query = "SELECT id FROM users"
            format = "object"
            no_rows = 410
            busy_timeout = "70ms"
            read_only = false
            journal_mode = "wal"
            synchronous = "normal"
        "#;
        let query = "query = 'DELETE FROM users'\nbatch = 64";
        assert_eq!(read(&database, query).unwrap().batch, 64);
        let adapter = read(&database, rest).unwrap();
        let common = adapter.common.as_ref().unwrap();
        let statement = &common.plan.transactions()[0].statements[0];
        assert_eq!(statement.text(), "SELECT id FROM users");
        assert_eq!(common.output.format, Format::Object);
        assert_eq!(common.output.no_rows, Some(StatusCode::GONE));
        assert_eq!(adapter.busy_timeout, Duration::from_millis(70));
        assert_eq!(adapter.read_only, Some(false));
        assert_eq!(adapter.journal_mode, Some(JournalMode::Wal));
        assert_eq!(adapter.synchronous, Some(Synchronous::Normal));
    }

    #[test]
    fn the_defaults_are_those_that_the_keys_name() {
        let database = Database::new();
        let adapter = read(&database, "query = 'DELETE FROM users'").unwrap();
        assert_eq!(
            (adapter.busy_timeout, adapter.batch),
            (Duration::from_secs(5), 1)
        );
        assert_eq!((adapter.synchronous, adapter.journal_mode), (None, None));
    }

    #[test]
    fn a_typo_in_the_query_is_an_error_at_the_query() {
        let errors = read(&Database::new(), "query = 'SELEC 1'").unwrap_err();
        assert!(errors.contains("syntax error"), "{errors}");
        assert!(errors.contains("query"), "{errors}");
    }

    #[test]
    fn a_batch_has_bounds_and_is_for_writes() {
        let database = Database::new();
        for batch in ["0", "4097", "'all'"] {
            let rest = format!("query = 'DELETE FROM users'\nbatch = {batch}");
            let errors = read(&database, &rest).unwrap_err();
            assert!(errors.contains("1 to 4096"), "{errors}");
        }
        let errors = read(&database, "query = 'SELECT 1'\nbatch = 2").unwrap_err();
        assert!(errors.contains("only reads"), "{errors}");
        assert!(read(&database, "query = 'SELECT 1'\nbatch = 1").is_ok());
    }

    #[test]
    fn all_that_is_missing_shows_at_once() {
        let errors = Settings::parse("", KEYS, Sqlite::from_settings).unwrap_err();
        let errors = errors.render(false);
        assert!(errors.contains("database"), "{errors}");
        assert!(errors.contains("query"), "{errors}");
    }
}
