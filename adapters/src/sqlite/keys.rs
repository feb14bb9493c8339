//! The keys of a location with `adapter = "sqlite"`.

use http::StatusCode;

use crate::mount::Mounted;
use crate::registry::{AdapterSpec, Kind};
use crate::settings::{KeySpec, Settings};

use super::{JournalMode, Rows, Sqlite};

const KEYS: &[KeySpec] = &[
    required(
        "database",
        "path",
        "the database file, which must exist; relative to the working directory",
    ),
    required(
        "query",
        "SQL",
        "one statement; its `:name` parameters come from path, query string and body",
    ),
    optional(
        "row",
        "array or object",
        Some("array"),
        "all rows as an array, or the first one as an object",
    ),
    optional(
        "no_rows",
        "status",
        None,
        "the status without rows, or without changes: 200 with `[]`, 404 for `row = \"object\"`",
    ),
    optional(
        "changes",
        "status",
        Some("200"),
        "the status after an INSERT, UPDATE or DELETE without RETURNING",
    ),
    optional(
        "busy_timeout",
        "duration",
        Some("5s"),
        "how long a call waits for locks in all, but never past its deadline",
    ),
    optional(
        "read_only",
        "boolean",
        None,
        "how the file is opened; if absent, for writing only when the query writes",
    ),
    optional(
        "journal_mode",
        "delete, truncate, persist or wal",
        None,
        "the journal mode that the file is brought into; if absent, it is left as it is",
    ),
    optional(
        "max_response",
        "size",
        Some("64MiB"),
        "the largest response body; a larger answer is a 500",
    ),
];

const fn required(name: &'static str, value: &'static str, meaning: &'static str) -> KeySpec {
    KeySpec {
        name,
        value,
        default: None,
        required: true,
        meaning,
    }
}

const fn optional(
    name: &'static str,
    value: &'static str,
    default: Option<&'static str>,
    meaning: &'static str,
) -> KeySpec {
    KeySpec {
        name,
        value,
        default,
        required: false,
        meaning,
    }
}

/// How a config file mounts it.
pub const fn spec() -> AdapterSpec {
    AdapterSpec {
        name: "sqlite",
        kind: Kind::Blocking,
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
    busy_timeout: Option<std::time::Duration>,
    read_only: Option<bool>,
    journal_mode: Option<JournalMode>,
    max_response_bytes: Option<usize>,
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
            no_rows: final_status(settings, "no_rows"),
            changes: final_status(settings, "changes"),
            busy_timeout: settings.duration("busy_timeout"),
            read_only: settings.boolean("read_only"),
            journal_mode: mode.and_then(|name| {
                let mut modes = JournalMode::ALL.into_iter();
                modes.find(|mode| mode.name() == name)
            }),
            max_response_bytes: max.map(|max| usize::try_from(max).unwrap_or(usize::MAX)),
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
        adapter
    }
}

fn final_status(settings: &mut Settings<'_>, key: &'static str) -> Option<StatusCode> {
    let status = settings.status(key)?;
    if status.is_informational() {
        settings.invalid(key, "a 1xx status never ends a request; use 200 to 599");
        return None;
    }
    Some(status)
}
