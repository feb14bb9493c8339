//! Tables within tables.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::{Diagnostic, KeySpec, Settings};

impl<'src> Settings<'src> {
    /// The table at `key`, where `keys` may appear: `[key]` or `key = { .. }`.
    pub fn table(&mut self, key: &'static str, keys: &'src [KeySpec]) -> Option<Settings<'src>> {
        let value = self.value(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(key, value, "a table");
            return None;
        };
        Some(self.child(table, value.span(), keys))
    }

    /// The tables at `key`, in the order of the text: `[[key]]`, or an array of inline tables.
    /// Items of another type are recorded as errors and left out.
    pub fn tables(
        &mut self,
        key: &'static str,
        keys: &'src [KeySpec],
    ) -> Option<Vec<Settings<'src>>> {
        let value = self.value(key)?;
        let items = match value.get_ref() {
            DeValue::Array(items) => items,
            DeValue::Table(_) => {
                let error = format!("`{key}` is a list, and this is a single table");
                let help = format!("write `[[{key}]]` with two brackets, once for each");
                self.report(key, Diagnostic::error(error).help(help));
                return None;
            }
            _ => {
                self.wrong_type(key, value, "a list of tables");
                return None;
            }
        };
        let tables = items.iter().filter_map(|item| match item.get_ref() {
            DeValue::Table(table) => Some(self.child(table, item.span(), keys)),
            _ => {
                self.wrong_type(key, item, "a list of tables");
                None
            }
        });
        Some(tables.collect())
    }

    /// The tables below `key` with their names, by name: `[key.NAME]`, where `keys` may appear.
    pub fn named_tables(
        &mut self,
        key: &'static str,
        keys: &'src [KeySpec],
    ) -> Vec<(String, Settings<'src>)> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let DeValue::Table(outer) = value.get_ref() else {
            let error = format!("each `{key}` has a name, and here is none");
            let help = format!("write `[{key}.NAME]`");
            self.report(key, Diagnostic::error(error).help(help));
            return Vec::new();
        };
        let mut named = Vec::new();
        for (name, value) in outer {
            match value.get_ref() {
                DeValue::Table(table) => {
                    let inner = self.child(table, value.span(), keys);
                    named.push((name.get_ref().to_string(), inner));
                }
                _ => {
                    let error = format!(
                        "`{name}` is outside of any named `{key}`",
                        name = name.get_ref()
                    );
                    let help = format!("a header of the form `[{key}.NAME]` goes before it");
                    self.record(Diagnostic::error(error).at(name.span()).help(help));
                }
            }
        }
        named
    }

    fn child(
        &self,
        table: &'src DeTable<'src>,
        header: Range<usize>,
        keys: &'src [KeySpec],
    ) -> Settings<'src> {
        Settings {
            table,
            header: Some(header),
            known: vec![keys],
            diagnostics: self.diagnostics,
        }
    }
}
