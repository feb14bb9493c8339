//! Redis, on a pool and on the loops.

use pontoon_tests::backends::Redis;
use pontoon_tests::client::Response;

use crate::rig::{LOOPS, THREADS};
use crate::subject::Subject;

/// Keeps a value and answers with what was kept.
const STORE: &str = "redis.call(\"SET\", KEYS[1], ARGV[1]) return redis.call(\"GET\", KEYS[1])";

/// On the loops if `LOOP`.
struct OfRedis<const LOOP: bool>(Redis);

impl<const LOOP: bool> OfRedis<LOOP> {
    fn location(&self, keys: &str) -> String {
        let mode = if LOOP { "loop" } else { "blocking" };
        let server = self.0.url(0);
        format!("adapter = 'redis'\nserver = '{server}'\nmode = '{mode}'\n{keys}")
    }
}

impl<const LOOP: bool> Subject for OfRedis<LOOP> {
    const HAS_POOL: bool = !LOOP;
    const SESSIONS_MAX: usize = if LOOP { LOOPS } else { THREADS };

    fn start() -> Option<Self> {
        Redis::start().map(Self)
    }

    fn echo(&self) -> String {
        self.location("command = ['ECHO', ':value']")
    }

    fn store(&self) -> String {
        let script = format!("script = '{STORE}'\nkeys = ['stored']\narguments = [':value']");
        self.location(&script)
    }

    /// What waits would keep all others on the connection of a loop waiting, and is not taken there.
    fn slow(&self) -> Option<String> {
        let waits = "command = ['BLPOP', 'nothing', ':seconds']";
        (!LOOP).then(|| self.location(waits))
    }

    fn value_of(&self, answer: &Response) -> String {
        let value = answer.json();
        let text = value.as_str();
        text.unwrap_or_else(|| panic!("no text: {value}"))
            .to_owned()
    }

    fn is_at_work(&self) -> bool {
        self.0.running("blpop") > 0
    }

    fn sessions(&self) -> usize {
        self.0.sessions()
    }

    fn cut_sessions(&self) {
        self.0.run(0, &["CLIENT", "KILL", "TYPE", "normal"]);
    }

    fn kill(&self) {
        self.0.kill();
    }

    fn restart(&self) {
        self.0.restart();
    }

    fn pause(&self) {
        self.0.pause();
    }

    fn resume(&self) {
        self.0.resume();
    }
}

mod on_a_pool {
    crate::contract!(super::OfRedis<false>);
}

mod on_the_loops {
    crate::contract!(super::OfRedis<true>);
}
