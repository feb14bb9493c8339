//! HTTP/1.1 on the loop: hyper behind a guard.
//!
//! ```text
//! socket ─▶ wire (reads, guards, counts) ─▶ hyper ─▶ service ─▶ location
//!    ▲                                        │
//!    └──────────── wire (writes) ◀────────────┘
//! ```
//!
//! [`connection`] is the task of one connection, [`wire`] what it shares with hyper, [`service`] what
//! becomes of one request.

pub(crate) mod connection;
mod deadline;
mod exchange;
pub(crate) mod guard;
mod pace;
mod service;
pub(crate) mod socket;
mod streaming;
mod wire;
