//! Named parameters of a request, for adapters that fill a statement or a template with them.
//!
//! An adapter asks for a name and gets a value with a type. The sources, first match wins:
//!
//! 1. the path: `/users/{id}`; always text
//! 2. the query string: `?id=7`; always text
//! 3. the body: a form (`application/x-www-form-urlencoded`), always text, or a JSON object
//!    (`application/json` or `…+json`), which keeps its types
//!
//! In JSON, `user.name` means the member `user.name` or else the member `name` of the object
//! `user`. Null, integers, other numbers and texts keep their type; true and false are 1 and 0;
//! an array or an object is its JSON text, exactly as it was sent. An integer that does not fit
//! into 64 bits is an error, never a rounded number. Of a member that is there twice, the last one
//! counts; a query or form parameter that is there twice is an error once it is asked for, since
//! nobody can know which one was meant.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode;
use serde_json::value::RawValue;

use crate::{CallContext, Error, PathParams, Request};

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// JSON `null`.
    Null,
    /// A JSON integer, `true` (1) or `false` (0).
    Integer(i64),
    /// Any other JSON number.
    Real(f64),
    /// A text, or the JSON text of an array or object.
    Text(Cow<'a, str>),
}

/// Where a parameter is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Path, query string, body, in this order.
    #[default]
    Any,
    /// The path only.
    Path,
    /// The query string only.
    Query,
    /// The form or the JSON body only.
    Body,
}

/// A parameter as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'p> {
    /// The decoded text of a path, query string or form.
    Text(&'p str),
    /// A JSON value, exactly as it was sent.
    Json(&'p str),
}

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// All parameters of one request.
///
/// ```
/// use pontoon_adapters::params::{Params, Value};
/// use pontoon_adapters::CallContext;
///
/// let request = http::Request::post("/?page=2")
///     .header("content-type", "application/json")
///     .body(r#"{"user": {"name": "Ada", "age": 36}}"#.into())
///     .unwrap();
/// let call = CallContext::detached();
/// let params = Params::collect(&request, &call)?;
/// assert_eq!(params.value("page")?, Value::Text("2".into()));
/// assert_eq!(params.value("user.age")?, Value::Integer(36));
/// # Ok::<(), pontoon_adapters::Error>(())
/// ```
#[derive(Debug)]
pub struct Params<'a> {
    path: &'a PathParams,
    query: Pairs<'a>,
    body: Body<'a>,
}

#[derive(Debug)]
enum Body<'a> {
    None,
    Form(Pairs<'a>),
    Json(Members<'a>),
}

impl<'a> Params<'a> {
    /// Reads query string and body. A body of another media type holds no parameters.
    ///
    /// # Errors
    ///
    /// 400 when the query string, the form or the JSON is malformed; the detail says which.
    pub fn collect(request: &'a Request, call: &'a CallContext) -> Result<Self, Error> {
        Ok(Self {
            path: call.params(),
            query: query_pairs(request)?,
            body: Body::read(request)?,
        })
    }

    /// The value of a parameter that must be there.
    ///
    /// # Errors
    ///
    /// 400 when it is missing, given twice, or beyond the range of its type; the detail names it.
    pub fn value(&self, name: &str) -> Result<Value<'_>, Error> {
        self.get(name)?
            .ok_or_else(|| Error::bad_request(format!("the parameter `{name}` is missing")))
    }

    /// The value of a parameter, if it is there.
    ///
    /// # Errors
    ///
    /// 400 when it is given twice or beyond the range of its type; the detail names it.
    pub fn get(&self, name: &str) -> Result<Option<Value<'_>>, Error> {
        Ok(match self.find(name, Place::Any)? {
            None => None,
            Some(Found::Text(value)) => Some(Value::Text(value.into())),
            Some(Found::Json(value)) => Some(typed(value, name)?),
        })
    }

    /// A parameter as it was sent, if it is there, for who gives it a type of his own.
    ///
    /// # Errors
    ///
    /// 400 when it is given twice; the detail names it.
    pub fn find(&self, name: &str, place: Place) -> Result<Option<Found<'_>>, Error> {
        let is_looked_at = |one| place == Place::Any || place == one;
        if is_looked_at(Place::Path)
            && let Some(value) = self.path.get(name)
        {
            return Ok(Some(Found::Text(value)));
        }
        if is_looked_at(Place::Query)
            && let Some(value) = only_one(&self.query, name, "query string")?
        {
            return Ok(Some(Found::Text(value)));
        }
        if !is_looked_at(Place::Body) {
            return Ok(None);
        }
        Ok(match &self.body {
            Body::None => None,
            Body::Form(pairs) => only_one(pairs, name, "form")?.map(Found::Text),
            Body::Json(members) => find(members, name).map(|raw| Found::Json(raw.get())),
        })
    }
}

/// The value of one parameter of the query string, decoded.
///
/// # Errors
///
/// 400 when the query string is malformed or the parameter is there twice.
pub fn query_value<'a>(request: &'a Request, name: &str) -> Result<Option<Cow<'a, str>>, Error> {
    let pairs = query_pairs(request)?;
    only_one(&pairs, name, "query string")?;
    let found = pairs.into_iter().find(|(candidate, _)| candidate == name);
    Ok(found.map(|(_, value)| value))
}

/// The value of one parameter of the path, or else of the query string, decoded: for adapters that leave
/// the body alone.
///
/// # Errors
///
/// 400 when the query string is malformed or the parameter is there twice.
pub fn path_or_query<'a>(
    request: &'a Request,
    call: &'a CallContext,
    name: &str,
) -> Result<Option<Cow<'a, str>>, Error> {
    match call.param(name) {
        Some(value) => Ok(Some(value.into())),
        None => query_value(request, name),
    }
}

