//! What the words of a statement tell of it.

/// The words of a statement outside of texts and comments, as far as they tell whether it writes.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) count: usize,
    begins_reading: bool,
    pub(super) begins_procedure: bool,
    writes: bool,
    returns: bool,
    last_is_for: bool,
}

impl Words {
    pub(super) fn see(&mut self, word: &str) {
        let is = |words: &[&str]| words.iter().any(|one| one.eq_ignore_ascii_case(word));
        if self.count == 0 {
            self.begins_reading = is(&[
                "SELECT", "WITH", "VALUES", "TABLE", "SHOW", "EXPLAIN", "DESCRIBE", "DESC",
                "PRAGMA",
            ]);
        }
        if self.count == 0 {
            self.begins_procedure = is(&["CALL", "DO", "BEGIN", "EXEC", "EXECUTE"]);
            // MariaDB's may go without INTO.
            self.writes |= is(&["REPLACE"]);
        }
        // `FOR UPDATE` locks rows, and changes none.
        let is_lock = self.last_is_for && is(&["UPDATE"]);
        self.writes |= is(&["INSERT", "UPDATE", "DELETE", "MERGE", "INTO"]) && !is_lock;
        self.returns |= is(&["RETURNING"]);
        // `FOR NO KEY UPDATE`.
        self.last_is_for = is(&["FOR"]) || (self.last_is_for && is(&["NO", "KEY"]));
        self.count += 1;
    }

    pub(super) fn reads(&self) -> bool {
        self.begins_reading && !self.writes
    }

    pub(super) fn gives_changes(&self) -> bool {
        self.writes && (self.begins_reading || self.returns)
    }
}
