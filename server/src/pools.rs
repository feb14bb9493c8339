//! The pools of a server: described ones that it makes, and made ones that it shares.

use crate::error::{Result, ServerError};
use pontoon_bridge::{BoxError, Pool, PoolBuilder, SessionKind};
use std::collections::HashMap;

/// A pool for [`Server::pool`](crate::Server::pool): described, or made already.
#[derive(Debug)]
pub struct ServerPool(Source);

#[derive(Debug)]
enum Source {
    Described(Box<PoolBuilder>),
    Made(Pool),
}

impl From<PoolBuilder> for ServerPool {
    fn from(pool: PoolBuilder) -> Self {
        Self(Source::Described(Box::new(pool)))
    }
}

/// The same workers and the same bounds; sessions stay with the handle that was given.
impl<S: 'static> From<&Pool<S>> for ServerPool {
    fn from(pool: &Pool<S>) -> Self {
        let no_session = SessionKind::new(|| Ok::<_, BoxError>(()));
        Self(Source::Made(pool.with_sessions(no_session)))
    }
}

/// The pools by name, with their threads.
pub(crate) fn make(pools: Vec<ServerPool>) -> Result<HashMap<String, Pool>> {
    let mut made = HashMap::new();
    for pool in pools {
        let pool = match pool.0 {
            Source::Described(pool) => pool.build()?,
            Source::Made(pool) => pool,
        };
        if let Some(twice) = made.insert(pool.name().to_owned(), pool) {
            let name = twice.name();
            return Err(ServerError::Setup(format!(
                "two pools are named `{name}`; locations could not tell them apart: rename one"
            )));
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_is_there_already_is_shared_and_not_made_anew() {
        let mine = Pool::named("mine").threads(1).build().unwrap();
        let pools = make(vec![(&mine).into(), Pool::named("yours").threads(1).into()]);
        let mut pools = pools.unwrap();
        assert_eq!(pools.len(), 2);
        let shared = pools.remove("mine").unwrap();
        shared.begin_shutdown();
        let refused = futures_lite::future::block_on(mine.call(|()| ()).submit());
        assert!(
            refused.is_err(),
            "stopping the server's handle stops the pool"
        );
    }

    #[test]
    fn two_pools_of_one_name_are_a_mistake() {
        let mine = Pool::named("db").threads(1).build().unwrap();
        let pools = make(vec![(&mine).into(), Pool::named("db").threads(1).into()]);
        assert!(pools.unwrap_err().to_string().contains("`db`"));
    }
}
