//! A statement with named parameters, read once at start.
//!
//! `:name` is a parameter wherever it is not within a text, a quoted name, a comment or a
//! dollar-quoted text. It may be followed by a type: `:id::int8`. A name may have dots, which lead into
//! the objects of a JSON body: `:user.name`. A `::` that follows anything else is PostgreSQL's cast and
//! left alone, as is the `:=` of MySQL.

mod words;

use std::fmt::Write;

use super::dialect::{Dialect, Placeholder};
use super::kinds::ValueKind;
use words::Words;

/// A parameter of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, with its dots.
    pub name: String,
    /// What its value must be.
    pub kind: ValueKind,
}

/// A statement, ready for its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    text: String,
    parameters: Vec<Parameter>,
    placeholders: Vec<usize>,
    reads: bool,
    gives_changes: bool,
    is_procedure: bool,
}

/// Why a text is not a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// What is wrong, and what to do.
    pub message: String,
}

fn malformed(message: impl Into<String>) -> Malformed {
    let message = message.into();
    Malformed { message }
}

impl Statement {
    /// Reads a statement.
    ///
    /// # Errors
    ///
    /// It is empty, it holds more than one statement, a text or comment does not end, or a parameter
    /// has two types or one that nobody knows.
    pub fn parse(sql: &str, dialect: Dialect) -> Result<Self, Malformed> {
        let mut reader = Reader {
            rest: sql.trim(),
            dialect,
            statement: Self {
                text: String::with_capacity(sql.len()),
                parameters: Vec::new(),
                placeholders: Vec::new(),
                reads: true,
                gives_changes: false,
                is_procedure: false,
            },
            words: Words::default(),
        };
        reader.read()?;
        let Reader {
            mut statement,
            words,
            ..
        } = reader;
        if words.count == 0 {
            return Err(malformed("it is empty; give one statement"));
        }
        statement.reads = words.reads();
        statement.gives_changes = words.gives_changes();
        statement.is_procedure = words.begins_procedure;
        Ok(statement)
    }

    /// The text for the database.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its parameters, each once, in the order of their first use.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Which parameter each placeholder stands for, in the order of the text. By number: each once.
    pub fn placeholders(&self) -> &[usize] {
        &self.placeholders
    }

    /// Whether it looks as if it only read. A function that it calls may write all the same.
    pub fn reads(&self) -> bool {
        self.reads
    }

    /// Whether it looks as if it changed rows and gave rows back: `RETURNING`, or a `WITH` that writes. Only
    /// then can its answer fail after it has changed something.
    pub fn gives_changes(&self) -> bool {
        self.gives_changes
    }

    /// Whether it calls a procedure, or is a block of the database's own code: it may have transactions of its
    /// own.
    pub fn is_procedure(&self) -> bool {
        self.is_procedure
    }
}

struct Reader<'s> {
    rest: &'s str,
    dialect: Dialect,
    statement: Statement,
    words: Words,
}

impl<'s> Reader<'s> {
    fn read(&mut self) -> Result<(), Malformed> {
        while let Some(next) = self.rest.chars().next() {
            match next {
                '\'' => self.quoted('\'', self.dialect.has_backslash_escapes, "text")?,
                '"' => self.quoted('"', self.dialect.has_backslash_escapes, "quoted name")?,
                '`' => self.quoted('`', false, "quoted name")?,
                '-' if self.begins_line_comment() => self.line(),
                '#' if self.dialect.has_hash_comments => self.line(),
                '/' if self.is_mysql() && self.begins_code_in_comment() => {
                    return Err(malformed(
                        "the server runs what stands in `/*! … */`; write it without the comment",
                    ));
                }
                '/' if self.rest.starts_with("/*") => self.comment()?,
                '$' if self.dialect.has_dollar_quotes => self.dollar()?,
                ':' => self.colon()?,
                '?' if self.dialect.placeholder != Placeholder::Dollar => {
                    return Err(malformed(
                        "a parameter has no name; write `:name` in place of `?`",
                    ));
                }
                '@' | '$' if self.has_other_names() => {
                    let next = self.rest.split_at(1).0;
                    return Err(malformed(format!(
                        "a parameter begins with `{next}`; write `:name`"
                    )));
                }
                ';' => return self.end(),
                _ if is_name_start(next) => self.word()?,
                // A number is no word, and its letters (`1e5`) are none either.
                _ if next.is_ascii_digit() => {
                    let end = end_of(self.rest, |c| is_name(c) || c == '.');
                    self.pass(end);
                }
                _ => self.pass(next.len_utf8()),
            }
        }
        Ok(())
    }

