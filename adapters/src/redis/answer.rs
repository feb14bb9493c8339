//! What Redis answered, as a response.

use http::StatusCode;
use http::header::HeaderValue;
use redis::Value;

use super::failure::{from_reply, too_large};
use super::json::Body;
use super::work::Results;
use crate::{Error, Response};

/// What a reply becomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// A JSON document.
    #[default]
    Json,
    /// The bytes of a single string, as this media type.
    Raw(HeaderValue),
}

/// How a location answers.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) output: Output,
    pub(super) nil: Option<StatusCode>,
    pub(super) zero: Option<StatusCode>,
    pub(super) status: StatusCode,
    pub(super) max_bytes: usize,
}

impl Answer {
    /// The response for these results.
    ///
    /// # Errors
    ///
    /// 404 where the location says so or the value is needed, and when the answer is too large or of a
    /// type that has no bytes.
    pub(super) fn response(&self, results: Results) -> Result<Response, Error> {
        match results {
            Results::One(Value::Nil) => self.without_value(self.nil_status(), Value::Nil),
            Results::One(Value::Int(0)) if self.zero.is_some() => {
                self.without_value(self.zero.unwrap_or(self.status), Value::Int(0))
            }
            Results::One(value) => self.body(self.status, value),
            Results::Many(values) => self.json(self.status, &Value::Array(values)),
        }
    }

    fn nil_status(&self) -> StatusCode {
        self.nil.unwrap_or(match self.output {
            Output::Json => self.status,
            Output::Raw(_) => StatusCode::NOT_FOUND,
        })
    }

    fn without_value(&self, status: StatusCode, value: Value) -> Result<Response, Error> {
        if status == StatusCode::NOT_FOUND {
            return Err(Error::not_found("there is no such value"));
        }
        self.body(status, value)
    }

    fn body(&self, status: StatusCode, value: Value) -> Result<Response, Error> {
        match &self.output {
            Output::Json => self.json(status, &value),
            Output::Raw(content_type) => self.raw(status, content_type, value),
        }
    }

    fn json(&self, status: StatusCode, value: &Value) -> Result<Response, Error> {
        let mut body = Body::new(self.max_bytes);
        body.value(value)?;
        Ok(with_status(status, || {
            Response::json_text(body.into_bytes())
        }))
    }

    fn raw(
        &self,
        status: StatusCode,
        content_type: &HeaderValue,
        value: Value,
    ) -> Result<Response, Error> {
        let bytes = bytes_of(value)?;
        if bytes.len() > self.max_bytes {
            return Err(Error::internal(too_large(self.max_bytes)));
        }
        Ok(with_status(status, || {
            Response::bytes(content_type.clone(), bytes)
        }))
    }
}

/// The bytes that Redis would send for a single value to a client of old.
fn bytes_of(value: Value) -> Result<Vec<u8>, Error> {
    Ok(match value {
        Value::Nil => Vec::new(),
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.into_bytes(),
        Value::Okay => b"OK".to_vec(),
        Value::Int(integer) => integer.to_string().into_bytes(),
        Value::Double(double) => double.to_string().into_bytes(),
        Value::Boolean(boolean) => boolean.to_string().into_bytes(),
        Value::BigNumber(digits) => digits,
        Value::Attribute { data, .. } => bytes_of(*data)?,
        Value::ServerError(error) => return Err(from_reply(error)),
        _ => {
            let detail = "Redis answered with a list and not with a single value";
            let source = "write `output = \"json\"`, which can show it";
            return Err(Error::internal(detail).with_source(source));
        }
    })
}

fn with_status(status: StatusCode, make: impl FnOnce() -> Response) -> Response {
    // These have no body, whatever there is to say.
    let bodiless = [
        StatusCode::NO_CONTENT,
        StatusCode::RESET_CONTENT,
        StatusCode::NOT_MODIFIED,
    ];
    if bodiless.contains(&status) {
        return Response::status(status);
    }
    make().with_status(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn answer(output: Output) -> Answer {
        Answer {
            output,
            nil: None,
            zero: None,
            status: StatusCode::OK,
            max_bytes: 1000,
        }
    }

    fn raw() -> Answer {
        answer(Output::Raw(HeaderValue::from_static("image/png")))
    }

    fn one(answer: &Answer, value: Value) -> Result<Response, Error> {
        answer.response(Results::One(value))
    }

    #[test]
    fn raw_answers_are_the_bytes_of_a_single_value() {
        let bytes = vec![0, 255, b'\r', b'\n'];
        let response = one(&raw(), Value::BulkString(bytes.clone())).unwrap();
        assert_eq!(response.body(), &bytes);
        assert_eq!(response.headers()["content-type"], "image/png");
        for (value, text) in [
            (Value::Okay, "OK"),
            (Value::SimpleString("PONG".into()), "PONG"),
            (Value::Int(-7), "-7"),
            (Value::Double(2.5), "2.5"),
            (
                Value::BigNumber(b"12345678901234567890123".to_vec()),
                "12345678901234567890123",
            ),
        ] {
            assert_eq!(one(&raw(), value).unwrap().body(), text);
        }
        let error = one(&raw(), Value::Array(vec![])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        let error = one(&raw(), Value::BulkString(vec![0; 1001])).unwrap_err();
        assert!(error.detail().contains("1000 bytes"), "{error}");
    }

    #[test]
    fn without_a_value_the_answer_is_null_or_404_unless_chosen() {
        let json = answer(Output::Json);
        assert_eq!(one(&json, Value::Nil).unwrap().body(), "null");
        assert_eq!(
            one(&raw(), Value::Nil).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        let chosen = Answer {
            nil: Some(StatusCode::NO_CONTENT),
            ..raw()
        };
        let response = one(&chosen, Value::Nil).unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert!(response.body().is_empty());
        let chosen = Answer {
            nil: Some(StatusCode::NOT_FOUND),
            ..json
        };
        assert_eq!(
            one(&chosen, Value::Nil).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }

    #[test]
    fn zero_can_be_a_status_of_its_own() {
        let plain = answer(Output::Json);
        assert_eq!(one(&plain, Value::Int(0)).unwrap().body(), "0");
        let chosen = Answer {
            zero: Some(StatusCode::NOT_FOUND),
            status: StatusCode::NO_CONTENT,
            ..plain
        };
        assert_eq!(
            one(&chosen, Value::Int(0)).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        let response = one(&chosen, Value::Int(1)).unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    }
}
