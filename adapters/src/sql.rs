//! What all SQL adapters have in common: statements with named parameters, where their values come from, and
//! what rows become.
//!
//! A location says what is run, for every method or for each:
//!
//! ```toml
//! [[location]]
//! path    = "/users/{id}"
//! adapter = "sqlite"                     # or another SQL adapter, and its own keys
//! queries.GET    = "SELECT id, name FROM users WHERE id = :id::int"
//! queries.DELETE = ["DELETE FROM mails WHERE user_id = :id::int", "DELETE FROM users WHERE id = :id::int"]
//! params.by.from = "header:X-User"       # for a statement with `:by`
//! format         = "object"
//! ```
//!
//! - **Values are bound, never spliced.** `:name` stands for a value wherever SQL takes one; see
//!   [`statement`].
//! - **A value has the type that follows its name**, `:id::int8`, or else that of its source: a text, or
//!   what JSON has. A value of another type is a 400 that names it, before anything is run; see [`ValueKind`].
//! - **Several statements are one transaction**: all or none of them.
//! - **What writes is not for GET.** A `query` that writes answers 405 to GET and HEAD, whatever prefetches
//!   links. It goes by the statement's words: a function that writes is not seen.
//! - **Types survive.** Integers and decimals keep all their digits, bytes are base64, JSON is JSON.
//! - **Answers are bounded** by `max_response`.
//!
//! A database's adapter implements [`Database`] for its session and calls [`Common::answer`].

mod answer;
mod cell;
mod columns;
mod csv;
mod dialect;
mod fill;
mod keys;
mod kinds;
mod plan;
mod run;
mod sqlstate;
pub mod statement;

pub use answer::{Answer, Done, Format, Output, Results, Wants};
pub use cell::Cell;
pub use columns::{Columns, SameName};
pub use dialect::{Dialect, Placeholder};
pub use fill::{DefaultValue, Filler, From, Source, Sources};
pub use keys::{COUNT, KEYS, with_own};
pub use kinds::{Value, ValueKind};
pub use plan::{Plan, Transaction, WrongStatement};
pub use run::{Common, Database, Failure, Task};
pub use sqlstate::{from_sqlstate, is_worth_a_retry};
pub use statement::{Malformed, Parameter, Statement};
