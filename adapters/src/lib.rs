//! Libraries wrapped for Pontoon: the registry that maps an adapter's name to its constructor,
//! and the reader of the settings that constructors are given.

pub mod mount;
pub mod registry;
pub mod settings;
