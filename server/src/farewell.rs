//! The end of what a stopped server has served.
//!
//! A library's destructor may take its time, or hang. So it has a thread, and a stop waits for it no
//! longer than for the rest.

use crate::loops::NOTICE;
use crate::reload::Serving;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Instant;

/// Drops the adapters and pools, and waits for that until `until` and a moment more. What has not
/// gone by then is named in the log and left to its thread.
pub(crate) fn take_leave(serving: Serving, until: Instant) {
    let (hand, handed) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let run = move || {
        if let Ok(serving) = handed.recv() {
            drop_each(serving, &tell);
        }
    };
    let thread = thread::Builder::new().name("pontoon-leave".to_owned());
    let thread = match thread.spawn(run) {
        Ok(thread) => thread,
        Err(error) => {
            tracing::warn!(%error, "no thread could be had to drop the adapters; look at `ulimit -u`");
            // At worst it hangs, and a second signal ends the process.
            return drop(serving);
        }
    };
    // It waits for nothing else.
    let _ = hand.send(serving);
    let noticed = until + NOTICE;
    let mut last = None;
    loop {
        match told.recv_timeout(noticed.saturating_duration_since(Instant::now())) {
            Ok(next) => last = Some(next),
            Err(RecvTimeoutError::Disconnected) => {
                // Its last act was to say so.
                let _ = thread.join();
                return;
            }
            Err(RecvTimeoutError::Timeout) => {
                let what = last.unwrap_or_default();
                tracing::warn!("{what} was left behind: its destructor has not returned");
                return;
            }
        }
    }
}

/// Drops one after the other, and says beforehand which.
fn drop_each(serving: Serving, tell: &mpsc::Sender<String>) {
    let Serving { site, pools, .. } = serving;
    let locations = site.locations.clone();
    drop(site);
    // Nobody listens only if it has taken too long.
    let say = |what: String| drop(tell.send(what));
    for location in locations {
        say(format!("the adapter of `{}`", location.path));
        drop(location);
    }
    for served in pools {
        say(format!("the pool `{}`", served.name()));
        drop(served);
    }
}
