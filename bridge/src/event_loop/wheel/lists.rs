//! The wheel's memory: one slab of entries, threaded into lists.
//!
//! Only the timer wheel calls this. It promises constant time for every operation, reuse of what was
//! removed (most recently used first, as that is warm in the cache), and that a [`Key`] never finds
//! an entry other than the one it was made for.
//!
//! The lists are circular, linked both ways by index. Each has a head in the slab that holds no
//! value: the heads take the lowest indexes, so a list *is* the index of its head. An entry can so be
//! unlinked without knowing which list it is in, and a whole list can be appended to another at once.

/// Names one pending value of one wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    pub(super) fn index(self) -> u32 {
        self.index
    }
}

struct Node<T> {
    prev: u32,
    next: u32,
    /// How often this place was used before. A key is good only for the generation it was made in.
    generation: u32,
    due_tick: u64,
    /// `None` in heads and in free places.
    value: Option<T>,
}

pub(super) struct Lists<T> {
    nodes: Vec<Node<T>>,
    /// The list of free places.
    free: u32,
    len: usize,
}

impl<T> Lists<T> {
    /// `count` empty lists, numbered from 0.
    pub(super) fn new(count: u32) -> Self {
        let mut lists = Self {
            nodes: Vec::new(),
            free: count,
            len: 0,
        };
        for _ in 0..=count {
            lists.grow();
        }
        lists
    }

    /// How many values are held.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Holds `value` in a place that is in no list yet.
    ///
    /// # Panics
    ///
    /// If there is no index left for another place.
    pub(super) fn insert(&mut self, due_tick: u64, value: T) -> Key {
        let index = match self.first(self.free) {
            Some(index) => {
                self.unlink(index);
                index
            }
            None => self.grow(),
        };
        let node = self.node_mut(index);
        node.due_tick = due_tick;
        node.value = Some(value);
        let generation = node.generation;
        self.len += 1;
        Key { index, generation }
    }

    /// Takes the value out of a place that is in no list, and frees the place.
    pub(super) fn remove(&mut self, index: u32) -> Option<T> {
        let free = self.free;
        let node = self.node_mut(index);
        let value = node.value.take()?;
        // After its last generation a place is left unused: a key made for the first one may still
        // be around. It costs one place per four billion timers.
        if let Some(generation) = node.generation.checked_add(1) {
            node.generation = generation;
            self.link_after(free, index);
        }
        self.len -= 1;
        Some(value)
    }

    /// The index of a value that is still held.
    pub(super) fn find(&self, key: Key) -> Option<u32> {
        let node = self.nodes.get(key.index as usize)?;
        let held = node.generation == key.generation && node.value.is_some();
        held.then_some(key.index)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let index = self.find(key)?;
        self.node_mut(index).value.as_mut()
    }

    pub(super) fn due_tick(&self, index: u32) -> u64 {
        self.node(index).due_tick
    }

    pub(super) fn set_due_tick(&mut self, index: u32, due_tick: u64) {
        self.node_mut(index).due_tick = due_tick;
    }

    pub(super) fn is_empty(&self, list: u32) -> bool {
        self.node(list).next == list
    }

    /// The first entry of `list`.
    pub(super) fn first(&self, list: u32) -> Option<u32> {
        let first = self.node(list).next;
        (first != list).then_some(first)
    }

    /// Puts an entry that is in no list at the end of `list`.
    pub(super) fn push_back(&mut self, list: u32, index: u32) {
        let last = self.node(list).prev;
        self.link_after(last, index);
    }

    /// Takes an entry out of the list that it is in. Returns that list if this emptied it.
    pub(super) fn unlink(&mut self, index: u32) -> Option<u32> {
        let Node { prev, next, .. } = *self.node(index);
        self.node_mut(prev).next = next;
        self.node_mut(next).prev = prev;
        // Only a head can be both neighbours of an entry.
        (prev == next).then_some(prev)
    }

    /// Moves all entries of the list `from` to the end of the list `to`, in their order.
    pub(super) fn append(&mut self, from: u32, to: u32) {
        let Node {
            prev: last,
            next: first,
            ..
        } = *self.node(from);
        if first == from {
            return;
        }
        let old_last = self.node(to).prev;
        self.node_mut(old_last).next = first;
        self.node_mut(first).prev = old_last;
        self.node_mut(last).next = to;
        self.node_mut(to).prev = last;
        let head = self.node_mut(from);
        head.prev = from;
        head.next = from;
    }

    /// A new place, linked to itself only: a head, or an entry that is in no list.
    fn grow(&mut self) -> u32 {
        let index = u32::try_from(self.nodes.len())
            .expect("one timer per u32 takes more memory than the process can have");
        self.nodes.push(Node {
            prev: index,
            next: index,
            generation: 0,
            due_tick: 0,
            value: None,
        });
        index
    }

    fn link_after(&mut self, prev: u32, index: u32) {
        let next = self.node(prev).next;
        let node = self.node_mut(index);
        node.prev = prev;
        node.next = next;
        self.node_mut(prev).next = index;
        self.node_mut(next).prev = index;
    }

    fn node(&self, index: u32) -> &Node<T> {
        &self.nodes[index as usize]
    }

    fn node_mut(&mut self, index: u32) -> &mut Node<T> {
        &mut self.nodes[index as usize]
    }
}

#[cfg(test)]
impl<T> Lists<T> {
    /// The due ticks in `list`, first to last, having checked that it reads the same backwards.
    pub(super) fn due_ticks(&self, list: u32) -> Vec<u64> {
        let mut due_ticks = Vec::new();
        let mut at = list;
        loop {
            let next = self.node(at).next;
            assert_eq!(self.node(next).prev, at, "a link back is broken");
            if next == list {
                return due_ticks;
            }
            due_ticks.push(self.due_tick(next));
            at = next;
        }
    }

    /// Places that hold or held a value.
    pub(super) fn places(&self) -> usize {
        self.nodes.len() - 1 - self.free as usize
    }

    /// Makes the place of a pending value look as if it had been used four billion times. Returns
    /// the value's new key.
    pub(super) fn wear_out(&mut self, key: Key) -> Key {
        self.node_mut(key.index).generation = u32::MAX;
        Key {
            generation: u32::MAX,
            ..key
        }
    }
}
