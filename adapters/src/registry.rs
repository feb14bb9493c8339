//! Which adapters there are: a name in the config file leads to a description and a constructor.
//!
//! The server's config reader looks names up here, `pontoon adapters` lists what is here, and a
//! program that brings its own adapters registers them here. The registry promises one entry per
//! name and iterates in the order of the names.

use std::collections::BTreeMap;

use crate::mount::Mounted;
use crate::settings::{KeySpec, Settings};

/// Adapters that this version has but this build left out: the name in the config file and the
/// cargo feature that brings it in.
pub const NOT_COMPILED: &[(&str, &str)] = &[
    #[cfg(not(feature = "curl"))]
    ("curl", "curl"),
    #[cfg(not(feature = "mysql"))]
    ("mysql", "mysql"),
    #[cfg(not(feature = "redis"))]
    ("redis", "redis"),
    #[cfg(not(feature = "postgres"))]
    ("postgres", "postgres"),
    #[cfg(not(feature = "sqlite"))]
    ("sqlite", "sqlite"),
];

/// How an adapter runs its library, which decides what a location must give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The library blocks its thread: the location names a pool.
    Blocking,
    /// The library calls back from threads of its own: no pool.
    Callback,
    /// The library is async, or exposes a file descriptor: it runs on the event loop, no pool.
    Loop,
}

impl Kind {
    /// The kind in one word, as `pontoon adapters` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocking => "blocking",
            Self::Callback => "callback",
            Self::Loop => "loop",
        }
    }

    /// Whether a location with such an adapter must name a pool.
    pub const fn needs_pool(self) -> bool {
        matches!(self, Self::Blocking)
    }
}

/// An adapter as the config file knows it.
#[derive(Clone, Copy, Debug)]
pub struct AdapterSpec {
    /// What the location's `adapter` key says.
    pub name: &'static str,
    /// How the adapter runs its library, unless its `mode` says otherwise.
    pub kind: Kind,
    /// For an adapter that has several ways to run its library: what its key `mode` may say, and the
    /// kind that each means. Empty for all others, whatever a `mode` of theirs is about.
    pub modes: &'static [(&'static str, Kind)],
    /// What the adapter does, in one line.
    pub summary: &'static str,
    /// The keys it reads from its location's table.
    pub keys: &'static [KeySpec],
    /// Reads the keys and makes the adapter. `None` means that the reason is recorded in the
    /// settings. It may look at files, so that a typo shows at start, but connects to nothing:
    /// `pontoon check` calls it too.
    pub build: fn(&mut Settings<'_>) -> Option<Mounted>,
}

impl AdapterSpec {
    /// How the adapter runs its library in the location of these settings. A `mode` that there is not
    /// means the usual kind: it is up to `build` to refuse it.
    pub fn kind_in(&self, settings: &Settings<'_>) -> Kind {
        let mode = settings.peek_text("mode");
        let meant = self.modes.iter().find(|(name, _)| Some(*name) == mode);
        meant.map_or(self.kind, |(_, kind)| *kind)
    }

    /// Every kind that it may be, the usual one first.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        let others = self.modes.iter().map(|(_, kind)| *kind);
        std::iter::once(self.kind).chain(others.filter(|kind| *kind != self.kind))
    }
}

/// The adapters that a config file may name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    specs: BTreeMap<&'static str, AdapterSpec>,
    /// The feature for each adapter that this build lacks.
    not_compiled: BTreeMap<&'static str, &'static str>,
}

impl Registry {
    /// A registry with no adapters.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The adapters of this crate that this build has; those it lacks are known by name only.
    pub fn builtin() -> Self {
        let mut registry = Self::empty();
        for &(name, feature) in NOT_COMPILED {
            registry.declare_not_compiled(name, feature);
        }
        for &spec in crate::builtin::BUILTIN {
            registry.register(spec);
        }
        registry
    }

    /// Adds an adapter. Returns the one that had the same name before, if any; it is replaced.
    pub fn register(&mut self, spec: AdapterSpec) -> Option<AdapterSpec> {
        self.not_compiled.remove(spec.name);
        self.specs.insert(spec.name, spec)
    }

    /// Makes a name known whose adapter needs a build with the cargo feature `feature`, so that a
    /// config file which uses it gets an answer that helps. A registered adapter is left alone.
    pub fn declare_not_compiled(&mut self, name: &'static str, feature: &'static str) {
        if !self.specs.contains_key(name) {
            self.not_compiled.insert(name, feature);
        }
    }

    /// The adapter with this name.
    pub fn get(&self, name: &str) -> Option<&AdapterSpec> {
        self.specs.get(name)
    }

    /// The cargo feature that would bring this adapter in, for one that this build lacks.
    pub fn feature_of(&self, name: &str) -> Option<&'static str> {
        self.not_compiled.get(name).copied()
    }

    /// All adapters, by name.
    pub fn iter(&self) -> impl Iterator<Item = &AdapterSpec> {
        self.specs.values()
    }

    /// The adapters that this build lacks, by name, each with its cargo feature.
    pub fn not_compiled(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.not_compiled
            .iter()
            .map(|(name, feature)| (*name, *feature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &'static str) -> AdapterSpec {
        AdapterSpec {
            name,
            kind: Kind::Loop,
            modes: &[],
            summary: "",
            keys: &[],
            build: |_| None,
        }
    }

    #[test]
    fn adapters_are_listed_by_name_and_one_name_is_one_adapter() {
        let mut registry = Registry::empty();
        assert!(registry.register(spec("zeta")).is_none());
        assert!(registry.register(spec("alpha")).is_none());
        assert!(registry.register(spec("zeta")).is_some());
        let names: Vec<_> = registry.iter().map(|spec| spec.name).collect();
        assert_eq!(names, ["alpha", "zeta"]);
    }

    #[test]
    fn the_mode_decides_the_kind_where_an_adapter_has_several() {
        const MODE: &[KeySpec] = &[KeySpec::optional("mode", "text", "which")];
        let kind_in = |text: &str, modes| {
            let spec = AdapterSpec {
                kind: Kind::Blocking,
                modes,
                ..spec("two")
            };
            Settings::parse(text, MODE, |settings| Some(spec.kind_in(settings))).unwrap()
        };
        let modes: &[_] = &[("blocking", Kind::Blocking), ("loop", Kind::Loop)];
        assert_eq!(kind_in("", modes), Kind::Blocking);
        assert_eq!(kind_in("mode = 'blocking'", modes), Kind::Blocking);
        assert_eq!(kind_in("mode = 'loop'", modes), Kind::Loop);
        assert_eq!(kind_in("mode = 'lop'", modes), Kind::Blocking);
        assert_eq!(kind_in("mode = 7", modes), Kind::Blocking);
        assert_eq!(kind_in("mode = 'loop'", &[]), Kind::Blocking);
        let spec = AdapterSpec {
            kind: Kind::Blocking,
            modes,
            ..spec("two")
        };
        assert!(spec.kinds().eq([Kind::Blocking, Kind::Loop]));
    }

    #[test]
    fn an_adapter_is_either_registered_or_known_to_be_missing() {
        let mut registry = Registry::empty();
        registry.declare_not_compiled("oracle", "oracle");
        assert_eq!(registry.feature_of("oracle"), Some("oracle"));
        registry.register(spec("oracle"));
        assert_eq!(registry.feature_of("oracle"), None);
        registry.declare_not_compiled("oracle", "oracle");
        assert_eq!(registry.not_compiled().count(), 0);
    }
}
