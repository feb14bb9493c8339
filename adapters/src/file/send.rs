//! From an open file to a response.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap,
    HeaderName, HeaderValue, LOCATION, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, StatusCode};

use crate::{CallContext, Error, Request, Response};

use super::Files;
use super::conditions::{Validators, Verdict};
use super::open::{PlainFile, of_disk};
use super::range::{Wanted, wanted};

/// How much is read between two looks at whether anybody still waits.
const CHUNK_BYTES: u64 = 256 << 10;

/// Answers with the file, which is called `name`, or with the part of it that the request wants.
pub(super) fn file(
    config: &Files,
    mut plain: PlainFile,
    name: &str,
    request: &Request,
    call: &CallContext,
) -> Result<Response, Error> {
    let length = plain.metadata.len();
    let modified = plain.metadata.modified().map_err(of_disk)?;
    let validators = Validators::new(length, modified, SystemTime::now());
    let mut response = match validators.judge(request.headers()) {
        Verdict::Failed => return Ok(Response::status(StatusCode::PRECONDITION_FAILED)),
        Verdict::NotModified => Response::status(StatusCode::NOT_MODIFIED),
        Verdict::Send => match part_of(request, &validators, length) {
            Some(part) => {
                let mut response = content(config, &mut plain, part, request, call)?;
                describe(response.headers_mut(), config.media_types.of(name));
                response
            }
            None => return Ok(missing(length)),
        },
    };
    validators.write(response.headers_mut());
    if let Some(cache_control) = &config.cache_control {
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, cache_control.clone());
    }
    Ok(response)
}

/// Sends the client to this place.
pub(super) fn moved(target: &str) -> Result<Response, Error> {
    let target = HeaderValue::from_str(target).map_err(|error| {
        Error::bad_request("the path has a character that no header can hold").with_source(error)
    })?;
    let mut response = Response::status(StatusCode::MOVED_PERMANENTLY);
    response.headers_mut().insert(LOCATION, target);
    Ok(response)
}

/// What is to be sent.
struct Part {
    bytes: Range<u64>,
    /// Of the whole file.
    length: u64,
    is_whole: bool,
}

/// The part that the request wants; `None` when the file does not have it.
fn part_of(request: &Request, validators: &Validators, length: u64) -> Option<Part> {
    let header = request.headers().get(RANGE);
    let wanted = match header.and_then(|value| value.to_str().ok()) {
        // Ranges are for GET.
        Some(header)
            if request.method() == Method::GET && validators.is_in_range(request.headers()) =>
        {
            wanted(header, length)
        }
        _ => Wanted::Whole,
    };
    let (bytes, is_whole) = match wanted {
        Wanted::Whole => (0..length, true),
        Wanted::Part(bytes) => (bytes, false),
        Wanted::Missing => return None,
    };
    Some(Part {
        bytes,
        length,
        is_whole,
    })
}

fn content(
    config: &Files,
    plain: &mut PlainFile,
    part: Part,
    request: &Request,
    call: &CallContext,
) -> Result<Response, Error> {
    if request.method() == Method::HEAD {
        let mut response = Response::default();
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(part.length));
        return Ok(response);
    }
    let Range { start, end } = part.bytes;
    let max = config.max_response_bytes;
    if end - start > max {
        let detail = format!("this location sends {max} bytes at most; ask for a range");
        return Err(Error::internal(detail));
    }
    let body = read(plain, start..end, call)?;
    let mut response = Response::from(http::Response::new(body));
    if !part.is_whole {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {start}-{}/{}", end - 1, part.length);
        set(response.headers_mut(), CONTENT_RANGE, &range);
    }
    Ok(response)
}

fn describe(headers: &mut HeaderMap, media_type: HeaderValue) {
    headers.insert(CONTENT_TYPE, media_type);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // A file is what its name says, whatever a browser reads into it.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

fn missing(length: u64) -> Response {
    let mut response = Response::status(StatusCode::RANGE_NOT_SATISFIABLE);
    let range = format!("bytes */{length}");
    set(response.headers_mut(), CONTENT_RANGE, &range);
    response
}

fn read(plain: &mut PlainFile, part: Range<u64>, call: &CallContext) -> Result<Bytes, Error> {
    let wanted = part.end - part.start;
    let capacity = usize::try_from(wanted)
        .map_err(|error| Error::internal("the file does not fit into memory").with_source(error))?;
    let mut body = Vec::new();
    body.try_reserve_exact(capacity).map_err(|error| {
        Error::unavailable("there is no memory for the file").with_source(error)
    })?;
    let file = &mut plain.file;
    if part.start > 0 {
        file.seek(SeekFrom::Start(part.start)).map_err(of_disk)?;
    }
    let mut left = wanted;
    while left > 0 {
        if call.is_cancelled() {
            return Err(Error::unavailable(
                "the file was not read to its end: the deadline passed or the client left",
            ));
        }
        let chunk = file.by_ref().take(left.min(CHUNK_BYTES));
        let read = { chunk }.read_to_end(&mut body).map_err(of_disk)?;
        if read == 0 {
            // Its headers would tell another length, and its tag another version.
            return Err(Error::unavailable(
                "the file became shorter meanwhile; try again",
            ));
        }
        left -= read as u64;
    }
    Ok(body.into())
}

fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}
