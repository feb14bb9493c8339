//! The synchronisation primitives of the lock-free parts: `std`'s, or `loom`'s when the models run.
//!
//! Only the modules that the loom models drive (`inbox::chain`, `call::slot`, `pool::idle`,
//! `pool::ending`, `pool::reserve`) import from here; everything else uses `std` directly.

#[cfg(not(pontoon_loom))]
mod imp {
    pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

    /// `std::cell::UnsafeCell` behind loom's interface, so that one source serves both.
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        /// Hands out the pointer for writing; dereferencing it is the caller's `unsafe`.
        #[inline]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(pontoon_loom)]
mod imp {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};
}

pub(crate) use imp::*;
