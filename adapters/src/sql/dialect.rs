//! What is different in the SQL of each database, as far as it matters here.

/// How a database's SQL differs from that of others, as far as finding its parameters goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// How a parameter is written in what the database gets.
    pub placeholder: Placeholder,
    /// The database knows `::type` itself.
    pub has_casts: bool,
    /// A backslash escapes the next character of a text: MySQL. (In PostgreSQL only in `E'…'`, which is
    /// always heeded.)
    pub has_backslash_escapes: bool,
    /// Comments may be nested: PostgreSQL.
    pub nests_comments: bool,
    /// `$tag$…$tag$` is a text: PostgreSQL.
    pub has_dollar_quotes: bool,
    /// `#` begins a comment: MySQL.
    pub has_hash_comments: bool,
}

/// How a parameter is written in what the database gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `$1`, by number: PostgreSQL. One that is used twice is sent once.
    Dollar,
    /// `?1`, by number: SQLite.
    NumberedQuestion,
    /// `?`, by position: MySQL, ODBC. One that is used twice is sent twice.
    Question,
}

impl Dialect {
    /// PostgreSQL.
    pub const POSTGRES: Self = Self {
        placeholder: Placeholder::Dollar,
        has_casts: true,
        has_backslash_escapes: false,
        nests_comments: true,
        has_dollar_quotes: true,
        has_hash_comments: false,
    };
    /// SQLite.
    pub const SQLITE: Self = Self {
        placeholder: Placeholder::NumberedQuestion,
        has_casts: false,
        has_backslash_escapes: false,
        nests_comments: false,
        has_dollar_quotes: false,
        has_hash_comments: false,
    };
    /// MySQL and MariaDB.
    pub const MYSQL: Self = Self {
        placeholder: Placeholder::Question,
        has_casts: false,
        has_backslash_escapes: true,
        nests_comments: false,
        has_dollar_quotes: false,
        has_hash_comments: true,
    };
    /// Whatever is behind ODBC.
    pub const ODBC: Self = Self {
        placeholder: Placeholder::Question,
        has_casts: false,
        has_backslash_escapes: false,
        nests_comments: false,
        has_dollar_quotes: false,
        has_hash_comments: false,
    };
}
