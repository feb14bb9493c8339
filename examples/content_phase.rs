//! The content phase that waits for a third-party library, and then for more.
//!
//! In 2015 somebody asked on nginx-devel how a module can call a library whose async API calls back
//! when the content phase may go on, without breaking the phase into pieces and without the upstream
//! machinery. This is that module. Each step below names the part of the question that it answers.
//!
//! `cargo run --example content_phase`, then `curl localhost:8080/price/7`

use futures_lite::future::zip;
use pontoon::bridge::{BuildError, Call, Completer, call};
use pontoon::{CallContext, Error, Pool, Response, Server, handler};
use std::ffi::{c_int, c_void};

/// "I do not have control over what the library does internally": it has threads of its own, an API
/// that calls back and one that blocks. This is what its C header would declare.
mod library {
    use std::ffi::{c_int, c_void};
    use std::sync::atomic::AtomicPtr;
    use std::thread;
    use std::time::Duration;

    pub(crate) type Callback = extern "C" fn(status: c_int, cents: u64, data: *mut c_void);

    /// Returns 0 and calls back once, from another thread; or refuses, and never does.
    pub(crate) extern "C" fn price_async(item: u64, done: Callback, data: *mut c_void) -> c_int {
        let mut data = AtomicPtr::new(data);
        let work = move || {
            let status = if item == 0 { -1 } else { 0 };
            done(status, item * 100, *data.get_mut());
        };
        let started = thread::Builder::new().spawn(work);
        if started.is_ok() { 0 } else { -1 }
    }

    /// Blocks for as long as it likes.
    pub(crate) extern "C" fn tax_of(cents: u64) -> u64 {
        thread::sleep(Duration::from_millis(2));
        cents / 5
    }
}

type Price = Result<u64, Error>;

/// "Any async API call on the library would call a callback": the completer is the callback's data.
/// No pipe of our own, no event, no reference count: awaiting the call is the continuation.
fn price(item: u64) -> Call<Price> {
    let (call, completer) = call::<Price>();
    let data: *mut c_void = Box::into_raw(Box::new(completer)).cast();
    if library::price_async(item, on_price, data) != 0 {
        // SAFETY: the library refused, so it has forgotten `data`, which came from the line above.
        // Dropped without an answer, the completer ends the call as abandoned.
        drop(unsafe { Box::from_raw(data.cast::<Completer<Price>>()) });
    }
    call
}

/// Runs on the library's thread, touches neither the request nor the loop, and wakes the loop only if
/// it sleeps. If the client has left meanwhile, the answer is counted as late and dropped.
extern "C" fn on_price(status: c_int, cents: u64, data: *mut c_void) {
    // SAFETY: `data` is the box that `price` made, and the library calls back once, so it is ours.
    // A library that may call back twice gets a number instead, to be looked up in a table.
    let completer = unsafe { Box::from_raw(data.cast::<Completer<Price>>()) };
    completer.complete(match status {
        0 => Ok(cents),
        _ => Err(Error::not_found("the library knows no such item")),
    });
}

/// "Breaking content generation phase into multiple phases": one function, top to bottom. At each
/// `await` the loop serves everybody else; the location's deadline covers all of it.
async fn content_phase(taxes: Pool, context: CallContext) -> Result<Response, Error> {
    let item = context.param("item").and_then(|item| item.parse().ok());
    let item: u64 = item.ok_or_else(|| Error::bad_request("an item is a number"))?;

    // "… would call a callback which indicates that content generation phase continue".
    let cents = price(item).await??;

    // "Make sync/async calls to APIs": a call that blocks goes to a worker; the loop does not wait.
    let tax = taxes.call(move |()| library::tax_of(cents)).await?;

    // "Adding custom events in content phase": two at once, and on when both have come.
    let next = price(item + 1);
    let tax_on_tax = taxes.call(move |()| library::tax_of(tax)).submit();
    let (next, tax_on_tax) = zip(next, tax_on_tax).await;

    // "… with forming response and sending it back to client".
    let (next, tax_on_tax) = (next??, tax_on_tax?);
    Ok(Response::text(format!(
        "{cents} and {tax} tax ({tax_on_tax} on the tax); the next item costs {next}\n"
    )))
}

/// "We want to avoid upstream server model": a handler and a pool are all there is.
pub(crate) fn server() -> Result<Server, BuildError> {
    let taxes = Pool::named("taxes").threads(4).max_queue(64).build()?;
    let shared = taxes.clone();
    let module = handler(move |_request, context| content_phase(shared.clone(), context));
    Ok(Server::new().pool(&taxes).location("/price/{item}", module))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(server()?.listen("127.0.0.1:8080").run()?)
}
