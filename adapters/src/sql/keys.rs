//! The keys that all SQL adapters have in common.

use http::Method;
use http::header::HeaderValue;

use crate::settings::{KeySpec, Scalar, Settings};

use super::answer::{Format, Output, Results};
use super::dialect::Dialect;
use super::fill::{DefaultValue, From, Source, Sources};
use super::plan::{Plan, WrongStatement};
use super::run::Common;

/// How many keys all SQL adapters have.
pub const COUNT: usize = KEYS.len();

/// The keys of all SQL adapters.
pub const KEYS: [KeySpec; 12] = [
    KeySpec::optional(
        "query",
        "SQL, or an array of it",
        "what is run for every method that `queries` does not name; several are one transaction",
    ),
    KeySpec::optional(
        "queries",
        "table",
        "what is run for each method: `queries.GET = \"SELECT …\"`",
    ),
    KeySpec::optional(
        "params",
        "table of tables",
        "where `:name` comes from, if not from path, query string or body: `params.name.from = \"header:X-User\"`",
    ),
    KeySpec::with_default(
        "format",
        "array, object, ndjson, csv, value, raw or none",
        "array",
        "what rows become: a JSON array, the first as a JSON object, lines of JSON, CSV, one value",
    ),
    KeySpec::with_default(
        "results",
        "last or all",
        "last",
        "which results of several statements are answered; all of them as an array",
    ),
    KeySpec::optional(
        "no_rows",
        "status",
        "the status without rows: 200 with `[]`, 404 where one row is expected",
    ),
    KeySpec::optional(
        "no_changes",
        "status",
        "the status when a statement without rows changed nothing; if absent, that of `changes`",
    ),
    KeySpec::with_default(
        "changes",
        "status",
        "200",
        "the status after an INSERT, UPDATE or DELETE without RETURNING",
    ),
    KeySpec::with_default(
        "max_response",
        "size",
        "64MiB",
        "the largest response body; a larger answer is a 500",
    ),
    KeySpec::with_default(
        "decimals",
        "number or text",
        "number",
        "what decimal numbers are in JSON; as texts no client rounds them",
    ),
    KeySpec::optional(
        "content_type",
        "media type",
        "the media type of `format = \"raw\"`; if absent, application/octet-stream",
    ),
    KeySpec::optional(
        "content_type_column",
        "text",
        "the column that holds the media type of `format = \"raw\"`",
    ),
];

const METHODS: [(&str, Method); 5] = [
    ("GET", Method::GET),
    ("POST", Method::POST),
    ("PUT", Method::PUT),
    ("PATCH", Method::PATCH),
    ("DELETE", Method::DELETE),
];

const QUERIES_KEYS: &[KeySpec] = &[
    KeySpec::optional("GET", "SQL", "what is run for GET and HEAD"),
    KeySpec::optional("POST", "SQL", "what is run for POST"),
    KeySpec::optional("PUT", "SQL", "what is run for PUT"),
    KeySpec::optional("PATCH", "SQL", "what is run for PATCH"),
    KeySpec::optional("DELETE", "SQL", "what is run for DELETE"),
];

const SOURCE_KEYS: &[KeySpec] = &[
    KeySpec::with_default(
        "from",
        "place",
        "any",
        "where it is: any, path, query or body, each with `:NAME` if it has another name there, header:NAME, \
         whole-body",
    ),
    KeySpec::optional("default", "value", "its value when it is missing"),
    KeySpec::with_default(
        "optional",
        "boolean",
        "false",
        "it is NULL when it is missing",
    ),
];

/// The keys of all SQL adapters after those of one. `ALL` is the sum of their numbers.
///
/// # Panics
///
/// When it is not, which the compiler says.
pub const fn with_own<const OWN: usize, const ALL: usize>(own: [KeySpec; OWN]) -> [KeySpec; ALL] {
    assert!(ALL == OWN + COUNT, "the number of keys is wrong");
    let mut all = [KEYS[0]; ALL];
    let mut at = 0;
    while at < ALL {
        all[at] = if at < OWN { own[at] } else { KEYS[at - OWN] };
        at += 1;
    }
    all
}

impl Common {
    /// Reads them; `None` when something is wrong, which is in the report then.
    pub fn read(settings: &mut Settings<'_>, dialect: Dialect) -> Option<Self> {
        let plan = read_plan(settings, dialect);
        let sources = read_sources(settings);
        let output = read_output(settings);
        let (plan, sources, output) = (plan?, sources?, output?);
        let mut names = sources.keys();
        let is_used = |name: &&String| {
            let mut transactions = plan.transactions().iter();
            transactions.any(|transaction| {
                let mut statements = transaction.statements.iter();
                statements.any(|one| one.parameters().iter().any(|one| one.name == **name))
            })
        };
        if let Some(unused) = names.find(|name| !is_used(name)) {
            settings.invalid(
                "params",
                format!("no statement has the parameter `:{unused}`"),
            );
            return None;
        }
        Some(Self {
            plan,
            sources,
            output,
            retries: 0,
        })
    }
}

