//! The contract: what every adapter of a backend must pass, against the real backend, through a whole server
//! and real sockets.
//!
//! | clauses | file |
//! | --- | --- |
//! | a request has its answer; 1,000 calls at once with fewer sessions | `contract/answers.rs` |
//! | the backend is down at the start, is killed in a call, goes and comes back | `contract/outages.rs` |
//! | it is slow, it hangs, the client leaves: on time, and the work in the backend is really gone | `contract/slow.rs` |
//! | malformed and hostile input is refused, or stored exactly | `contract/hostile.rs` |
//! | nothing is left of 10,000 calls and 100 reconnects | `contract/leaks.rs` |
//!
//! # Holding an adapter to it
//!
//! Say in a file of `contract/` how its backend is started, what is mounted, and how to look into it: implement
//! [`Subject`](subject::Subject) and name the type in [`contract!`]. With the private servers of
//! `pontoon_tests::backends` that is short. For PostgreSQL, say:
//!
//! ```ignore
//! struct Subject {
//!     postgres: Postgres,
//!     database: String,
//! }
//!
//! impl subject::Subject for Subject {
//!     fn start() -> Option<Self> {
//!         let postgres = Postgres::start()?;
//!         let database = postgres.database();
//!         Some(Self { postgres, database })
//!     }
//!     fn echo(&self) -> String {
//!         self.location("SELECT :value::text AS value")
//!     }
//!     fn slow(&self) -> Option<String> {
//!         Some(self.location("SELECT pg_sleep(:seconds::float8)"))
//!     }
//!     fn is_at_work(&self) -> bool {
//!         self.postgres.running("%pg_sleep%") > 0
//!     }
//!     fn sessions(&self) -> usize {
//!         self.postgres.sessions()
//!     }
//!     fn kill(&self) {
//!         self.postgres.kill();
//!     }
//!     // restart, pause and resume alike
//! }
//!
//! crate::contract!(Subject);
//! ```
//!
//! and here, behind the adapter's feature: `mod postgres;`. An adapter with two modes is a type with a const
//! parameter, named once for each mode in a module of its own.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

#[path = "contract/answers.rs"]
mod answers;
#[path = "contract/hostile.rs"]
mod hostile;
#[path = "contract/leaks.rs"]
mod leaks;
#[cfg(feature = "mysql")]
#[path = "contract/mysql.rs"]
mod mysql;
#[path = "contract/outages.rs"]
mod outages;
#[cfg(feature = "postgres")]
#[path = "contract/postgres.rs"]
mod postgres;
#[cfg(feature = "redis")]
#[path = "contract/redis.rs"]
mod redis;
#[path = "contract/rig.rs"]
mod rig;
#[path = "contract/slow.rs"]
mod slow;
#[cfg(feature = "sqlite")]
#[path = "contract/sqlite.rs"]
mod sqlite;
#[path = "contract/subject.rs"]
mod subject;

/// All clauses of the contract, as tests, for one [`Subject`](subject::Subject).
#[macro_export]
macro_rules! contract {
    ($subject:ty) => {
        $crate::contract!($subject:
            answers::a_request_has_its_answer,
            answers::a_thousand_calls_at_once_share_a_few_sessions,
            outages::a_backend_that_is_down_at_the_start_is_found_when_it_comes,
            outages::a_call_whose_backend_is_killed_ends_at_once,
            outages::a_backend_that_went_is_found_again_when_it_is_back,
            slow::at_its_deadline_a_call_is_answered_and_its_work_ends,
            slow::a_call_whose_client_left_ends_in_the_backend,
            slow::a_late_cancel_never_hits_the_next_call,
            slow::a_backend_that_hangs_costs_nobody_more_than_the_deadline,
            hostile::every_text_is_stored_exactly,
            hostile::what_a_backend_may_refuse_is_refused_or_stored_exactly,
            hostile::what_is_malformed_is_refused,
            leaks::ten_thousand_calls_and_a_hundred_reconnects_leave_nothing_behind,
        );
    };
    ($subject:ty: $($file:ident::$clause:ident,)*) => {
        $(
            #[test]
            fn $clause() {
                $crate::$file::$clause::<$subject>();
            }
        )*
    };
}
