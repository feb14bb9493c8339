//! What the rows of a statement become: the body and the status of a response.
//!
//! Rows are written straight into the body, without a tree of values in between: a row costs what its
//! bytes cost. The limit on the response is checked before each value is written, so that memory stays
//! bounded too.

use http::StatusCode;
use http::header::{HeaderValue, X_CONTENT_TYPE_OPTIONS};

use crate::{Error, Response};

use super::cell::Cell;
use super::columns::Columns;
use super::csv;

/// What rows become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A JSON array with an object for each row.
    #[default]
    Array,
    /// The first row as a JSON object.
    Object,
    /// A JSON object on a line of its own for each row (NDJSON).
    Lines,
    /// Comma-separated values with a line of names first (RFC 4180).
    Csv,
    /// The first column of the first row, as a text.
    Value,
    /// The first column of the first row, as it is, of a media type that is configured or in another
    /// column.
    Raw,
    /// Nothing: 204.
    None,
}

/// Which results of several statements, or of a procedure, are in the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Results {
    /// The last one that has rows, or the last one.
    #[default]
    Last,
    /// All, in a JSON array; for [`Format::Array`] and [`Format::Object`].
    All,
}

/// How answers look.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// What rows become.
    pub format: Format,
    /// Which results are answered.
    pub results: Results,
    /// The status when there are no rows; none: 404 where one row is expected, else 200.
    pub no_rows: Option<StatusCode>,
    /// The status when a statement without rows changed nothing.
    pub no_changes: Option<StatusCode>,
    /// The status after a statement without rows.
    pub changes: StatusCode,
    /// The largest body, in bytes.
    pub max_bytes: usize,
    /// Decimal numbers are JSON texts, for clients that would round them.
    pub decimals_are_texts: bool,
    /// The media type of [`Format::Raw`]; none: `application/octet-stream`.
    pub content_type: Option<HeaderValue>,
    /// The column with the media type of [`Format::Raw`].
    pub content_type_column: Option<String>,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            format: Format::default(),
            results: Results::default(),
            no_rows: None,
            no_changes: None,
            changes: StatusCode::OK,
            max_bytes: 64 * 1024 * 1024,
            decimals_are_texts: false,
            content_type: None,
            content_type_column: None,
        }
    }
}

/// How a statement ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Rows that it changed.
    pub changes: u64,
    /// The number that its last new row got, where the database has such numbers.
    pub last_insert_id: Option<i64>,
}

/// Whether an answer has room for more rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// The next row as well.
    More,
    /// No more rows of this result.
    Enough,
}

/// An answer in the making: for each result [`begin`](Self::begin), a [`row`](Self::row) for each row,
/// [`end`](Self::end).
#[derive(Debug)]
pub struct Answer<'o> {
    output: &'o Output,
    body: Vec<u8>,
    /// Rows of this result.
    rows: u64,
    results: usize,
    /// The result that is answered has rows, or could have.
    has_columns: bool,
    /// This result is run and not shown.
    is_hidden: bool,
    changes: u64,
    last_insert_id: Option<i64>,
    content_type: Option<HeaderValue>,
    is_null: bool,
}

impl<'o> Answer<'o> {
    /// An empty one.
    pub fn new(output: &'o Output) -> Self {
        Self {
            output,
            body: Vec::with_capacity(256.min(output.max_bytes)),
            rows: 0,
            results: 0,
            has_columns: false,
            is_hidden: false,
            changes: 0,
            last_insert_id: None,
            content_type: None,
            is_null: false,
        }
    }

    /// Begins a result, which has these columns, or none.
    ///
    /// # Errors
    ///
    /// 500 when the answer is too large.
    pub fn begin(&mut self, columns: Option<&Columns>) -> Result<(), Error> {
        let shows_all = self.output.results == Results::All;
        self.is_hidden = !shows_all && columns.is_none() && self.has_columns;
        if self.is_hidden {
            return Ok(());
        }
        if shows_all {
            self.body.push(if self.results == 0 { b'[' } else { b',' });
        } else {
            self.body.clear();
        }
        self.results += 1;
        self.rows = 0;
        self.has_columns = columns.is_some();
        if let (Format::Csv, Some(columns)) = (self.output.format, columns) {
            csv::names(&mut self.body, columns.names());
        }
        self.make_room(0)
    }