fn read_plan(settings: &mut Settings<'_>, dialect: Dialect) -> Option<Plan> {
    let mut plan = Plan::default();
    let mut is_whole = true;
    if let Some(mut queries) = settings.table("queries", QUERIES_KEYS) {
        for (name, method) in METHODS {
            if queries.contains(name) {
                let texts = queries.strings(name);
                is_whole &= texts.is_some_and(|texts| {
                    let added = plan.add(method, &texts, dialect);
                    added.reported(&mut queries, name, &texts)
                });
            }
        }
        queries.reject_unknown_keys();
    } else if settings.contains("queries") {
        return None;
    }
    if settings.contains("query") {
        let texts = settings.strings("query");
        is_whole &= texts.is_some_and(|texts| {
            let added = plan.add_for_any(&texts, dialect);
            added.reported(settings, "query", &texts)
        });
    } else if !settings.contains("queries") {
        settings.missing("query");
        return None;
    }
    is_whole.then_some(plan)
}

/// Says in the report what is wrong with a statement.
trait Reported {
    fn reported(self, settings: &mut Settings<'_>, key: &str, texts: &[String]) -> bool;
}

impl Reported for Result<(), WrongStatement> {
    fn reported(self, settings: &mut Settings<'_>, key: &str, texts: &[String]) -> bool {
        if texts.is_empty() {
            settings.invalid(key, format!("`{key}` has no statement"));
            return false;
        }
        if let Err(wrong) = &self {
            settings.invalid_item(key, wrong.index, format!("`{key}`: {wrong}"));
        }
        self.is_ok()
    }
}

fn read_sources(settings: &mut Settings<'_>) -> Option<Sources> {
    let mut sources = Sources::new();
    let mut is_whole = true;
    for (name, mut table) in settings.named_tables("params", SOURCE_KEYS) {
        let source = read_source(&mut table);
        table.reject_unknown_keys();
        match source {
            Some(source) => drop(sources.insert(name, source)),
            None => is_whole = false,
        }
    }
    is_whole.then_some(sources)
}

fn read_source(table: &mut Settings<'_>) -> Option<Source> {
    let from = match table.string("from") {
        None if table.contains("from") => return None,
        None => From::default(),
        Some(text) => match From::parse(&text) {
            Ok(from) => from,
            Err(message) => {
                table.invalid("from", message);
                return None;
            }
        },
    };
    let default = match table.scalar("default") {
        None if table.contains("default") => return None,
        None => None,
        Some(Scalar::Boolean(flag)) => Some(DefaultValue::Bool(flag)),
        Some(Scalar::Integer(integer)) => Some(DefaultValue::Integer(integer)),
        Some(Scalar::Number(number)) => Some(DefaultValue::Number(number)),
        Some(Scalar::Text(text)) => Some(DefaultValue::Text(text)),
    };
    let is_optional = table.boolean_or_default("optional")?;
    if is_optional && default.is_some() {
        table.invalid(
            "optional",
            "it has a `default`, so it is never missing; remove one of the two",
        );
        return None;
    }
    let default = if is_optional {
        Some(DefaultValue::Null)
    } else {
        default
    };
    Some(Source { from, default })
}

fn read_output(settings: &mut Settings<'_>) -> Option<Output> {
    let errors = settings.error_count();
    let default = Output::default();
    let formats = ["array", "object", "ndjson", "csv", "value", "raw", "none"];
    let format = match settings.choice("format", &formats) {
        Some("object") => Format::Object,
        Some("ndjson") => Format::Lines,
        Some("csv") => Format::Csv,
        Some("value") => Format::Value,
        Some("raw") => Format::Raw,
        Some("none") => Format::None,
        _ => Format::Array,
    };
    let results = match settings.choice("results", &["last", "all"]) {
        Some("all") => Results::All,
        _ => Results::Last,
    };
    if results == Results::All && !matches!(format, Format::Array | Format::Object) {
        settings.invalid(
            "results",
            "only with `format = \"array\"` or \"object\" can all be answered",
        );
    }
    let content_type = settings.string("content_type");
    let content_type_column = settings.string("content_type_column");
    for key in ["content_type", "content_type_column"] {
        if format != Format::Raw && settings.contains(key) {
            settings.invalid(
                key,
                format!("`{key}` goes with `format = \"raw\"`; remove one of the two"),
            );
        }
    }
    let content_type = content_type.and_then(|text| {
        let value = HeaderValue::try_from(text);
        if value.is_err() {
            settings.invalid("content_type", "it cannot be a header's value");
        }
        value.ok()
    });
    let max_bytes = settings.size_bytes("max_response");
    let output = Output {
        format,
        results,
        no_rows: settings.status("no_rows"),
        no_changes: settings.status("no_changes"),
        changes: settings.status("changes").unwrap_or(default.changes),
        max_bytes: max_bytes.map_or(default.max_bytes, |max| {
            usize::try_from(max).unwrap_or(usize::MAX)
        }),
        decimals_are_texts: settings.choice("decimals", &["number", "text"]) == Some("text"),
        content_type,
        content_type_column,
    };
    (settings.error_count() == errors).then_some(output)
}

#[cfg(test)]
mod tests;
