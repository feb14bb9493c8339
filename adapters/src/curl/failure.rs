//! What an error of libcurl means to the client.
//!
//! libcurl's own words name hosts and ports; they go to the log as the source.

use crate::Error;

use super::exchange::Stopped;

/// Turns a failed transfer into an error that a client may see.
///
/// After a failed transfer libcurl closes its connection, and the handle can be used again. It is given up all
/// the same where what it remembers may be the cause: the address of the upstream, or something unheard of.
pub(super) fn from_curl(error: ::curl::Error, stopped: Option<Stopped>) -> Error {
    shown(&error, stopped).with_source(error)
}

fn shown(error: &::curl::Error, stopped: Option<Stopped>) -> Error {
    match stopped {
        Some(Stopped::Cancelled) => {
            return Error::unavailable("the transfer was stopped: its client left");
        }
        Some(Stopped::Late) => return took_too_long(),
        Some(Stopped::TooLarge) => {
            return Error::internal("the upstream's answer is larger than this location passes on");
        }
        Some(Stopped::BadHead) => {
            return Error::bad_gateway(
                "the upstream's answer has headers that cannot be passed on",
            );
        }
        None => {}
    }
    if error.is_operation_timedout() {
        return took_too_long();
    }
    if error.is_couldnt_resolve_host() || error.is_couldnt_connect() {
        return Error::bad_gateway("the upstream cannot be reached").breaking_session();
    }
    if error.is_peer_failed_verification() || error.is_ssl_connect_error() || error.is_ssl_cacert()
    {
        return Error::bad_gateway("no secure connection to the upstream can be made");
    }
    if error.is_got_nothing()
        || error.is_partial_file()
        || error.is_send_error()
        || error.is_recv_error()
        || error.is_send_fail_rewind()
        || error.is_http2_error()
        || error.is_http2_stream_error()
    {
        return broke_off();
    }
    if error.is_out_of_memory() {
        return Error::internal("there is no memory for the transfer").breaking_session();
    }
    if error.is_ssl_cacert_badfile() {
        return Error::internal("the certificates of this location cannot be read")
            .breaking_session();
    }
    Error::bad_gateway("nothing useful came from the upstream").breaking_session()
}

/// What a client is told when the time is over.
pub(super) fn took_too_long() -> Error {
    Error::timed_out("the upstream took too long")
}

/// What a client is told when only half an answer came.
pub(super) fn broke_off() -> Error {
    Error::bad_gateway("the upstream broke off")
}

/// What a client is told when libcurl does not even take the request.
pub(super) fn of_option(error: ::curl::Error) -> Error {
    let shown = Error::internal("the request to the upstream cannot be made");
    shown.with_source(error).breaking_session()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn each_code_has_its_kind_and_says_whether_the_handle_is_given_up() {
        // The numbers are libcurl's: its manual, libcurl-errors(3).
        let cases = [
            (6, ErrorKind::BadGateway, true),
            (7, ErrorKind::BadGateway, true),
            (8, ErrorKind::BadGateway, true),
            (18, ErrorKind::BadGateway, false),
            (27, ErrorKind::Internal, true),
            (28, ErrorKind::TimedOut, false),
            (35, ErrorKind::BadGateway, false),
            (52, ErrorKind::BadGateway, false),
            (55, ErrorKind::BadGateway, false),
            (56, ErrorKind::BadGateway, false),
            (60, ErrorKind::BadGateway, false),
            (77, ErrorKind::Internal, true),
        ];
        for (code, kind, breaks_session) in cases {
            let mut error = ::curl::Error::new(code);
            error.set_extra("secret.internal".to_owned());
            let error = from_curl(error, None);
            assert_eq!(error.kind(), kind, "code {code}");
            assert_eq!(error.breaks_session(), breaks_session, "code {code}");
            assert!(!error.detail().contains("secret"));
            let source = std::error::Error::source(&error).unwrap();
            assert!(source.to_string().contains("secret"), "{source}");
        }
    }

    #[test]
    fn why_it_was_stopped_from_here_says_more_than_the_code() {
        let cases = [
            (Stopped::Cancelled, ErrorKind::Unavailable),
            (Stopped::Late, ErrorKind::TimedOut),
            (Stopped::TooLarge, ErrorKind::Internal),
            (Stopped::BadHead, ErrorKind::BadGateway),
        ];
        for (stopped, kind) in cases {
            let error = from_curl(::curl::Error::new(23), Some(stopped));
            assert_eq!((error.kind(), error.breaks_session()), (kind, false));
        }
    }
}
