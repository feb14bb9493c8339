//! Where the values of a statement's parameters come from.
//!
//! Without a word in the config file a parameter comes from the path, the query string or the body,
//! whichever has it first: see [`params`](crate::params). `[location.params.NAME]` says otherwise.

use std::collections::BTreeMap;

use http::header::HeaderName;

use crate::params::{Found, Params, Place};
use crate::{CallContext, Error, Request};

use super::Value;
use super::statement::Parameter;

/// Where one parameter comes from, and what it is when it is missing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// Where it is looked for.
    pub from: From,
    /// Its value when it is missing; none: a missing one is a 400.
    pub default: Option<DefaultValue>,
}

/// Where a parameter is looked for.
#[derive(Clone, Debug, PartialEq)]
pub enum From {
    /// In path, query string or body, under this name, or under its own.
    Parameter(Place, Option<String>),
    /// In a header of the request, which must be a text.
    Header(HeaderName),
    /// It is the whole body, as bytes.
    WholeBody,
}

impl Default for From {
    fn default() -> Self {
        Self::Parameter(Place::Any, None)
    }
}

/// The value of a parameter that is missing.
#[derive(Clone, Debug, PartialEq)]
pub enum DefaultValue {
    /// SQL's NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// An integer.
    Integer(i64),
    /// A number, as it was written.
    Number(String),
    /// A text.
    Text(String),
}

impl DefaultValue {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Integer(integer) => Value::Integer(*integer),
            Self::Number(number) => Value::Number(number.into()),
            Self::Text(text) => Value::Text(text.into()),
        }
    }
}

impl From {
    /// Reads `query`, `query:page`, `header:X-User`, `body`, …
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what can be said.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (place, name) = match text.split_once(':') {
            Some((place, name)) => (place, Some(name).filter(|name| !name.is_empty())),
            None => (text, None),
        };
        let name_of = |place| Self::Parameter(place, name.map(str::to_owned));
        Ok(match (place, name) {
            ("any", _) => name_of(Place::Any),
            ("path", _) => name_of(Place::Path),
            ("query", _) => name_of(Place::Query),
            ("body", _) => name_of(Place::Body),
            ("whole-body", None) => Self::WholeBody,
            ("header", Some(name)) => {
                let header = name.parse();
                Self::Header(
                    header.map_err(|_| format!("`{name}` cannot be the name of a header"))?,
                )
            }
            _ => {
                return Err(format!(
                    "`{text}` says no place: write \"path\", \"query\", \"body\" or \"any\", each with `:NAME` \
                     where the name there is another one, \"header:NAME\" or \"whole-body\""
                ));
            }
        })
    }
}

/// The sources of parameters that the config file names.
pub type Sources = BTreeMap<String, Source>;

/// One request, as the source of a statement's values.
#[derive(Debug)]
pub struct Filler<'r> {
    request: &'r Request,
    params: Params<'r>,
    sources: &'r Sources,
}

impl<'r> Filler<'r> {
    /// Reads the request once, for all statements that it fills.
    ///
    /// # Errors
    ///
    /// 400 when its query string or body is malformed; the detail says which.
    pub fn new(
        request: &'r Request,
        call: &'r CallContext,
        sources: &'r Sources,
    ) -> Result<Self, Error> {
        let params = Params::collect(request, call)?;
        Ok(Self {
            request,
            params,
            sources,
        })
    }

    /// The value of a parameter.
    ///
    /// # Errors
    ///
    /// 400 when it is missing and has no default, is given twice, or is not what it must be; the detail
    /// names it.
    pub fn value(&self, parameter: &Parameter) -> Result<Value<'_>, Error> {
        let Parameter { name, kind } = parameter;
        let source = self.sources.get(name);
        let found = match source.map(|source| &source.from) {
            Some(From::WholeBody) => return Ok(Value::Bytes(self.request.body().as_ref().into())),
            Some(From::Header(header)) => self.header(header)?.map(Found::Text),
            Some(From::Parameter(place, other)) => {
                self.params.find(other.as_ref().unwrap_or(name), *place)?
            }
            None => self.params.find(name, Place::Any)?,
        };
        match (found, source.and_then(|source| source.default.as_ref())) {
            (Some(found), _) => kind.value(found, name),
            (None, Some(default)) => Ok(default.value()),
            (None, None) => Err(missing(name, source)),
        }
    }

    fn header(&self, name: &HeaderName) -> Result<Option<&str>, Error> {
        let mut values = self.request.headers().get_all(name).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Error::bad_request(format!(
                "the header `{name}` is there twice"
            )));
        }
        let text = std::str::from_utf8(value.as_bytes());
        text.map(Some)
            .map_err(|_| Error::bad_request(format!("the header `{name}` is not UTF-8")))
    }
}

fn missing(name: &str, source: Option<&Source>) -> Error {
    Error::bad_request(match source.map(|source| &source.from) {
        Some(From::Header(header)) => format!("the header `{header}` is missing"),
        Some(From::Parameter(_, Some(other))) => format!("the parameter `{other}` is missing"),
        _ => format!("the parameter `{name}` is missing"),
    })
}

#[cfg(test)]
mod tests;