impl<'a> Body<'a> {
    fn read(request: &'a Request) -> Result<Self, Error> {
        let body = request.body();
        if body.is_empty() {
            return Ok(Self::None);
        }
        let media_type = media_type(request);
        if media_type == "application/x-www-form-urlencoded" {
            return form_pairs(body)
                .map(Self::Form)
                .map_err(|malformed| malformed.in_the("form body"));
        }
        if media_type == "application/json" || media_type.ends_with("+json") {
            return json_members(body).map(Self::Json);
        }
        Ok(Self::None)
    }
}

fn media_type(request: &Request) -> String {
    let header = request.headers().get(CONTENT_TYPE);
    let header = header.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = header.split(';').next().unwrap_or("");
    essence.trim().to_ascii_lowercase()
}

fn json_members(body: &[u8]) -> Result<Members<'_>, Error> {
    serde_json::from_slice(body).map_err(|error| {
        let detail = if error.is_data() {
            "the JSON body must be an object whose members are the parameters".to_owned()
        } else {
            format!("the JSON body is malformed: {error}")
        };
        Error::bad_request(detail).with_source(error)
    })
}

/// The member of this name, or the one that the dots lead to.
fn find<'a>(members: &Members<'a>, name: &str) -> Option<&'a RawValue> {
    if let Some(raw) = members.get(name) {
        return Some(raw);
    }
    let (object, rest) = name.split_once('.')?;
    let inner: Members<'a> = serde_json::from_str(members.get(object)?.get()).ok()?;
    find(&inner, rest)
}

fn typed<'a>(json: &'a str, name: &str) -> Result<Value<'a>, Error> {
    match json.as_bytes().first() {
        Some(b'n') => Ok(Value::Null),
        Some(b't') => Ok(Value::Integer(1)),
        Some(b'f') => Ok(Value::Integer(0)),
        Some(b'"') => text(json, name).map(Value::Text),
        Some(b'[' | b'{') => Ok(Value::Text(json.into())),
        _ => number(json, name),
    }
}

pub(crate) fn text<'a>(json: &'a str, name: &str) -> Result<Cow<'a, str>, Error> {
    // Only a text without escapes can be borrowed.
    if let Ok(text) = serde_json::from_str::<&str>(json) {
        return Ok(text.into());
    }
    serde_json::from_str(json).map(Cow::Owned).map_err(|error| {
        Error::bad_request(format!("the parameter `{name}` is not valid text")).with_source(error)
    })
}

fn number<'a>(json: &str, name: &str) -> Result<Value<'a>, Error> {
    if !json.contains(['.', 'e', 'E']) {
        return json.parse().map(Value::Integer).map_err(|error| {
            let detail = format!("the parameter `{name}` does not fit into a 64-bit integer");
            Error::bad_request(detail).with_source(error)
        });
    }
    match json.parse::<f64>() {
        Ok(real) if real.is_finite() => Ok(Value::Real(real)),
        _ => {
            let detail = format!("the parameter `{name}` is beyond the range of a number");
            Err(Error::bad_request(detail))
        }
    }
}

fn only_one<'p>(pairs: &'p Pairs<'_>, name: &str, place: &str) -> Result<Option<&'p str>, Error> {
    let mut values = pairs
        .iter()
        .filter(|(candidate, _)| candidate == name)
        .map(|(_, value)| &**value);
    let first = values.next();
    if values.next().is_some() {
        let detail = format!("the parameter `{name}` is twice in the {place}");
        return Err(Error::bad_request(detail));
    }
    Ok(first)
}

fn query_pairs(request: &Request) -> Result<Pairs<'_>, Error> {
    let query = request.uri().query().unwrap_or("");
    form_pairs(query.as_bytes()).map_err(|malformed| malformed.in_the("query string"))
}

/// What is wrong with a form or a query string.
#[derive(Debug)]
enum Malformed {
    Escape,
    Utf8,
}

impl Malformed {
    fn in_the(self, place: &str) -> Error {
        let what = match self {
            Self::Escape => "a `%` is not followed by two hexadecimal digits",
            Self::Utf8 => "a name or a value is not UTF-8",
        };
        Error::bad_request(format!("the {place} is malformed: {what}"))
    }
}

fn form_pairs(form: &[u8]) -> Result<Pairs<'_>, Malformed> {
    form.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=');
            let name_end = equals.unwrap_or(pair.len());
            let value = equals.map_or(&[][..], |equals| &pair[equals + 1..]);
            Ok((decode(&pair[..name_end])?, decode(value)?))
        })
        .collect()
}

/// Stricter than browsers are: what they would mend or replace without a word is an error.
fn decode(encoded: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    if !encoded.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return str::from_utf8(encoded)
            .map(Cow::Borrowed)
            .map_err(|_| Malformed::Utf8);
    }
    let escapes_are_whole = encoded.iter().enumerate().all(|(at, byte)| {
        let digits = encoded.get(at + 1..at + 3).unwrap_or_default();
        *byte != b'%' || (digits.len() == 2 && digits.iter().all(u8::is_ascii_hexdigit))
    });
    if !escapes_are_whole {
        return Err(Malformed::Escape);
    }
    let spaced: Vec<u8> = encoded
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    String::from_utf8(percent_decode(&spaced).collect())
        .map(Cow::Owned)
        .map_err(|_| Malformed::Utf8)
}

#[cfg(test)]
mod tests;
