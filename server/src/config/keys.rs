//! Every key of the config file outside of the adapters: its meaning, default and limits.
//!
//! The readers take defaults from here, and so do the documentation and `pontoon adapters`: a
//! default is written once. Each limit says what it is for where that is not plain.

use std::ops::RangeInclusive;
use std::time::Duration;

use pontoon_adapters::settings::KeySpec;
use pontoon_bridge::{PoolBuilder, Spin};

/// Connections that are open at once, unless the file says otherwise.
pub const MAX_CONNECTIONS_DEFAULT: &str = "10_000";
/// How long a client may take to send a request's head.
pub const HEADER_TIMEOUT_DEFAULT: &str = "10s";
/// How long a connection may idle between requests.
pub const KEEP_ALIVE_DEFAULT: &str = "75s";
/// How long a client may take to send a request's body.
pub const REQUEST_TIMEOUT_DEFAULT: &str = "30s";
/// How long a client may go without reading any of its response.
pub const SEND_TIMEOUT_DEFAULT: &str = "30s";
/// The bytes that a client must send or read per second.
pub const MIN_RATE_DEFAULT: &str = "240";
/// How long a body may come more slowly than that.
pub const BODY_GRACE_DEFAULT: &str = "5s";
/// The longest request line.
pub const MAX_REQUEST_LINE_DEFAULT: &str = "8KiB";
/// The most that a request's head may have.
pub const MAX_HEADER_BYTES_DEFAULT: &str = "32KiB";
/// The most that a request's body may have.
pub const MAX_BODY_DEFAULT: &str = "1MiB";
/// How long running calls may take to end once the server stops.
pub const SHUTDOWN_TIMEOUT_DEFAULT: &str = "30s";
/// The workers of a pool.
pub const THREADS_DEFAULT: &str = "8";
/// The bounds of a pool that finds its own size.
pub const THREADS_MIN_DEFAULT: &str = "1";
/// The upper one.
pub const THREADS_MAX_DEFAULT: &str = "64";
/// The calls that wait for a worker of a pool.
pub const MAX_QUEUE_DEFAULT: &str = "256";
/// The longest wait for a worker that may last.
pub const CODEL_TARGET_DEFAULT: &str = "5ms";
/// For how long all calls must wait longer than that.
pub const CODEL_INTERVAL_DEFAULT: &str = "100ms";
/// How long a session is kept unused.
pub const SESSION_IDLE_DEFAULT: &str = "60s";
/// How long a session may idle before it is checked.
pub const SESSION_CHECK_AFTER_DEFAULT: &str = "1s";
/// The sessions of each location that are kept open.
pub const SESSIONS_MIN_DEFAULT: &str = "0";
/// The stack of a worker.
pub const STACK_SIZE_DEFAULT: &str = "2MiB";
/// How long a call may run before it counts as stuck.
pub const STUCK_AFTER_DEFAULT: &str = "10s";
/// How long a call may take, queueing included.
pub const DEADLINE_DEFAULT: &str = "30s";
/// How long a response may take that is produced while it is sent.
pub const STREAM_TIMEOUT_DEFAULT: &str = "1h";
/// The calls of a location without a pool that run at once.
pub const MAX_RUNNING_DEFAULT: &str = "1024";

/// One event loop is one thread; more than this many cores have not been seen.
pub(super) const LOOPS: RangeInclusive<i64> = 1..=1024;
/// File descriptors run out long before the upper end.
pub(super) const MAX_CONNECTIONS: RangeInclusive<i64> = 1..=10_000_000;
/// Zero is no rate at all.
pub(super) const MIN_RATE: RangeInclusive<u64> = 0..=1 << 30;
pub(super) const MAX_REQUEST_LINE: RangeInclusive<u64> = 256..=1 << 20;
/// The HTTP library needs a buffer of 8 KiB.
pub(super) const MAX_HEADER_BYTES: RangeInclusive<u64> = 8 << 10..=16 << 20;
/// Bodies are held in memory.
pub(super) const MAX_BODY: RangeInclusive<u64> = 0..=1 << 30;
pub(super) const THREADS: RangeInclusive<i64> = 1..=POOL_THREADS_MAX;
pub(super) const MAX_STUCK: RangeInclusive<i64> = 0..=POOL_THREADS_MAX;
/// Workers and spare ones of a pool together.
pub(super) const POOL_THREADS_MAX: i64 = PoolBuilder::MAX_THREADS as i64;
/// As many as threads: a worker has one session of each location at most.
pub(super) const SESSIONS_MIN: RangeInclusive<i64> = 0..=4096;
pub(super) const SESSION_MAX_USES: RangeInclusive<i64> = 1..=i64::MAX;
/// Zero checks before every call, which is a choice.
pub(super) const SESSION_CHECK_AFTER: RangeInclusive<Duration> =
    Duration::ZERO..=Duration::from_secs(24 * 60 * 60);
