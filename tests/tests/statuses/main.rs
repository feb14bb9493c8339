//! Every status that the server makes by itself: a problem with the right fields, over a real socket.

mod calls;
mod client_deadlines;
mod early;
mod protocol;
mod slow;
