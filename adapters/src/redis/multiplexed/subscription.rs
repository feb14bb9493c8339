//! Messages of channels, as server-sent events (`text/event-stream` of the HTML standard).
//!
//! Each subscriber has a connection of its own: while its client is slow its messages wait in the server,
//! which closes the connection of one that falls too far behind. It ends when the client leaves or the
//! server does; browsers then come again by themselves.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_lite::stream;
use http::header::{CACHE_CONTROL, HeaderValue};
use pontoon_bridge::event_loop::{Timer, timeout};
use redis::{PushKind, Value};

use super::super::Redis;
use super::super::failure::{Broken, from_reply};
use super::driver::{OVERHEAD_BYTES, connect_within};
use super::link::Link;
use crate::{Error, Response};

/// A comment is sent after so long without a message, so that a client that has gone is noticed, and no
/// proxy takes the silence for an end.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What is sent at the beginning, and to keep the connection alive.
const COMMENT: &[u8] = b":\n\n";

/// Subscribes, and answers with the messages that come from then on.
pub(super) async fn subscribe(config: &Arc<Redis>, command: &[u8]) -> Result<Response, Error> {
    let limit = config.connect_timeout;
    let lookup = RefCell::default();
    let link = connect_within(config, &lookup, limit).await;
    let mut link = link.map_err(|broken| broken.to_error())?;
    let first = timeout(limit, link.ask(command)).await;
    let first = first.unwrap_or_else(|_| Err(Broken::late()));
    let names_channels = config.work.channels() > 1;
    let mut events = VecDeque::from([Bytes::from_static(COMMENT)]);
    for value in first.map_err(|broken| broken.to_error())? {
        match value {
            Value::ServerError(error) => return Err(from_reply(error)),
            value => events.extend(event_of(value, names_channels)),
        }
    }
    let subscription = Subscription {
        link,
        events,
        names_channels,
        max_bytes: config.answer.max_bytes,
        keep_alive: Timer::after(KEEP_ALIVE),
    };
    let events = stream::unfold(Some(subscription), |state| async move {
        let mut subscription = state?;
        match poll_fn(|context| subscription.poll_event(context)).await {
            Ok(event) => Some((Ok(event), Some(subscription))),
            Err(broken) => Some((Err(broken.to_error()), None)),
        }
    });
    let content_type = HeaderValue::from_static("text/event-stream");
    let mut response = Response::from_stream(content_type, events);
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    Ok(response)
}

/// A connection whose messages are events.
struct Subscription {
    link: Link,
    events: VecDeque<Bytes>,
    /// Events say which channel they are from.
    names_channels: bool,
    max_bytes: usize,
    keep_alive: Timer,
}

impl Subscription {
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Broken>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                self.keep_alive.rearm(KEEP_ALIVE);
                return Poll::Ready(Ok(event));
            }
            if Pin::new(&mut self.keep_alive).poll(context).is_ready() {
                self.events.push_back(Bytes::from_static(COMMENT));
                continue;
            }
            let (events, names_channels) = (&mut self.events, self.names_channels);
            let read = self.link.poll_read(context, &mut |value| {
                events.extend(event_of(value, names_channels));
                Ok(())
            });
            ready!(read)?;
            if self.link.bytes_since_reply > self.max_bytes.saturating_add(OVERHEAD_BYTES) {
                return Poll::Ready(Err(Broken::too_large(self.max_bytes)));
            }
        }
    }
}

/// The event for a message; `None` for anything else that is pushed.
fn event_of(value: Value, names_channel: bool) -> Option<Bytes> {
    let is_message = |data: &[Value]| data.first() == Some(&Value::BulkString(b"message".into()));
    let (channel, message) = match value {
        Value::Push {
            kind: PushKind::Message,
            data,
        } => last_two(data)?,
        // From a server that speaks RESP2 only.
        Value::Array(data) if is_message(&data) => last_two(data)?,
        _ => return None,
    };
    let mut event = String::new();
    if names_channel {
        // An event's name is one line.
        let channel = text_of(channel)?.replace(['\r', '\n', '\0'], " ");
        event += &format!("event: {channel}\n");
    }
    // A carriage return ends a line as well, and together with a line feed it is one end.
    let message = text_of(message)?.replace("\r\n", "\n").replace('\r', "\n");
    for line in message.split('\n') {
        event += &format!("data: {line}\n");
    }
    event.push('\n');
    Some(event.into())
}

fn last_two(mut data: Vec<Value>) -> Option<(Value, Value)> {
    let message = data.pop()?;
    Some((data.pop()?, message))
}

/// Bytes that are not UTF-8 are base64.
fn text_of(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => STANDARD.encode(error.as_bytes()),
        }),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: PushKind, message: &[u8], names_channel: bool) -> Option<String> {
        let data = [&b"a\nb"[..], message].map(|bytes| Value::BulkString(bytes.into()));
        let data = data.to_vec();
        let event = event_of(Value::Push { kind, data }, names_channel)?;
        Some(String::from_utf8(event.to_vec()).unwrap())
    }

    #[test]
    fn a_message_cannot_leave_its_event() {
        let of = |message: &[u8]| event(PushKind::Message, message, false).unwrap();
        assert_eq!(of(b"hello"), "data: hello\n\n");
        assert_eq!(of(b""), "data: \n\n");
        let expected = "data: a\ndata: \ndata: event: x\ndata: b\n\n";
        assert_eq!(of(b"a\r\n\nevent: x\rb"), expected);
        assert_eq!(of(&[0xff, 0xfe]), "data: //4=\n\n");
        let named = event(PushKind::Message, b"hello", true).unwrap();
        assert_eq!(named, "event: a b\ndata: hello\n\n");
    }

    #[test]
    fn only_messages_are_events() {
        assert_eq!(event(PushKind::Subscribe, b"1", false), None);
        assert_eq!(event_of(Value::Okay, false), None);
        let old = ["message", "channel", "hello"].map(|word| Value::BulkString(word.into()));
        let event = event_of(Value::Array(old.to_vec()), false).unwrap();
        assert_eq!(event, "data: hello\n\n");
    }
}
