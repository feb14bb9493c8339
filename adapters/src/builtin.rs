//! The adapters that come with Pontoon, in the order in which they are listed.
//!
//! The registry starts with these; a program adds its own.

#[cfg(feature = "curl")]
use crate::curl;
#[cfg(feature = "mysql")]
use crate::mysql;
#[cfg(feature = "postgres")]
use crate::postgres;
#[cfg(feature = "redis")]
use crate::redis;
use crate::registry::AdapterSpec;
#[cfg(feature = "sqlite")]
use crate::sqlite;
use crate::{callback, echo, file, resolve, sleep};

/// All adapters of this build. Those of libraries depend on cargo features.
pub const BUILTIN: &[AdapterSpec] = &[
    echo::spec(),
    sleep::spec(),
    callback::spec(),
    file::spec(),
    resolve::spec(),
    #[cfg(feature = "curl")]
    curl::spec(),
    #[cfg(feature = "mysql")]
    mysql::spec(),
    #[cfg(feature = "redis")]
    redis::spec(),
    #[cfg(feature = "postgres")]
    postgres::spec(),
    #[cfg(feature = "sqlite")]
    sqlite::spec(),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_adapters_share_a_name_and_no_adapter_has_a_key_twice() {
        let names: BTreeSet<_> = BUILTIN.iter().map(|spec| spec.name).collect();
        assert_eq!(names.len(), BUILTIN.len());
        for spec in BUILTIN {
            let keys: BTreeSet<_> = spec.keys.iter().map(|key| key.name).collect();
            assert_eq!(keys.len(), spec.keys.len(), "{}", spec.name);
        }
    }

    #[test]
    fn a_required_key_has_no_default() {
        for key in BUILTIN.iter().flat_map(|spec| spec.keys) {
            assert!(!(key.required && key.default.is_some()), "{}", key.name);
            assert!(!key.meaning.is_empty(), "{}", key.name);
        }
    }
}
