//! The keys of a location with `adapter = "sqlite"`.

use std::time::Duration;

use http::StatusCode;

use crate::mount::Mounted;
use crate::registry::{AdapterSpec, Kind};
use crate::settings::{KeySpec, Settings};

use super::{JournalMode, MAX_BATCH, Rows, Sqlite};

const KEYS: &[KeySpec] = &[
    KeySpec::required(
        "database",
        "path",
        "the database file, which must exist; relative to the working directory",
    ),
    KeySpec::required(
        "query",
        "SQL",
        "one statement; its `:name` parameters come from path, query string and body",
    ),
    KeySpec::with_default(
        "row",
        "array or object",
        "array",
        "all rows as an array, or the first one as an object",
    ),
    KeySpec::optional(
        "no_rows",
        "status",
        "the status without rows, or without changes: 200 with `[]`, 404 for `row = \"object\"`",
    ),
    KeySpec::with_default(
        "changes",
        "status",
        "200",
        "the status after an INSERT, UPDATE or DELETE without RETURNING",
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
        "how the file is opened; if absent, for writing only when the query writes",
    ),
    KeySpec::optional(
        "journal_mode",
        "delete, truncate, persist or wal",
        "the journal mode that the file is brought into; if absent, it is left as it is",
    ),
    KeySpec::with_default(
        "max_response",
        "size",
        "64MiB",
        "the largest response body; a larger answer is a 500",
    ),
    KeySpec::with_default(
        "batch",
        "number",
        "1",
        "how many calls that wait are written in one transaction, 1 to 4096; each has its own answer",
    ),
];

/// How a config file mounts it.
pub const fn spec() -> AdapterSpec {
    AdapterSpec {
        name: "sqlite",
        kind: Kind::Blocking,
        modes: &[],
        summary: "runs one SQL statement on an SQLite database and answers with JSON",
        keys: KEYS,
        build: |settings| Sqlite::from_settings(settings).map(Mounted::blocking),
    }
}

impl Sqlite {
    fn from_settings(settings: &mut Settings<'_>) -> Option<Self> {
        // Both are read before either may end this, so that all that is missing shows at once.
        let database = settings.required_string("database");
        let query = settings.required_string("query");
        let optional = Optional::read(settings);
        let adapter = optional.apply(Self::new(database?, query?));
        match adapter.validate() {
            Ok(()) => Some(adapter),
            Err(problem) => {
                settings.invalid(problem.key, problem.message);
                None
            }
        }
    }
}

struct Optional {
    rows: Option<Rows>,
    no_rows: Option<StatusCode>,
    changes: Option<StatusCode>,
    busy_timeout: Option<Duration>,
    read_only: Option<bool>,
    journal_mode: Option<JournalMode>,
    max_response_bytes: Option<usize>,
    batch: Option<i64>,
}

impl Optional {
    fn read(settings: &mut Settings<'_>) -> Self {
        let rows = settings.choice("row", &["array", "object"]);
        let modes = JournalMode::ALL.map(JournalMode::name);
        let mode = settings.choice("journal_mode", &modes);
        let max = settings.size_bytes("max_response");
        Self {
            rows: rows.map(|rows| match rows {
                "object" => Rows::Object,
                _ => Rows::Array,
            }),
            no_rows: settings.status("no_rows"),
            changes: settings.status("changes"),
            busy_timeout: settings.duration("busy_timeout"),
            read_only: settings.boolean("read_only"),
            journal_mode: mode.and_then(|name| {
                let mut modes = JournalMode::ALL.into_iter();
                modes.find(|mode| mode.name() == name)
            }),
            max_response_bytes: max.map(|max| usize::try_from(max).unwrap_or(usize::MAX)),
            batch: settings.integer("batch", 1..=MAX_BATCH as i64),
        }
    }

    fn apply(self, mut adapter: Sqlite) -> Sqlite {
        adapter.rows = self.rows.unwrap_or(adapter.rows);
        adapter.no_rows = self.no_rows;
        adapter.changes = self.changes.unwrap_or(adapter.changes);
        adapter.busy_timeout = self.busy_timeout.unwrap_or(adapter.busy_timeout);
        adapter.read_only = self.read_only;
        adapter.journal_mode = self.journal_mode;
        adapter.max_response_bytes = self
            .max_response_bytes
            .unwrap_or(adapter.max_response_bytes);
        match self.batch.map(usize::try_from) {
            Some(Ok(batch)) => adapter.batch(batch),
            _ => adapter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Database;
    use super::*;

    fn read(database: &Database, rest: &str) -> Result<Sqlite, String> {
        let text = format!("database = {:?}\n{rest}", database.path());
        Settings::parse(&text, KEYS, Sqlite::from_settings).map_err(|errors| errors.render(false))
    }

    #[test]
    fn every_key_is_read() {
        let database = Database::new();
        let rest = r#"
            query = "SELECT id FROM users"
            row = "object"
            no_rows = 410
            changes = 201
            busy_timeout = "70ms"
            read_only = false
            journal_mode = "wal"
            max_response = "2KiB"
        "#;
        let query = "query = 'DELETE FROM users'\nbatch = 64";
        assert_eq!(read(&database, query).unwrap().batch, 64);
        let adapter = read(&database, rest).unwrap();
        assert_eq!(adapter.query, "SELECT id FROM users");
        assert_eq!(adapter.rows, Rows::Object);
        assert_eq!(adapter.no_rows, Some(StatusCode::GONE));
        assert_eq!(adapter.changes, StatusCode::CREATED);
        assert_eq!(adapter.busy_timeout, Duration::from_millis(70));
        assert_eq!(adapter.read_only, Some(false));
        assert_eq!(adapter.journal_mode, Some(JournalMode::Wal));
        assert_eq!(adapter.max_response_bytes, 2048);
    }

    #[test]
    fn the_defaults_are_those_that_the_keys_name() {
        let database = Database::new();
        let adapter = read(&database, "query = 'DELETE FROM users'").unwrap();
        assert_eq!(adapter.rows, Rows::Array);
        assert_eq!(adapter.changes, StatusCode::OK);
        assert_eq!(adapter.busy_timeout, Duration::from_secs(5));
        assert_eq!((adapter.max_response_bytes, adapter.batch), (64 << 20, 1));
        assert_eq!((adapter.no_rows, adapter.journal_mode), (None, None));
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