/// Less than a second is a mistake; more than a year never comes.
pub(super) const SESSION_MAX_AGE: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(365 * 24 * 60 * 60);
pub(super) const MAX_QUEUE: RangeInclusive<i64> = 0..=1_000_000;
/// Below this, foreign code overruns its stack; above, 4096 workers fill the address space.
pub(super) const STACK_SIZE: RangeInclusive<u64> = 64 << 10..=1 << 30;
pub(super) const MAX_RUNNING: RangeInclusive<i64> = 1..=1_000_000;
/// Up to what the largest pool has.
pub(super) const SHARE: RangeInclusive<i64> = 1..=1_004_096;
pub(super) const MAX_PER_CLIENT: RangeInclusive<i64> = 1..=1_000_000;
/// A zero would end everything at once; a day is longer than any client waits.
pub(super) const TIMEOUT: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(24 * 60 * 60);
/// Zero stops without waiting, which is a choice.
pub(super) const SHUTDOWN_TIMEOUT: RangeInclusive<Duration> =
    Duration::ZERO..=Duration::from_secs(24 * 60 * 60);
/// Less is over before anything can come; more is a mistake.
pub(super) const SPIN: RangeInclusive<Duration> = Duration::from_micros(1)..=Spin::MAX;
/// A name turns up in thread names, metrics and logs.
pub(super) const POOL_NAME_BYTES_MAX: usize = 64;

const SPIN_VALUE: &str = "\"auto\", \"off\" or duration";

/// The keys at the top of the file.
pub const SERVER_KEYS: &[KeySpec] = &[
    KeySpec::required(
        "listen",
        "address",
        "where to accept connections: IP:PORT or unix:/PATH",
    ),
    KeySpec::optional(
        "admin",
        "address",
        "where /livez, /readyz and /status are answered, for the operator only; off without it",
    ),
    KeySpec::with_default(
        "loops",
        "\"auto\" or integer",
        "\"auto\"",
        "the number of event loops; auto fits them to the cores",
    ),
    KeySpec::with_default(
        "spin",
        SPIN_VALUE,
        "\"auto\"",
        "how long loops and workers may look for work before they sleep; auto does while it pays",
    ),
    KeySpec::with_default(
        "max_connections",
        "integer",
        MAX_CONNECTIONS_DEFAULT,
        "connections open at once; further ones wait in the kernel",
    ),
    KeySpec::with_default(
        "header_timeout",
        "duration",
        HEADER_TIMEOUT_DEFAULT,
        "how long a client may take to send the request line and headers",
    ),
    KeySpec::with_default(
        "keep_alive",
        "duration",
        KEEP_ALIVE_DEFAULT,
        "how long a connection may idle between two requests",
    ),
    KeySpec::with_default(
        "request_timeout",
        "duration",
        REQUEST_TIMEOUT_DEFAULT,
        "how long a client may take to send a request's body",
    ),
    KeySpec::with_default(
        "min_body_rate",
        "size",
        MIN_RATE_DEFAULT,
        "bytes per second at which a body must come on average; a slower one is answered 408; 0: any rate",
    ),
    KeySpec::with_default(
        "body_grace",
        "duration",
        BODY_GRACE_DEFAULT,
        "how long a body may come more slowly than min_body_rate",
    ),
    KeySpec::with_default(
        "send_timeout",
        "duration",
        SEND_TIMEOUT_DEFAULT,
        "how long a client may go without reading any of its response",
    ),
    KeySpec::with_default(
        "min_send_rate",
        "size",
        MIN_RATE_DEFAULT,
        "bytes per second at which a response must be read on average, once send_timeout is over; 0: any rate",
    ),
    KeySpec::with_default(
        "max_request_line",
        "size",
        MAX_REQUEST_LINE_DEFAULT,
        "the longest request line; a longer one is answered 414",
    ),
    KeySpec::with_default(
        "max_header_bytes",
        "size",
        MAX_HEADER_BYTES_DEFAULT,
        "the largest request head; a larger one is answered 431",
    ),
    KeySpec::with_default(
        "max_body",
        "size",
        MAX_BODY_DEFAULT,
        "the largest request body; a larger one is answered 413",
    ),
    KeySpec::with_default(
        "shutdown_timeout",
        "duration",
        SHUTDOWN_TIMEOUT_DEFAULT,
        "how long running calls may take to end once the server stops",
    ),
    KeySpec::with_default(
        "restart_when_stuck",
        "\"off\" or duration",
        "\"off\"",
        "how long a pool may have no worker left because all hang; then the process stops, with exit status 75",
    ),
    KeySpec::optional(
        "pool",
        "tables",
        "[pool.NAME]: a named set of workers with a queue",
    ),
    KeySpec::required(
        "location",
        "tables",
        "[[location]]: a path with an adapter on it",
    ),
];

