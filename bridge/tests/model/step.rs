//! What a history is made of.

use proptest::prelude::*;

/// What a call does once it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Panicking,
    /// Until it is released.
    Held,
}

#[derive(Debug, Clone, Copy)]
pub struct Order {
    pub kind: Kind,
    pub deadline: Deadline,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    None,
    /// Long ago, so that no clock that is read a little early makes a difference.
    Passed,
    Far,
}

/// On the loop's thread, or on another one while the loop waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Here,
    Elsewhere,
}

/// How the loop passes the time until the step has had its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    Awake,
    Asleep,
}

/// Numbers choose among what there is, modulo its count; with nothing there a step does nothing.
#[derive(Debug, Clone)]
pub enum Step {
    /// In one turn.
    Submit(Vec<Order>, Place),
    /// In one turn; the outcomes go to the inbox.
    SubmitTo(Vec<Order>),
    /// Submits so many behind workers that are all held, and leaves each at once.
    ComeAndGo(usize),
    Poll(usize, Place),
    /// Gives the call a deadline that has passed, and polls it.
    Expire(usize, Place),
    Drop(usize, Place),
    Release(usize),
    Callback,
    Complete(usize, Place),
    LetGoOfCompleter(usize, Place),
    Drain(usize),
    DrainDisarmed(usize),
    /// Drops the inbox with all that is in it or on its way, and makes another.
    ReplaceInbox,
    BeginShutdown,
    /// A shutdown that waits for nobody.
    GiveUp,
}

fn order() -> impl Strategy<Value = Order> {
    let kind = prop_oneof![
        3 => Just(Kind::Plain),
        1 => Just(Kind::Panicking),
        3 => Just(Kind::Held),
    ];
    let deadline = prop_oneof![
        4 => Just(Deadline::None),
        1 => Just(Deadline::Passed),
        2 => Just(Deadline::Far),
    ];
    (kind, deadline).prop_map(|(kind, deadline)| Order { kind, deadline })
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![4 => Just(Place::Here), 1 => Just(Place::Elsewhere)]
}

pub fn wait() -> impl Strategy<Value = Wait> {
    prop_oneof![Just(Wait::Awake), Just(Wait::Asleep)]
}

pub fn step() -> impl Strategy<Value = Step> {
    let orders = || prop::collection::vec(order(), 1..5);
    let which = || 0..1000usize;
    prop_oneof![
        12 => (orders(), place()).prop_map(|(orders, place)| Step::Submit(orders, place)),
        6 => orders().prop_map(Step::SubmitTo),
        1 => (1..90usize).prop_map(Step::ComeAndGo),
        12 => (which(), place()).prop_map(|(which, place)| Step::Poll(which, place)),
        3 => (which(), place()).prop_map(|(which, place)| Step::Expire(which, place)),
        4 => (which(), place()).prop_map(|(which, place)| Step::Drop(which, place)),
        14 => which().prop_map(Step::Release),
        3 => Just(Step::Callback),
        4 => (which(), place()).prop_map(|(which, place)| Step::Complete(which, place)),
        2 => (which(), place()).prop_map(|(which, place)| Step::LetGoOfCompleter(which, place)),
        3 => (0..6usize).prop_map(Step::Drain),
        3 => (0..6usize).prop_map(Step::DrainDisarmed),
        1 => Just(Step::ReplaceInbox),
        // Rare: little happens afterwards.
        1 => prop_oneof![
            5 => Just(Step::Release(0)),
            1 => Just(Step::BeginShutdown),
            1 => Just(Step::GiveUp),
        ],
    ]
}
