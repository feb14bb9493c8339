//! What travels in an inbox: a thin pointer to anything that can be opened into a message.
//!
//! The link, and how to open it, stand at the start of the thing itself. So a finished call goes home
//! in the allocation that it was made in, and completing it allocates nothing.

use super::chain::Node;
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::Relaxed;

/// The first field of everything that an [`Envelope`] can hold.
pub(crate) struct Header<T> {
    next: AtomicPtr<()>,
    end: unsafe fn(NonNull<Header<T>>, End) -> Option<T>,
}

/// How an envelope ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Discard,
}

impl<T> Header<T> {
    /// The header of something that is owned by an `H`.
    pub(crate) fn of<H: Handle<T>>() -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
            end: end::<T, H>,
        }
    }
}

/// Opens or drops an envelope's content; always gives the message if it is opened.
///
/// # Safety
///
/// `raw` came from `H::into_raw` and is taken back once.
unsafe fn end<T, H: Handle<T>>(raw: NonNull<Header<T>>, end: End) -> Option<T> {
    // SAFETY: the caller's promise is `from_raw`'s.
    let handle = unsafe { H::from_raw(raw) };
    (end == End::Open).then(|| handle.open())
}

/// A pointer that owns something with a [`Header`]: a `Box`, or one of several `Arc`s.
///
/// # Safety
///
/// `into_raw` gives up ownership and returns the address of the header, which was made by
/// [`Header::of`] *for this same type* and stays there until `from_raw` takes the ownership back.
pub(crate) unsafe trait Handle<T>: Sized + Send {
    fn into_raw(self) -> NonNull<Header<T>>;
    /// # Safety
    ///
    /// `raw` came from `into_raw` of the same type and is taken back once.
    unsafe fn from_raw(raw: NonNull<Header<T>>) -> Self;
    /// Gives the message; on the consumer's thread.
    fn open(self) -> T;
}

/// Something that several own, one of which an envelope is.
///
/// # Safety
///
/// The type is `repr(C)`, its first field is a `Header<T>` made by `Header::of::<Arc<Self>>()`, and
/// no two envelopes of one such thing exist at a time.
pub(crate) unsafe trait Shared<T>: Send + Sync {
    /// As [`Handle::open`].
    fn open(self: Arc<Self>) -> T;
}

// SAFETY: `Shared` promises that the header stands first, so its address is that of the whole, and
// `Arc::into_raw` and `from_raw` give up and take back one count.
unsafe impl<T, C: Shared<T>> Handle<T> for Arc<C> {
    fn into_raw(self) -> NonNull<Header<T>> {
        let raw = Arc::into_raw(self).cast_mut().cast();
        // SAFETY: an `Arc` is never null.
        unsafe { NonNull::new_unchecked(raw) }
    }

    unsafe fn from_raw(raw: NonNull<Header<T>>) -> Self {
        // SAFETY: the caller promises that `raw` came from `into_raw` and is taken back once.
        unsafe { Arc::from_raw(raw.as_ptr().cast_const().cast()) }
    }

    fn open(self) -> T {
        Shared::open(self)
    }
}

/// A message that was given by value, and its header.
#[repr(C)]
pub(crate) struct Letter<T> {
    header: Header<T>,
    message: T,
}

// SAFETY: `Letter` is `repr(C)` and its header is its first field; `Box::into_raw` and `from_raw`
// give up and take back the one ownership.
unsafe impl<T: Send> Handle<T> for Box<Letter<T>> {
    fn into_raw(self) -> NonNull<Header<T>> {
        NonNull::from(Box::leak(self)).cast()
    }

    unsafe fn from_raw(raw: NonNull<Header<T>>) -> Self {
        // SAFETY: the caller promises that `raw` came from `into_raw` and is taken back once.
        unsafe { Box::from_raw(raw.cast().as_ptr()) }
    }

    fn open(self) -> T {
        self.message
    }
}

/// An owned, type-erased pointer to something with a header.
pub(crate) struct Envelope<T>(NonNull<Header<T>>);

// SAFETY: an envelope owns what a `Handle` was, and every `Handle` is `Send`.
unsafe impl<T> Send for Envelope<T> {}

impl<T> Envelope<T> {
    pub(crate) fn new(handle: impl Handle<T>) -> Self {
        Self(handle.into_raw())
    }

    pub(crate) fn letter(message: T) -> Self
    where
        T: Send,
    {
        Self::new(Box::new(Letter {
            header: Header::of::<Box<Letter<T>>>(),
            message,
        }))
    }

    /// Gives the message, on the consumer's thread, or on any that finds the consumer gone.
    pub(crate) fn open(self) -> T {
        // SAFETY: the envelope is gone with this call.
        let message = unsafe { end_once(self.into_raw_header(), End::Open) };
        message.expect("what is opened gives a message")
    }

    fn into_raw_header(self) -> NonNull<Header<T>> {
        std::mem::ManuallyDrop::new(self).0
    }
}

impl<T> Drop for Envelope<T> {
    fn drop(&mut self) {
        // SAFETY: the envelope is gone after this call.
        drop(unsafe { end_once(self.0, End::Discard) });
    }
}

/// # Safety
///
/// `raw` was an envelope's, which is not used afterwards.
unsafe fn end_once<T>(raw: NonNull<Header<T>>, end: End) -> Option<T> {
    // SAFETY: the header is alive as long as the envelope was.
    let act = unsafe { raw.as_ref() }.end;
    // SAFETY: `raw` came from the `Handle` for which the header was made, and is taken back once,
    // since the envelope is gone.
    unsafe { act(raw, end) }
}

// SAFETY: `into_raw` and `from_raw` give up and take back the envelope's pointer, which points to
// a header and so is aligned for a pointer; `next` is used here only.
unsafe impl<T> Node for Envelope<T> {
    fn into_raw(self) -> NonNull<()> {
        self.into_raw_header().cast()
    }

    unsafe fn from_raw(raw: NonNull<()>) -> Self {
        Self(raw.cast())
    }

    unsafe fn set_next(raw: NonNull<()>, next: *mut ()) {
        // SAFETY: the caller promises that `raw` is a given-up envelope, whose header is alive.
        let header = unsafe { raw.cast::<Header<T>>().as_ref() };
        // Relaxed: the chain's own word publishes it.
        header.next.store(next, Relaxed);
    }

    unsafe fn next(raw: NonNull<()>) -> *mut () {
        // SAFETY: as in `set_next`.
        let header = unsafe { raw.cast::<Header<T>>().as_ref() };
        // Relaxed: as in `set_next`.
        header.next.load(Relaxed)
    }
}

impl<T> fmt::Debug for Envelope<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Envelope").field(&self.0).finish()
    }
}
