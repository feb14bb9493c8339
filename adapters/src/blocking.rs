//! A plain function as an adapter.
//!
//! This is the shortest way to put something slow on a location: no session, no trait. Programs
//! that use Pontoon as a library call it; the server runs the function on the workers of the pool
//! that is named here.

use std::fmt;

use crate::{Adapter, CallContext, Error, Request, Response};

/// A function that answers requests on the workers of the pool of this name. It may block.
///
/// ```
/// use pontoon_adapters::{Response, blocking};
///
/// let hash = blocking("hash", |request| {
///     let sum = request.body().iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
///     Ok(Response::text(format!("{sum}\n")))
/// });
/// assert_eq!(hash.pool_name(), "hash");
/// ```
pub fn blocking<F>(pool: &str, function: F) -> Blocking<F>
where
    F: Fn(Request) -> Result<Response, Error> + Send + Sync + 'static,
{
    let pool_name = pool.to_owned();
    Blocking {
        pool_name,
        function,
    }
}

/// Like [`blocking`], for a function that also looks at path parameters, the deadline or the
/// cancellation.
///
/// ```
/// use pontoon_adapters::{CallContext, Error, Request, Response, blocking_with};
///
/// let hello = blocking_with("greet", |_request: Request, call: &CallContext| {
///     let name = call.param("name").ok_or_else(|| Error::bad_request("no name"))?;
///     Ok(Response::text(format!("hello, {name}\n")))
/// });
/// assert_eq!(hello.pool_name(), "greet");
/// ```
pub fn blocking_with<F>(pool: &str, function: F) -> BlockingWith<F>
where
    F: Fn(Request, &CallContext) -> Result<Response, Error> + Send + Sync + 'static,
{
    let pool_name = pool.to_owned();
    BlockingWith {
        pool_name,
        function,
    }
}

/// A function on a pool: see [`blocking`].
pub struct Blocking<F> {
    pool_name: String,
    function: F,
}

/// A function on a pool that sees its call: see [`blocking_with`].
pub struct BlockingWith<F> {
    pool_name: String,
    function: F,
}

impl<F> Blocking<F> {
    /// The name of the pool that runs it.
    pub fn pool_name(&self) -> &str {
        &self.pool_name
    }
}

impl<F> BlockingWith<F> {
    /// The name of the pool that runs it.
    pub fn pool_name(&self) -> &str {
        &self.pool_name
    }
}

impl<F> Adapter for Blocking<F>
where
    F: Fn(Request) -> Result<Response, Error> + Send + Sync + 'static,
{
    type Session = ();

    fn open(&self) -> Result<(), Error> {
        Ok(())
    }

    fn call(&self, (): &mut (), request: Request, _call: &CallContext) -> Result<Response, Error> {
        (self.function)(request)
    }
}

impl<F> Adapter for BlockingWith<F>
where
    F: Fn(Request, &CallContext) -> Result<Response, Error> + Send + Sync + 'static,
{
    type Session = ();

    fn open(&self) -> Result<(), Error> {
        Ok(())
    }

    fn call(&self, (): &mut (), request: Request, call: &CallContext) -> Result<Response, Error> {
        (self.function)(request, call)
    }
}

impl<F> fmt::Debug for Blocking<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking")
            .field("pool_name", &self.pool_name)
            .finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for BlockingWith<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingWith")
            .field("pool_name", &self.pool_name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PathParams;
    use crate::test_support::{get, post};

    #[test]
    fn the_function_gets_the_request_and_gives_the_response() {
        let shout = blocking("cpu", |request| {
            let text = String::from_utf8_lossy(request.body()).to_uppercase();
            Ok(Response::text(text))
        });
        let request = post("/", "text/plain", "quiet");
        let response = shout.call(&mut (), request, &CallContext::detached());
        assert_eq!(response.unwrap().body(), "QUIET");
        assert_eq!(shout.pool_name(), "cpu");
    }

    #[test]
    fn the_function_may_look_at_its_call() {
        let greet = blocking_with("cpu", |_, call: &CallContext| {
            Ok(Response::text(call.param("name").unwrap_or("nobody")))
        });
        let params = PathParams::from_iter([("name", "Ada")]);
        let call = CallContext::new(params, pontoon_bridge::CallContext::detached(), 1);
        let response = greet.call(&mut (), get("/"), &call).unwrap();
        assert_eq!(response.body(), "Ada");
    }

    #[test]
    fn an_error_comes_through_as_it_is() {
        let fail = blocking("cpu", |_| Err(Error::conflict("taken")));
        let error = fail
            .call(&mut (), get("/"), &CallContext::detached())
            .unwrap_err();
        assert_eq!(error.detail(), "taken");
    }
}
