//! Who is compared, on what, with how many connections.

use clap::ValueEnum;
use clap::builder::PossibleValue;

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Server {
    Pontoon,
    AxumMulti,
    AxumCurrent,
    Actix,
    Nginx,
}

impl Server {
    /// Whom all ratios are to.
    pub(crate) const BASE: Self = Self::AxumMulti;
    /// Those that do what Pontoon does: a pool of threads behind an event loop.
    pub(crate) const WITH_A_POOL: [Self; 3] = [Self::AxumMulti, Self::AxumCurrent, Self::Actix];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Pontoon => "pontoon",
            Self::AxumMulti => "axum-multi",
            Self::AxumCurrent => "axum-current",
            Self::Actix => "actix",
            Self::Nginx => "nginx",
        }
    }

    /// nginx has no pool to run anything on: it answers by itself, which is the floor for a no-op.
    pub(crate) fn serves(self, route: Route) -> bool {
        self != Self::Nginx || route == Route::Noop
    }
}

impl ValueEnum for Server {
    fn value_variants<'a>() -> &'a [Self] {
        use Server::{Actix, AxumCurrent, AxumMulti, Nginx, Pontoon};
        &[Pontoon, AxumMulti, AxumCurrent, Actix, Nginx]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Route {
    Noop,
    Sleep,
    Cpu,
    Sqlite,
    Insert,
}

impl Route {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Noop => "noop",
            Self::Sleep => "sleep",
            Self::Cpu => "cpu",
            Self::Sqlite => "sqlite",
            Self::Insert => "insert",
        }
    }

    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Noop => "/noop",
            Self::Sleep => "/sleep",
            Self::Cpu => "/cpu",
            Self::Sqlite => "/users/1",
            Self::Insert => "/notes",
        }
    }

    /// What is posted, as JSON; where there is nothing to post, it is a GET.
    pub(crate) const fn body(self) -> Option<&'static str> {
        match self {
            Self::Noop | Self::Sleep | Self::Cpu | Self::Sqlite => None,
            Self::Insert => Some(r#"{"text":"a note that is worth a sync of the disk"}"#),
        }
    }
}

impl ValueEnum for Route {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Noop,
            Self::Sleep,
            Self::Cpu,
            Self::Sqlite,
            Self::Insert,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

/// What is measured once in each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Case {
    pub(crate) connections: usize,
    pub(crate) route: Route,
    pub(crate) server: Server,
}

impl Case {
    /// The same work on another server.
    pub(crate) fn on(self, server: Server) -> Self {
        Self { server, ..self }
    }
}