/// The keys of a `[pool.NAME]`.
pub const POOL_KEYS: &[KeySpec] = &[
    KeySpec::with_default(
        "threads",
        "\"auto\" or integer",
        THREADS_DEFAULT,
        "the number of workers: how many calls run at once; auto finds out how many should",
    ),
    KeySpec::with_default(
        "threads_min",
        "integer",
        THREADS_MIN_DEFAULT,
        "with threads = \"auto\": the least calls that may run at once",
    ),
    KeySpec::with_default(
        "threads_max",
        "integer",
        THREADS_MAX_DEFAULT,
        "with threads = \"auto\": the most calls that may run at once, and the number of workers",
    ),
    KeySpec::with_default(
        "max_queue",
        "integer",
        MAX_QUEUE_DEFAULT,
        "calls that may wait for a worker; further ones are answered 503",
    ),
    KeySpec::with_default(
        "codel_target",
        "\"off\" or duration",
        CODEL_TARGET_DEFAULT,
        "the longest wait that may last; when all wait longer, those that wait twice that get a 503",
    ),
    KeySpec::with_default(
        "codel_interval",
        "duration",
        CODEL_INTERVAL_DEFAULT,
        "for how long all must wait longer before calls are refused for it",
    ),
    KeySpec::with_default(
        "session_idle",
        "duration",
        SESSION_IDLE_DEFAULT,
        "how long a worker keeps a session that it does not use",
    ),
    KeySpec::with_default(
        "session_check_after",
        "duration",
        SESSION_CHECK_AFTER_DEFAULT,
        "a session that idled for this long is checked before it is used",
    ),
    KeySpec::optional(
        "session_max_age",
        "duration",
        "an older session is replaced, at random up to a tenth earlier; without the key none is",
    ),
    KeySpec::optional(
        "session_max_uses",
        "integer",
        "a session in which so many calls have run is replaced; without the key none is",
    ),
    KeySpec::with_default(
        "sessions_min",
        "integer",
        SESSIONS_MIN_DEFAULT,
        "sessions that are kept open for each location although nobody uses them; from the start on",
    ),
    KeySpec::with_default(
        "breaker",
        "\"on\" or \"off\"",
        "\"on\"",
        "whether calls are answered 503 at once while what is behind the pool is down",
    ),
    KeySpec::with_default(
        "stuck_after",
        "duration",
        STUCK_AFTER_DEFAULT,
        "how long a call may run before the log names it and a spare worker comes in for it",
    ),
    KeySpec::optional(
        "max_stuck",
        "integer",
        "spare workers that come in for stuck calls; without the key as many as threads, none for one",
    ),
    KeySpec::with_default(
        "interrupt_stuck",
        "boolean",
        "false",
        "whether a stuck call is told to stop although its client still waits",
    ),
    KeySpec::with_default(
        "stack_size",
        "size",
        STACK_SIZE_DEFAULT,
        "the stack of each worker",
    ),
    KeySpec::optional(
        "spin",
        SPIN_VALUE,
        "how long its workers may look for work before they sleep, instead of the server's",
    ),
];

/// The keys of a `[[location]]`, beside those of its adapter.
pub const LOCATION_KEYS: &[KeySpec] = &[
    KeySpec::required(
        "path",
        "text",
        "the path, such as /users/{id} or /files/{*rest}",
    ),
    KeySpec::optional(
        "methods",
        "texts",
        "the HTTP methods to answer, all without the key; others get 405, or another location",
    ),
    KeySpec::required(
        "adapter",
        "text",
        "which adapter answers; `pontoon adapters` lists them",
    ),
    KeySpec::optional(
        "pool",
        "text",
        "the [pool.NAME] that runs the calls; needed by blocking adapters, and only by them",
    ),
    KeySpec::with_default(
        "deadline",
        "duration",
        DEADLINE_DEFAULT,
        "how long a call may take, queueing included; later it is answered 504",
    ),
    KeySpec::with_default(
        "client_deadline",
        "boolean",
        "true",
        "whether X-Request-Timeout and grpc-timeout of a client may shorten the deadline",
    ),
    KeySpec::with_default(
        "stream_timeout",
        "duration",
        STREAM_TIMEOUT_DEFAULT,
        "how long a response may take, after its head, that is produced while it is sent; then it is cut",
    ),
    KeySpec::optional(
        "max_body",
        "size",
        "the largest request body, instead of the server's",
    ),
    KeySpec::with_default(
        "server_timing",
        "boolean",
        "false",
        "whether responses carry a Server-Timing header",
    ),
    KeySpec::with_default(
        "max_running",
        "integer",
        MAX_RUNNING_DEFAULT,
        "calls that run at once, for adapters without a pool; further ones are answered 503",
    ),
    KeySpec::optional(
        "share",
        "integer or percentage",
        "the places of its pool, running and waiting, that its calls may take; further ones are answered 503",
    ),
    KeySpec::optional(
        "max_per_client",
        "integer",
        "calls that one client may have running or waiting here; further ones are answered 429",
    ),
    KeySpec::with_default(
        "client_key",
        "\"address\" or \"header:NAME\"",
        "\"address\"",
        "what makes a client: its address (of IPv6 the first 64 bits), or a header that a proxy sets",
    ),
];
