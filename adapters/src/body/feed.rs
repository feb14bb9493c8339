//! A body that something async produces: a task of the loop, beside the request's own.

use std::error::Error as StdError;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use pontoon_bridge::{drop_quietly, panic_message};

use super::sink::BodySink;
use crate::Error;

/// So many items are taken in one go, then others have their turn.
const ITEMS_PER_TURN: usize = 32;

/// Sends what comes, until it ends, or until nobody reads any more.
pub(crate) async fn feed<S>(stream: S, mut sink: BodySink)
where
    S: Stream<Item = Result<Bytes, Error>> + 'static,
{
    let mut stream = Box::pin(stream);
    poll_fn(|context| {
        let mut poll = || poll(stream.as_mut(), &mut sink, context);
        catch_unwind(AssertUnwindSafe(&mut poll)).unwrap_or_else(|panic| {
            let message = panic_message(&*panic);
            drop_quietly(panic);
            tracing::error!(%message, "foreign code panicked on the loop");
            sink.cut(format!("its producer panicked: {message}"));
            Poll::Ready(())
        })
    })
    .await;
    drop_quietly(stream);
}

fn poll<S>(mut stream: Pin<&mut S>, sink: &mut BodySink, context: &mut Context<'_>) -> Poll<()>
where
    S: Stream<Item = Result<Bytes, Error>>,
{
    for _ in 0..ITEMS_PER_TURN {
        if ready!(sink.poll_room(context)).is_err() {
            return Poll::Ready(());
        }
        let sent = match ready!(stream.as_mut().poll_next(context)) {
            Some(Ok(bytes)) => sink.send_now(bytes),
            Some(Err(error)) => Err(error),
            None => sink.end(),
        };
        match sent {
            Ok(()) if sink.has_ended() => return Poll::Ready(()),
            Ok(()) => {}
            Err(error) => {
                sink.cut(describe(&error));
                return Poll::Ready(());
            }
        }
    }
    context.waker().wake_by_ref();
    Poll::Pending
}

/// An error with its sources, for the log.
pub(crate) fn describe(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
