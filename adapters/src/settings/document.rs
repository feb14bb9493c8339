//! A whole TOML text: parsed once, then read through [`Settings`], which share its error list.

use std::cell::RefCell;

use toml::de::DeTable;

use super::{Diagnostic, KeySpec, Settings};

/// A parsed TOML text and what has been found wrong with it so far.
#[derive(Debug)]
pub struct Document<'text> {
    root: DeTable<'text>,
    diagnostics: RefCell<Vec<Diagnostic>>,
}

impl<'text> Document<'text> {
    /// Parses the text.
    ///
    /// # Errors
    ///
    /// All that is not TOML. The values are then not looked at: a table that is broken somewhere
    /// would only bring follow-up errors.
    pub fn parse(text: &'text str) -> Result<Self, Vec<Diagnostic>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self {
                root: root.into_inner(),
                diagnostics: RefCell::default(),
            });
        }
        Err(in_text_order(
            errors
                .iter()
                .map(|error| syntax_error(error, text))
                .collect(),
        ))
    }

    /// The top of the file, where `keys` may appear.
    pub fn root<'a>(&'a self, keys: &'a [KeySpec]) -> Settings<'a> {
        Settings {
            table: &self.root,
            header: None,
            known: vec![keys],
            diagnostics: &self.diagnostics,
        }
    }

    /// What was recorded, in the order of the text; each finding once.
    pub fn into_diagnostics(self) -> Vec<Diagnostic> {
        in_text_order(self.diagnostics.into_inner())
    }
}

fn syntax_error(error: &toml::de::Error, text: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("not valid TOML: {}", error.message()));
    match error.span() {
        // At the very end there is no byte to point at: point behind the last one that is visible.
        Some(span) if span.start >= text.len() => {
            let end = text.trim_end().len();
            diagnostic.at(end..end)
        }
        Some(span) => diagnostic.at(span),
        None => diagnostic,
    }
}

fn in_text_order(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let start = |diagnostic: &Diagnostic| diagnostic.span.as_ref().map(|span| span.start);
    diagnostics.sort_by_key(start);
    diagnostics.dedup();
    diagnostics
}