    /// SQLite would take `@name` and `$name` for parameters as well, and nobody would fill them.
    fn has_other_names(&self) -> bool {
        self.dialect.placeholder == Placeholder::NumberedQuestion
            && self.rest[1..].starts_with(is_name_start)
    }

    /// Takes so many bytes over as they are.
    fn pass(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.statement.text.push_str(passed);
        self.rest = rest;
    }

    fn word(&mut self) -> Result<(), Malformed> {
        // PostgreSQL's names may have dollars within.
        let has_dollars = self.dialect.has_dollar_quotes;
        let end = end_of(self.rest, |c| is_name(c) || (has_dollars && c == '$'));
        let word = &self.rest[..end];
        self.words.see(word);
        let is_escape = word.eq_ignore_ascii_case("E") && self.rest[end..].starts_with('\'');
        self.pass(end);
        if is_escape {
            return self.quoted('\'', true, "text");
        }
        Ok(())
    }

    fn quoted(&mut self, quote: char, has_escapes: bool, what: &str) -> Result<(), Malformed> {
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            if has_escapes && character == '\\' {
                characters.next();
            } else if character == quote {
                // A doubled quote begins the next text at once, which comes to the same.
                self.pass(at + quote.len_utf8());
                return Ok(());
            }
        }
        Err(malformed(format!(
            "a {what} that begins with {quote} does not end"
        )))
    }

    /// MySQL wants a space after the two hyphens: `5--1` is a number less a negative one there.
    fn begins_line_comment(&self) -> bool {
        self.rest.strip_prefix("--").is_some_and(|rest| {
            let next = rest.chars().next();
            !self.is_mysql() || next.is_none_or(|next| next.is_whitespace() || next.is_control())
        })
    }

    fn begins_code_in_comment(&self) -> bool {
        self.rest.starts_with("/*!") || self.rest.starts_with("/*M!")
    }

    fn is_mysql(&self) -> bool {
        self.dialect.has_hash_comments
    }

    fn line(&mut self) {
        // A carriage return alone ends it in PostgreSQL.
        let ends: &[char] = if self.dialect.has_dollar_quotes {
            &['\n', '\r']
        } else {
            &['\n']
        };
        self.pass(self.rest.find(ends).unwrap_or(self.rest.len()));
    }

    fn comment(&mut self) -> Result<(), Malformed> {
        let (mut depth, mut at) = (0, 0);
        loop {
            let rest = &self.rest[at..];
            if rest.starts_with("/*") && (depth == 0 || self.dialect.nests_comments) {
                (depth, at) = (depth + 1, at + 2);
            } else if rest.starts_with("*/") {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    self.pass(at);
                    return Ok(());
                }
            } else {
                let next = rest.chars().next();
                at += next
                    .ok_or_else(|| malformed("a comment that begins with /* does not end"))?
                    .len_utf8();
            }
        }
    }

    fn dollar(&mut self) -> Result<(), Malformed> {
        let tag_end = 1 + end_of(&self.rest[1..], is_name);
        if self.rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
            return Err(malformed(
                "a parameter has no name; write `:name` in place of `$1`",
            ));
        }
        if !self.rest[tag_end..].starts_with('$') {
            self.pass(tag_end);
            return Ok(());
        }
        let tag = &self.rest[..=tag_end];
        let Some(end) = self.rest[tag.len()..].find(tag) else {
            return Err(malformed(format!(
                "a text that begins with {tag} does not end"
            )));
        };
        self.pass(end + 2 * tag.len());
        Ok(())
    }

    fn colon(&mut self) -> Result<(), Malformed> {
        if self.rest.starts_with("::") {
            self.pass(2);
            return Ok(());
        }
        let after = &self.rest[1..];
        if !after.starts_with(is_name_start) {
            self.pass(1);
            return Ok(());
        }
        let name = dotted_name(after);
        let rest = &after[name.len()..];
        let cast = rest
            .strip_prefix("::")
            .map(type_name)
            .filter(|cast| !cast.is_empty());
        let kind = match cast {
            Some(cast) => ValueKind::named(cast).or_else(|| {
                // PostgreSQL has types that only it knows.
                let kind = if cast.ends_with("[]") {
                    ValueKind::Array
                } else {
                    ValueKind::Any
                };
                self.dialect.has_casts.then_some(kind)
            }),
            None => Some(ValueKind::Any),
        };
        let kind = kind.ok_or_else(|| {
            let cast = cast.unwrap_or_default();
            malformed(format!(
                "the type `{cast}` of the parameter `{name}` is not known here"
            ))
        })?;
        self.placeholder(name, kind)?;
        self.rest = rest;
        if let Some(cast) = cast {
            let bytes = 2 + cast.len();
            if self.dialect.has_casts {
                self.pass(bytes);
            } else {
                self.rest = &self.rest[bytes..];
            }
        }
        Ok(())
    }

    fn placeholder(&mut self, name: &str, kind: ValueKind) -> Result<(), Malformed> {
        let Statement {
            parameters,
            placeholders,
            text,
            ..
        } = &mut self.statement;
        let known = parameters
            .iter()
            .position(|parameter| parameter.name == name);
        let index = known.unwrap_or(parameters.len());
        match parameters.get_mut(index) {
            None => parameters.push(Parameter {
                name: name.to_owned(),
                kind,
            }),
            Some(parameter) if parameter.kind == ValueKind::Any => parameter.kind = kind,
            Some(parameter) if kind == ValueKind::Any || kind == parameter.kind => {}
            Some(_) => {
                return Err(malformed(format!(
                    "the parameter `{name}` has two types; give it one"
                )));
            }
        }
        let number = index + 1;
        // Writing to a string does not fail.
        let _ = match self.dialect.placeholder {
            Placeholder::Dollar => write!(text, "${number}"),
            Placeholder::NumberedQuestion => write!(text, "?{number}"),
            Placeholder::Question => write!(text, "?"),
        };
        if known.is_none() || self.dialect.placeholder == Placeholder::Question {
            placeholders.push(index);
        }
        Ok(())
    }

    /// What follows a semicolon must be nothing.
    fn end(&mut self) -> Result<(), Malformed> {
        let length = self.statement.text.len();
        self.rest = &self.rest[1..];
        let words = self.words.count;
        self.read()?;
        if self.words.count > words {
            return Err(malformed(
                "it holds more than one statement; give each its own text in an array",
            ));
        }
        self.statement.text.truncate(length);
        Ok(())
    }
}

fn is_name_start(character: char) -> bool {
    character == '_' || character.is_alphabetic()
}

fn is_name(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

fn end_of(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|character| !belongs(character))
        .unwrap_or(text.len())
}

/// A name and, after each dot, another one.
fn dotted_name(text: &str) -> &str {
    let mut end = end_of(text, is_name);
    while let Some(rest) = text[end..].strip_prefix('.')
        && rest.starts_with(is_name_start)
    {
        end += 1 + end_of(rest, is_name);
    }
    &text[..end]
}

/// A type's name, with `[]` if it is an array.
fn type_name(text: &str) -> &str {
    let end = end_of(text, is_name);
    let is_array = text[end..].starts_with("[]");
    &text[..end + if is_array { 2 } else { 0 }]
}

#[cfg(test)]
mod tests;
