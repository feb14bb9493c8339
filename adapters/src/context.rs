//! What a running call may know about itself.
//!
//! The server makes one for each call; adapters read it, from whatever thread they run on. It is
//! owned and cheap to clone, so that a library's hook or callback can keep it.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// The path parameters, the deadline and the number of one call.
///
/// ```
/// use pontoon_adapters::{CallContext, PathParams};
///
/// let params = PathParams::from_iter([("id", "7")]);
/// let call = CallContext::new(params, pontoon_bridge::CallContext::detached(), 1);
/// assert_eq!(call.param("id"), Some("7"));
/// assert_eq!(call.param("name"), None);
/// ```
#[derive(Clone, Debug)]
pub struct CallContext {
    params: PathParams,
    call: pontoon_bridge::CallContext,
    request_id: u64,
}

impl CallContext {
    /// The context of the call that answers this request.
    pub fn new(params: PathParams, call: pontoon_bridge::CallContext, request_id: u64) -> Self {
        Self {
            params,
            call,
            request_id,
        }
    }

    /// A context that belongs to no request: no parameters, no deadline, never cancelled. It is
    /// what an adapter's own tests call it with.
    pub fn detached() -> Self {
        Self::new(
            PathParams::default(),
            pontoon_bridge::CallContext::detached(),
            0,
        )
    }

    /// The value of the path parameter of this name, percent-decoded.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    /// All path parameters, in the order of the path.
    pub fn params(&self) -> &PathParams {
        &self.params
    }

    /// Whether nobody waits for the answer any more: the client left or the deadline passed.
    pub fn is_cancelled(&self) -> bool {
        self.call.is_cancelled()
    }

    /// How much time is left until the deadline; `None` when there is no deadline.
    pub fn remaining(&self) -> Option<Duration> {
        self.call.remaining()
    }

    /// When the answer must be there; `None` when there is no deadline.
    pub fn deadline(&self) -> Option<Instant> {
        self.call.deadline()
    }

    /// The number of the request, as it is in the access log.
    pub fn request_id(&self) -> u64 {
        self.request_id
    }
}

/// The named parts of a path: `/users/{id}` asked for as `/users/7` has `id` = `7`.
///
/// Cloning costs one reference count, and nothing when there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathParams(Option<Arc<[Pair]>>);

type Pair = (Box<str>, Box<str>);

impl PathParams {
    /// The value of this name. The values are percent-decoded.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(candidate, _)| *candidate == name)
            .map(|(_, value)| value)
    }

    /// Names and values, in the order of the path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .flat_map(|pairs| pairs.iter())
            .map(|(name, value)| (&**name, &**value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |pairs| pairs.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl<N: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(N, V)> for PathParams {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut pairs = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .peekable();
        if pairs.peek().is_none() {
            return Self::default();
        }
        Self(Some(pairs.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::Stoppable;

    #[test]
    fn parameters_keep_their_order_and_are_found_by_name() {
        let params = PathParams::from_iter([("year", "2024"), ("month", "02")]);
        let all: Vec<_> = params.iter().collect();
        assert_eq!(all, [("year", "2024"), ("month", "02")]);
        assert_eq!(params.get("month"), Some("02"));
        assert_eq!(params.get("day"), None);
        assert_eq!(params.len(), 2);
    }

    #[test]
    fn no_parameters_need_no_allocation() {
        let none: PathParams = Vec::<(String, String)>::new().into_iter().collect();
        assert!(none.0.is_none());
        assert!(none.is_empty());
        assert_eq!(none.get("id"), None);
    }

    #[test]
    fn clones_share_their_values() {
        let params = PathParams::from_iter([("id", "7")]);
        let clone = params.clone();
        let address = |params: &PathParams| params.get("id").unwrap().as_ptr();
        assert_eq!(address(&params), address(&clone));
    }

    #[test]
    fn a_clone_kept_by_a_library_sees_the_cancellation() {
        let stoppable = Stoppable::new(None);
        let kept = stoppable.call(PathParams::default()).clone();
        assert!(!kept.is_cancelled());
        stoppable.stop();
        assert!(kept.is_cancelled());
    }

    #[test]
    fn a_detached_context_never_ends() {
        let call = CallContext::detached();
        assert!(!call.is_cancelled());
        assert_eq!(call.remaining(), None);
        assert_eq!(call.deadline(), None);
        assert_eq!(call.request_id(), 0);
    }
}
