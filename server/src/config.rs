//! The config file: read, checked as a whole, and turned into plain structs.
//!
//! `pontoon run`, `pontoon check` and the reload on HUP call this; nothing here opens a socket, a
//! database or a thread. The promises: a [`Config`] that exists is consistent (paths do not
//! conflict, pools exist, adapters have what they need), and a file that is wrong yields all its
//! errors at once, in the order of its lines.

mod clients;
mod error;
mod keys;
mod limits;
mod listen;
mod location;
mod methods;
mod path;
mod pool;
mod server;
mod share;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use pontoon_adapters::registry::Registry;
use pontoon_adapters::settings::{Diagnostic, Document, Settings, SettingsErrors};

pub use error::ConfigError;
pub use keys::*;
pub use listen::{ListenAddress, ListenAddressError};
pub use location::LocationConfig;
pub(crate) use location::unknown_adapter;
pub use pool::PoolConfig;
pub use server::ServerConfig;

use location::Surroundings;

/// A file beyond this is not a config: reading it all would only fill the memory.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What a config file says, checked.
#[derive(Debug)]
pub struct Config {
    /// What concerns the server as a whole.
    pub server: ServerConfig,
    /// The pools, by name.
    pub pools: Vec<PoolConfig>,
    /// The locations, in the order of the file; at least one.
    pub locations: Vec<LocationConfig>,
    /// What is probably not meant as it is written: print it, with its `render`.
    pub warnings: SettingsErrors,
}

/// What the command line says instead of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The address to listen on; the file then need not have one.
    pub listen: Option<ListenAddress>,
}

impl Config {
    /// Reads a config file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or all that is wrong with it.
    pub fn load(path: &Path, registry: &Registry) -> Result<Self, ConfigError> {
        Self::load_with(path, registry, &Overrides::default())
    }

    /// Reads a config file of which the command line overrides a part.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or all that is wrong with it.
    pub fn load_with(
        path: &Path,
        registry: &Registry,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let bytes = read_file(path)?;
        let file_name = path.display().to_string();
        match std::str::from_utf8(&bytes) {
            Ok(text) => Self::parse_with(text, &file_name, registry, overrides),
            Err(error) => Err(not_utf8(&bytes, &error, &file_name)),
        }
    }

    /// Reads the text of a config file; `file_name` is what errors call it.
    ///
    /// # Errors
    ///
    /// All that is wrong with the text.
    pub fn parse(text: &str, file_name: &str, registry: &Registry) -> Result<Self, ConfigError> {
        Self::parse_with(text, file_name, registry, &Overrides::default())
    }

    /// Reads the text of a config file of which the command line overrides a part.
    ///
    /// # Errors
    ///
    /// All that is wrong with the text.
    pub fn parse_with(
        text: &str,
        file_name: &str,
        registry: &Registry,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let report = |diagnostics| SettingsErrors::new(diagnostics, text, file_name);
        let document =
            Document::parse(text).map_err(|found| ConfigError::Invalid(report(found)))?;
        let parts = read_parts(&mut document.root(SERVER_KEYS), registry, overrides);
        let mut found = document.into_diagnostics();
        match parts {
            Some((server, pools, locations)) if !found.iter().any(Diagnostic::is_error) => {
                Ok(Self {
                    server,
                    pools,
                    locations,
                    warnings: report(found),
                })
            }
            _ => {
                if !found.iter().any(Diagnostic::is_error) {
                    found.push(
                        Diagnostic::error("the config was refused without a reason")
                            .help("this is a mistake in Pontoon: please report it with the file"),
                    );
                }
                Err(ConfigError::Invalid(report(found)))
            }
        }
    }
}

type Parts = (ServerConfig, Vec<PoolConfig>, Vec<LocationConfig>);

/// Reads everything before it gives up on anything.
fn read_parts(
    root: &mut Settings<'_>,
    registry: &Registry,
    overrides: &Overrides,
) -> Option<Parts> {
    let server = server::read(root, overrides);
    root.reject_unknown_keys();

    let server_spin = server.as_ref().map(|server| server.spin);
    let mut pool_tables = root.named_tables("pool", POOL_KEYS);
    let pools: Vec<Option<PoolConfig>> = pool_tables
        .iter_mut()
        .map(|(name, settings)| pool::read(name, settings, server_spin))
        .collect();

    let mut around = Surroundings {
        registry,
        // A pool that is wrong still exists, for the locations.
        pools: pool_tables.iter().map(|(name, _)| name.as_str()).collect(),
        pools_in_use: BTreeSet::new(),
        pool_places: places(&pools),
        paths: path::Paths::default(),
        on_unix_socket: matches!(
            server.as_ref().map(|server| &server.listen),
            Some(ListenAddress::Unix(_))
        ),
        max_body_bytes: server.as_ref().map(|server| server.max_body_bytes),
    };
    let mut location_tables = location_tables(root);
    let locations: Vec<Option<LocationConfig>> = location_tables
        .iter_mut()
        .map(|settings| location::read(settings, &mut around))
        .collect();

    let in_use = around.pools_in_use;
    // A location that is wrong may be the one that was to use the pool.
    if root.error_count() == 0 {
        warn_of_unused(&mut pool_tables, &in_use);
    }
    let pools = pools.into_iter().collect::<Option<_>>()?;
    let locations = locations.into_iter().collect::<Option<_>>()?;
    Some((server?, pools, locations))
}

/// How many calls may be in each pool that is right.
fn places(pools: &[Option<PoolConfig>]) -> BTreeMap<&str, usize> {
    let places = |pool: &PoolConfig| pool.threads.saturating_add(pool.max_queue);
    let right = pools.iter().flatten();
    right.map(|pool| (&*pool.name, places(pool))).collect()
}

fn warn_of_unused(pools: &mut [(String, Settings<'_>)], in_use: &BTreeSet<String>) {
    for (name, settings) in pools.iter_mut().filter(|(name, _)| !in_use.contains(name)) {
        let warning = Diagnostic::warning(format!("no location uses the pool `{name}`"));
        settings.report_table(warning.help("its threads would be started for nothing"));
    }
}

fn location_tables<'src>(root: &mut Settings<'src>) -> Vec<Settings<'src>> {
    let errors_before = root.error_count();
    let tables = root.tables("location", LOCATION_KEYS).unwrap_or_default();
    if tables.is_empty() && root.error_count() == errors_before {
        let error = Diagnostic::error("there is no location: nothing could be answered");
        root.report_table(error.help("add a `[[location]]` with a `path` and an `adapter`"));
    }
    tables
}

fn read_file(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?
            .take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
            limit_bytes: FILE_BYTES_MAX,
        });
    }
    Ok(bytes)
}

fn not_utf8(bytes: &[u8], error: &std::str::Utf8Error, file_name: &str) -> ConfigError {
    let start = error.valid_up_to();
    let text = String::from_utf8_lossy(bytes);
    let byte = bytes.get(start).copied().unwrap_or_default();
    let diagnostic = Diagnostic::error(format!("not valid UTF-8: the byte 0x{byte:02x}"))
        .at(start..start + char::REPLACEMENT_CHARACTER.len_utf8())
        .help("save the file as UTF-8");
    ConfigError::Invalid(SettingsErrors::new(vec![diagnostic], &text, file_name))
}
