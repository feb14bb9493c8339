//! What the contract must know of an adapter and its backend.

use pontoon_tests::client::Response;

/// A backend of the test's own, and the adapter that is held to the contract with it. It is dropped after the
/// server.
///
/// Requests are POSTs with a JSON object as body.
pub(crate) trait Subject: Sized + Send + Sync {
    /// Whether the backend is a process of its own. What is in a library cannot be down at the start or die
    /// in a call, so these two clauses are left out.
    const IS_SERVER: bool = true;

    /// Whether a pool runs the adapter.
    const HAS_POOL: bool = true;

    /// The most sessions that the calls of one location may have: with a pool, one for each of its workers.
    const SESSIONS_MAX: usize = crate::rig::THREADS;

    /// Starts the backend; `None`, and a line that says so, where it is not installed.
    fn start() -> Option<Self>;

    /// The keys of a location, `adapter` and the adapter's own, whose calls have the backend answer with the
    /// parameter `value`, a text.
    fn echo(&self) -> String;

    /// As [`echo`](Self::echo), and the backend keeps the value, if it can.
    fn store(&self) -> String {
        self.echo()
    }

    /// The keys of a location whose calls keep the backend busy for as long as the parameter `seconds` says, a
    /// number. It may be off by a large factor. `None` for an adapter that takes short calls only.
    fn slow(&self) -> Option<String>;

    /// Further keys of the pool.
    fn pool_keys(&self) -> &'static str {
        ""
    }

    /// The value in an answer to [`echo`](Self::echo) or [`store`](Self::store): by default that of the column
    /// `value` in the first row of a JSON array.
    fn value_of(&self, answer: &Response) -> String {
        let rows = answer.json();
        let value = rows[0]["value"].as_str();
        value
            .unwrap_or_else(|| panic!("no value in {rows}"))
            .to_owned()
    }

    /// Whether the backend itself says that it works on a call of [`slow`](Self::slow).
    fn is_at_work(&self) -> bool;

    /// How many sessions the backend itself says that there are.
    fn sessions(&self) -> usize;

    /// The backend ends all sessions. Only for an adapter without a pool: a pool can be told to replace its
    /// sessions.
    fn cut_sessions(&self) {
        assert!(Self::HAS_POOL, "an adapter without a pool says how");
    }

    /// From now on there is no backend: what calls it fails.
    fn kill(&self);

    /// The backend is back after [`kill`](Self::kill), at the same place.
    fn restart(&self);

    /// From now on the backend answers nobody, and refuses nobody either.
    fn pause(&self);

    /// The backend goes on after [`pause`](Self::pause).
    fn resume(&self);
}
