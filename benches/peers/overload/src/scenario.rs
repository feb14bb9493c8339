//! The scenarios. Each measures every server once a round; `Table` has the medians.

mod bridge;
mod faults;
mod flood;
mod gone;
mod hung;
mod idle;
mod reload;
mod stop;
mod stuck;

use crate::Outcome;
use clap::ValueEnum;
use peer_load::table::Table;
use std::path::PathBuf;
use std::time::Duration;

/// The servers that this program can be.
const SERVERS: [&str; 3] = ["pontoon", "axum", "actix"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// 8,000 calls/s on a pool that can serve about 3,700
    Bridge,
    /// 40,000 calls/s on the same
    BridgeTenfold,
    /// HTTP at twice the capacity, clients that give up after 250 ms
    Flood,
    /// Clients hung on one location, and what another serves
    Hung,
    /// All threads of a pool hang, and when it serves again
    Stuck,
    /// 500 clients send and leave
    Gone,
    /// Panics, hangs and errors under load
    Faults,
    /// 10,000 idle connections and 2,000 slow clients
    Idle,
    /// A reload every second under load
    Reload,
    /// TERM under 1,000 connections, with calls that hang
    Stop,
}

/// What all scenarios are told.
#[derive(Debug)]
pub(crate) struct Setting {
    /// The `pontoon` command.
    pub(crate) pontoon: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) time_max: Duration,
}

impl Setting {
    /// The time of a measurement that takes `time` where nobody asked for less.
    fn at_most(&self, time: Duration) -> Duration {
        time.min(self.time_max)
    }
}

impl Scenario {
    pub(crate) fn table(self) -> Table {
        match self {
            Self::Bridge => bridge::table(bridge::RATE),
            Self::BridgeTenfold => bridge::table(bridge::RATE_TENFOLD),
            Self::Flood => flood::table(),
            Self::Hung => hung::table(),
            Self::Stuck => stuck::table(),
            Self::Gone => gone::table(),
            Self::Faults => faults::table(),
            Self::Idle => idle::table(),
            Self::Reload => reload::table(),
            Self::Stop => stop::table(),
        }
    }

    /// Measures every server once.
    pub(crate) async fn round(self, setting: &Setting, table: &mut Table) -> Outcome {
        match self {
            Self::Bridge => bridge::round(bridge::RATE, setting, table),
            Self::BridgeTenfold => bridge::round(bridge::RATE_TENFOLD, setting, table),
            Self::Flood => flood::round(setting, table).await,
            Self::Hung => hung::round(setting, table).await,
            Self::Stuck => stuck::round(setting, table).await,
            Self::Gone => gone::round(table).await,
            Self::Faults => faults::round(setting, table).await,
            Self::Idle => idle::round(setting, table).await,
            Self::Reload => reload::round(setting, table).await,
            Self::Stop => stop::round(table).await,
        }
    }
}
