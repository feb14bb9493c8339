//! The columns of a result: their names, and these as the members of a JSON object, encoded once.

use std::collections::HashSet;

use super::cell::write_text;

/// The columns of a result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    names: Vec<String>,
    /// `"id":`
    keys: Vec<Vec<u8>>,
}

/// Two columns have one name, and a JSON object cannot have both.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two columns are called `{0}`; give one of them another name with AS")]
pub struct SameName(pub String);

impl Columns {
    /// Those of these names.
    ///
    /// # Errors
    ///
    /// Two have the same one.
    pub fn new(names: impl IntoIterator<Item = String>) -> Result<Self, SameName> {
        let names: Vec<String> = names.into_iter().collect();
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(SameName(twice.clone()));
        }
        let key = |name: &String| {
            let mut key = Vec::with_capacity(name.len() + 3);
            // A text can be written to memory.
            let _ = write_text(&mut key, name.as_bytes());
            key.push(b':');
            key
        };
        let keys = names.iter().map(key).collect();
        Ok(Self { names, keys })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(super) fn key(&self, index: usize) -> &[u8] {
        &self.keys[index]
    }
}
