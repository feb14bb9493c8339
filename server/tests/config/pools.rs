//! The keys of `[pool.NAME]`: what they mean, and what they refuse.

use super::parse;
use crate::values::MINIMAL;
use pontoon::bridge::CoDel;
use pontoon::config::PoolConfig;
use std::time::Duration;

fn pool(lines: &str) -> PoolConfig {
    let mut config = parse(&format!("{MINIMAL}[pool.db]\n{lines}\n")).unwrap();
    config.pools.remove(0)
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_queue_may_stand_for_as_long_as_the_file_says() {
    let codel = |target, interval| {
        Some(CoDel {
            target: ms(target),
            interval: ms(interval),
        })
    };
    assert_eq!(pool("").codel, codel(5, 100));
    let both = "codel_target = '20ms'\ncodel_interval = '1s'";
    assert_eq!(pool(both).codel, codel(20, 1000));
    assert_eq!(pool("codel_target = 'off'").codel, None);
}
