//! A library with a session per thread, used from smol tasks: the session is opened on its worker,
//! stays there, and need not be `Send`.
//!
//! `cargo run -p pontoon-bridge --example pool_in_smol`

#![allow(clippy::print_stdout, reason = "a program's output")]

use pontoon_bridge::Pool;
use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

/// Stands for a library's handle: it keeps state between calls and is bound to its thread.
struct Counter(Rc<RefCell<HashMap<String, usize>>>);

impl Counter {
    fn open() -> Result<Self, Infallible> {
        Ok(Self(Rc::default()))
    }

    /// How often this session has seen `word`, this time included.
    fn count(&mut self, word: &str) -> usize {
        let mut seen = self.0.borrow_mut();
        let times = seen.entry(word.to_owned()).or_default();
        *times += 1;
        *times
    }
}

pub(crate) fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::named("words").threads(1).session(Counter::open);
    let pool = pool.session_idle(Duration::from_secs(10)).build()?;
    let text = "the quick fox and the lazy dog and the cat";
    let tasks: Vec<_> = text
        .split(' ')
        .map(|word| {
            let pool = pool.clone();
            smol::spawn(async move {
                let call = pool.call(move |counter| (word, counter.count(word)));
                call.deadline(Duration::from_secs(5)).await
            })
        })
        .collect();
    smol::block_on(async {
        let mut seen = HashMap::new();
        for task in tasks {
            let (word, times) = task.await?;
            let most = seen.entry(word).or_insert(times);
            *most = times.max(*most);
        }
        println!("{seen:?}");
        assert_eq!(seen["the"], 3);
        Ok(())
    })
}