    /// Adds a row; `cell` gives the value of a column by its index.
    ///
    /// # Errors
    ///
    /// 500 when the answer is too large or a value cannot be written, and what `cell` says.
    pub fn row<'c>(
        &mut self,
        columns: &Columns,
        cell: impl Fn(usize) -> Result<Cell<'c>, Error>,
    ) -> Result<Wants, Error> {
        self.rows += 1;
        let takes_one = matches!(
            self.output.format,
            Format::Object | Format::Value | Format::Raw | Format::None
        );
        match self.output.format {
            Format::None => {}
            Format::Array => {
                self.body.push(if self.rows == 1 { b'[' } else { b',' });
                self.object(columns, cell)?;
            }
            Format::Object => self.object(columns, cell)?,
            Format::Lines => {
                self.object(columns, cell)?;
                self.body.push(b'\n');
            }
            Format::Csv => {
                for index in 0..columns.len() {
                    let cell = cell(index)?;
                    self.make_room(cell.len_min())?;
                    csv::cell(&mut self.body, index, &cell);
                }
                csv::end_of_line(&mut self.body);
            }
            Format::Value | Format::Raw => self.one_value(columns, cell)?,
        }
        self.make_room(0)?;
        Ok(if takes_one {
            Wants::Enough
        } else {
            Wants::More
        })
    }

    /// Ends a result.
    ///
    /// # Errors
    ///
    /// 500 when the answer is too large.
    pub fn end(&mut self, done: Done) -> Result<(), Error> {
        self.changes += done.changes;
        self.last_insert_id = done.last_insert_id.or(self.last_insert_id);
        if self.is_hidden {
            return Ok(());
        }
        if !self.has_columns {
            self.body
                .extend_from_slice(self.changed(done.changes).as_bytes());
        } else if self.output.format == Format::Array {
            let end: &[u8] = if self.rows == 0 { b"[]" } else { b"]" };
            self.body.extend_from_slice(end);
        } else if self.output.format == Format::Object && self.rows == 0 {
            self.body.extend_from_slice(b"null");
        }
        self.make_room(0)
    }

    /// The response.
    ///
    /// # Errors
    ///
    /// 404 when there are no rows and one was expected, or when the configuration says so.
    pub fn finish(mut self) -> Result<Response, Error> {
        if self.output.results == Results::All {
            self.body.push(b']');
            return Ok(Response::json_text(self.body).with_status(self.output.changes));
        }
        if !self.has_columns {
            return match self.output.no_changes {
                Some(status) if self.changes == 0 => {
                    empty(status, "nothing was changed", self.body)
                }
                _ => Ok(with_status(self.output.changes, self.body)),
            };
        }
        let format = self.output.format;
        if self.rows == 0 {
            let expects_one = matches!(format, Format::Object | Format::Value | Format::Raw);
            let default = if expects_one {
                StatusCode::NOT_FOUND
            } else {
                StatusCode::OK
            };
            let status = self.output.no_rows.unwrap_or(default);
            if status != StatusCode::OK {
                return empty(status, "no row matches", self.body);
            }
        }
        if format == Format::None || self.is_null {
            return Ok(Response::status(StatusCode::NO_CONTENT));
        }
        let body = std::mem::take(&mut self.body);
        let mut response = Response::bytes(self.media_type(), body);
        if format == Format::Raw {
            let nosniff = HeaderValue::from_static("nosniff");
            response
                .headers_mut()
                .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
        }
        Ok(response)
    }

    /// The head of a response whose rows are sent as they come.
    pub fn head(&self) -> Response {
        Response::bytes(self.media_type(), Vec::new())
    }

    /// What has been written and not been taken, if it is so many bytes.
    pub fn take(&mut self, at_least_bytes: usize) -> Option<Vec<u8>> {
        let is_enough = !self.body.is_empty() && self.body.len() >= at_least_bytes;
        is_enough.then(|| std::mem::take(&mut self.body))
    }

    fn media_type(&self) -> HeaderValue {
        match (self.output.format, &self.content_type) {
            (_, Some(content_type)) => content_type.clone(),
            (Format::Lines, _) => HeaderValue::from_static("application/x-ndjson"),
            (Format::Csv, _) => HeaderValue::from_static("text/csv; charset=utf-8; header=present"),
            (Format::Value, _) => HeaderValue::from_static("text/plain; charset=utf-8"),
            (Format::Raw, _) => HeaderValue::from_static("application/octet-stream"),
            _ => JSON,
        }
    }

    fn object<'c>(
        &mut self,
        columns: &Columns,
        cell: impl Fn(usize) -> Result<Cell<'c>, Error>,
    ) -> Result<(), Error> {
        self.body.push(b'{');
        for index in 0..columns.len() {
            let cell = cell(index)?;
            let key = columns.key(index);
            self.make_room(key.len() + cell.len_min())?;
            if index > 0 {
                self.body.push(b',');
            }
            self.body.extend_from_slice(key);
            cell.write_json(&mut self.body, self.output.decimals_are_texts)?;
        }
        self.body.push(b'}');
        Ok(())
    }

    fn one_value<'c>(
        &mut self,
        columns: &Columns,
        cell: impl Fn(usize) -> Result<Cell<'c>, Error>,
    ) -> Result<(), Error> {
        let name = self.output.content_type_column.as_deref();
        let type_index = name.and_then(|name| columns.names().position(|one| one == name));
        if let Some(name) = name
            && type_index.is_none()
        {
            let source = format!("there is no column `{name}`");
            return Err(Error::internal("the answer has no media type").with_source(source));
        }
        let index = usize::from(type_index == Some(0));
        if index >= columns.len() {
            return Err(Error::internal("the answer has no column with a value"));
        }
        let value = cell(index)?;
        self.make_room(value.len_min())?;
        self.is_null = matches!(value, Cell::Null);
        value.write_text(&mut self.body);
        self.content_type = self.output.content_type.clone();
        if let Some(index) = type_index {
            let mut text = Vec::new();
            cell(index)?.write_text(&mut text);
            let content_type = HeaderValue::try_from(text);
            self.content_type = Some(content_type.map_err(|error| {
                Error::internal("the answer's media type is none").with_source(error)
            })?);
        }
        Ok(())
    }

    fn changed(&self, changes: u64) -> String {
        match self.last_insert_id {
            Some(id) => format!("{{\"changes\":{changes},\"last_insert_id\":{id}}}"),
            None => format!("{{\"changes\":{changes}}}"),
        }
    }

    fn make_room(&self, more: usize) -> Result<(), Error> {
        if self.body.len().saturating_add(more) <= self.output.max_bytes {
            return Ok(());
        }
        Err(Error::internal(format!(
            "the answer is larger than the {} bytes that this location may send; ask for less",
            self.output.max_bytes
        )))
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer that says that there is nothing.
fn empty(status: StatusCode, detail: &str, body: Vec<u8>) -> Result<Response, Error> {
    match status {
        StatusCode::NOT_FOUND => Err(Error::not_found(detail)),
        StatusCode::CONFLICT => Err(Error::conflict(detail)),
        _ => Ok(with_status(status, body)),
    }
}

fn with_status(status: StatusCode, body: Vec<u8>) -> Response {
    // These have no body, whatever there is to say.
    let bodiless = [
        StatusCode::NO_CONTENT,
        StatusCode::RESET_CONTENT,
        StatusCode::NOT_MODIFIED,
    ];
    if bodiless.contains(&status) || body.is_empty() {
        return Response::status(status);
    }
    Response::json_text(body).with_status(status)
}

#[cfg(test)]
mod tests;
