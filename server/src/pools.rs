//! The pools of a server: described ones that it makes, and made ones that it shares.

use crate::config::PoolConfig;
use crate::error::{Result, ServerError};
use pontoon_bridge::{BoxError, Pool, PoolBuilder, SessionKind};
use std::time::Duration;

/// A pool for [`Server::pool`](crate::Server::pool): described, or made already.
#[derive(Debug)]
pub struct ServerPool(Source);

#[derive(Debug)]
enum Source {
    Configured(Box<PoolConfig>),
    Described(Box<PoolBuilder>),
    Made(Pool),
}

impl From<PoolBuilder> for ServerPool {
    fn from(pool: PoolBuilder) -> Self {
        Self(Source::Described(Box::new(pool)))
    }
}

/// A pool as a config file describes it. A reload keeps it while its config stays the same.
impl From<PoolConfig> for ServerPool {
    fn from(pool: PoolConfig) -> Self {
        Self(Source::Configured(Box::new(pool)))
    }
}

/// The same workers and the same bounds; sessions stay with the handle that was given.
impl<S: 'static> From<&Pool<S>> for ServerPool {
    fn from(pool: &Pool<S>) -> Self {
        let no_session = SessionKind::new(|| Ok::<_, BoxError>(()));
        Self(Source::Made(pool.with_sessions(no_session)))
    }
}

/// A pool that serves.
#[derive(Debug, Clone)]
pub(crate) struct ServedPool {
    pub(crate) pool: Pool,
    origin: Origin,
}

/// Where a pool is from.
#[derive(Debug, Clone)]
enum Origin {
    Config(Box<PoolConfig>),
    /// Described by a program; two descriptions cannot be compared.
    Program,
    /// The program's own, which may use it elsewhere.
    Shared,
}

impl ServedPool {
    fn make(source: Source, before: &[Self]) -> Result<Self> {
        let (pool, origin) = match source {
            Source::Configured(config) => {
                let same =
                    |served: &&Self| matches!(&served.origin, Origin::Config(of) if *of == config);
                if let Some(kept) = before.iter().find(same) {
                    return Ok(kept.clone());
                }
                (builder(&config).build()?, Origin::Config(config))
            }
            Source::Described(pool) => (pool.build()?, Origin::Program),
            Source::Made(pool) => (pool, Origin::Shared),
        };
        Ok(Self { pool, origin })
    }

    pub(crate) fn name(&self) -> &str {
        self.pool.name()
    }

    /// Whether it is the server's to end when a reload leaves it out.
    pub(crate) fn is_ours(&self) -> bool {
        !matches!(self.origin, Origin::Shared)
    }

    pub(crate) fn is_among(&self, pools: &[Self]) -> bool {
        pools
            .iter()
            .any(|other| other.pool.shares_workers_with(&self.pool))
    }
}

fn builder(config: &PoolConfig) -> PoolBuilder {
    // Taken apart, so that no setting is forgotten.
    let PoolConfig {
        name,
        threads,
        threads_min,
        max_queue,
        codel,
        session_idle,
        session_check_after,
        session_max_age,
        session_max_uses,
        sessions_min,
        breaker,
        stuck_after,
        max_stuck,
        interrupt_stuck,
        stack_size_bytes,
        spin,
    } = config;
    let builder = match threads_min {
        Some(min) => Pool::named(name).threads_auto(*min, *threads),
        None => Pool::named(name).threads(*threads),
    };
    let builder = builder
        .max_queue(*max_queue)
        .codel(*codel)
        .session_idle(*session_idle)
        .session_check_after(*session_check_after)
        .session_max_age(session_max_age.unwrap_or(Duration::MAX))
        .session_max_uses(session_max_uses.unwrap_or(u64::MAX))
        .sessions_min(*sessions_min)
        .breaker(*breaker)
        .stuck_after(*stuck_after)
        .interrupt_stuck(*interrupt_stuck)
        .stack_bytes(*stack_size_bytes)
        .spin(*spin);
    match max_stuck {
        Some(max_stuck) => builder.max_stuck(*max_stuck),
        None => builder,
    }
}

/// The pools, with their threads; those of `before` that stay as they are go on.
pub(crate) fn make(pools: Vec<ServerPool>, before: &[ServedPool]) -> Result<Vec<ServedPool>> {
    let mut made: Vec<ServedPool> = Vec::new();
    for pool in pools {
        let pool = ServedPool::make(pool.0, before)?;
        if made.iter().any(|other| other.name() == pool.name()) {
            let name = pool.name();
            return Err(ServerError::Setup(format!(
                "two pools are named `{name}`; locations could not tell them apart: rename one"
            )));
        }
        made.push(pool);
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_is_there_already_is_shared_and_not_made_anew() {
        let mine = Pool::named("mine").threads(1).build().unwrap();
        let pools = vec![(&mine).into(), Pool::named("yours").threads(1).into()];
        let pools = make(pools, &[]).unwrap();
        assert_eq!(pools.len(), 2);
        let shared = pools.iter().find(|pool| pool.name() == "mine").unwrap();
        assert!(!shared.is_ours());
        shared.pool.begin_shutdown();
        let refused = futures_lite::future::block_on(mine.call(|()| ()).submit());
        assert!(
            refused.is_err(),
            "stopping the server's handle stops the pool"
        );
    }

    #[test]
    fn two_pools_of_one_name_are_a_mistake() {
        let mine = Pool::named("db").threads(1).build().unwrap();
        let pools = make(
            vec![(&mine).into(), Pool::named("db").threads(1).into()],
            &[],
        );
        assert!(pools.unwrap_err().to_string().contains("`db`"));
    }
}
