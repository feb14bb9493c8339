//! `pontoon adapters [NAME]`: what may stand in a config file, from the same lists that read it.

use std::io::{self, Write};

use pontoon_adapters::registry::{AdapterSpec, Kind, Registry};
use pontoon_adapters::settings::KeySpec;

use super::{AdaptersArguments, Outcome};
use crate::config::{LOCATION_KEYS, POOL_KEYS, unknown_adapter};

/// Lists all adapters on `out`, or all about one. A name that there is not is explained on
/// `problems`.
///
/// # Errors
///
/// Writing failed.
pub fn adapters(
    arguments: &AdaptersArguments,
    registry: &Registry,
    out: &mut dyn Write,
    problems: &mut dyn Write,
) -> io::Result<Outcome> {
    let Some(name) = arguments.name.as_deref() else {
        list(registry, out)?;
        return Ok(Outcome::Success);
    };
    match registry.get(name) {
        Some(spec) => {
            describe(spec, out)?;
            Ok(Outcome::Success)
        }
        None => {
            let diagnostic = unknown_adapter(name, registry);
            writeln!(problems, "error: {}", diagnostic.message)?;
            if let Some(help) = diagnostic.help {
                writeln!(problems, "help: {help}")?;
            }
            Ok(Outcome::Usage)
        }
    }
}

fn list(registry: &Registry, out: &mut dyn Write) -> io::Result<()> {
    let row = |spec: &AdapterSpec| {
        let kinds: Vec<&str> = spec.kinds().map(Kind::name).collect();
        let [name, summary] = [spec.name, spec.summary].map(str::to_owned);
        [name, kinds.join(", "), summary]
    };
    write_rows(out, "", &registry.iter().map(row).collect::<Vec<_>>())?;
    let row = |(name, feature)| [String::from(name), format!("--features {feature}")];
    let missing: Vec<_> = registry.not_compiled().map(row).collect();
    if !missing.is_empty() {
        writeln!(out, "\nnot in this build, which would need:")?;
        write_rows(out, "  ", &missing)?;
    }
    writeln!(out, "\n`pontoon adapters NAME` lists the keys of one.")
}

fn describe(spec: &AdapterSpec, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}: {}", spec.name, spec.summary)?;
    writeln!(out, "kind: {}, {}", spec.kind.name(), about(spec.kind))?;
    for (mode, kind) in spec.modes.iter().filter(|(_, kind)| *kind != spec.kind) {
        let (name, about) = (kind.name(), about(*kind));
        writeln!(out, "with `mode = \"{mode}\"`: {name}, {about}")?;
    }
    if spec.keys.is_empty() {
        writeln!(out, "\nIt has no keys of its own.")?;
    } else {
        writeln!(out, "\nkeys of `{}`:", spec.name)?;
        write_keys(out, spec.keys.iter())?;
    }
    writeln!(out, "\nkeys of every location:")?;
    write_keys(
        out,
        LOCATION_KEYS
            .iter()
            .filter(|key| spec.kinds().any(|kind| applies(key, kind))),
    )?;
    if spec.kinds().any(Kind::needs_pool) {
        writeln!(out, "\nkeys of its [pool.NAME]:")?;
        write_keys(out, POOL_KEYS.iter())?;
    }
    Ok(())
}

/// Whether a key of the location's can stand beside such an adapter.
fn applies(key: &KeySpec, kind: Kind) -> bool {
    match key.name {
        "pool" | "share" => kind.needs_pool(),
        "max_running" => !kind.needs_pool(),
        _ => true,
    }
}

fn about(kind: Kind) -> &'static str {
    match kind {
        Kind::Blocking => "runs on the workers of a pool",
        Kind::Callback => "the library calls back from its own threads; takes no pool",
        Kind::Loop => "runs on the event loop; takes no pool",
    }
}

fn write_keys<'a>(out: &mut dyn Write, keys: impl Iterator<Item = &'a KeySpec>) -> io::Result<()> {
    let row = |key: &KeySpec| {
        let default = match (key.required, key.default) {
            (true, _) => "required".to_owned(),
            (false, Some(default)) => format!("default {default}"),
            (false, None) => "optional".to_owned(),
        };
        [
            key.name.to_owned(),
            key.value.to_owned(),
            default,
            key.meaning.to_owned(),
        ]
    };
    write_rows(out, "  ", &keys.map(row).collect::<Vec<_>>())
}

/// Writes the rows so that each column begins at one place; the last column is not padded.
fn write_rows<const COLUMNS: usize>(
    out: &mut dyn Write,
    indent: &str,
    rows: &[[String; COLUMNS]],
) -> io::Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    for row in rows {
        let mut line = String::from(indent);
        for (column, cell) in row.iter().enumerate() {
            let width = if column + 1 == COLUMNS {
                0
            } else {
                width(column).unwrap_or(0) + 2
            };
            line.push_str(&format!("{cell:width$}"));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
