//! What reading a message costs: scanners count their steps here, and stop when the message has
//! used up what it may cost.
//!
//! A step is a nanosecond or two of a release build: a character looked at one by one, or sixteen
//! octets that a vector instruction passes over. Steps depend on the message alone, so the same
//! message gets the same verdict on every machine, however busy. What unpacks and packs documents
//! is counted apart: it may cost more.
//!
//! The count belongs to the thread, as a message is read by one: handed through every scanner it
//! would stand in each signature. When the allowance is gone, [`is_over`] stays true to the end of
//! [`within`], every loop that could be long ends early, and what it returns is worth nothing:
//! whoever called [`within`] asks [`Spent::end`] first. The rewriter and the guard ask, too, and
//! never pass what was read in part.
//!
//! Not here: how much a message may cost (`config`, `relay`), and clocks.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Octets that count as one step where many are looked at in one instruction.
const WIDE: usize = 16;
/// Steps between two looks at the flag: a millisecond.
const INTERVAL: u64 = 1 << 20;

/// What may be spent on one message.
#[derive(Clone, Debug)]
pub struct Allowance {
    /// Steps of reading and writing.
    pub reading: u64,
    /// Steps of unpacking and packing documents.
    pub packing: u64,
    /// Set by others when nobody waits for the outcome any more.
    pub stop: Arc<AtomicBool>,
}

impl Allowance {
    /// No end to it: for what was allowed before and has to come out the same.
    #[must_use]
    pub fn endless() -> Self {
        Self { reading: u64::MAX, packing: u64::MAX, stop: Arc::default() }
    }
}

/// Why work ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The message costs more than it may.
    Costly,
    /// Somebody set the flag.
    Stopped,
}

/// What was spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Steps of reading and writing.
    pub reading: u64,
    /// Steps of unpacking and packing documents.
    pub packing: u64,
    /// Set if the work did not come to its end: its outcome is worth nothing.
    pub end: Option<End>,
}

struct Count {
    steps: Cell<u64>,
    most: Cell<u64>,
    /// Steps at which to look up again.
    next: Cell<u64>,
}

impl Count {
    const fn new() -> Self {
        Self { steps: Cell::new(0), most: Cell::new(u64::MAX), next: Cell::new(u64::MAX) }
    }

    #[inline]
    fn add(&self, steps: usize) {
        let now = self.steps.get().saturating_add(steps as u64);
        self.steps.set(now);
        if now >= self.next.get() {
            self.look(now);
        }
    }

    #[cold]
    fn look(&self, now: u64) {
        let most = self.most.get();
        if END.get().is_none() {
            if now >= most {
                END.set(Some(End::Costly));
            } else if STOP.with_borrow(|stop| stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))) {
                END.set(Some(End::Stopped));
            }
        }
        self.next.set(now.saturating_add(INTERVAL).min(most.max(now.saturating_add(1))));
    }

    fn begin(&self, most: u64) -> [u64; 3] {
        let before = [self.steps.get(), self.most.get(), self.next.get()];
        self.steps.set(0);
        self.most.set(most);
        self.next.set(most.min(INTERVAL));
        before
    }

    fn restore(&self, [steps, most, next]: [u64; 3]) {
        self.steps.set(steps);
        self.most.set(most);
        self.next.set(next);
    }
}

thread_local! {
    static READING: Count = const { Count::new() };
    static PACKING: Count = const { Count::new() };
    static END: Cell<Option<End>> = const { Cell::new(None) };
    static STOP: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Counts characters that were looked at one by one.
#[inline]
pub(super) fn count(steps: usize) {
    READING.with(|reading| reading.add(steps));
}

/// Counts octets that were passed over many at once.
#[inline]
pub(super) fn skip(octets: usize) {
    count(1 + octets / WIDE);
}

/// Counts steps of unpacking and packing.
#[inline]
pub(super) fn pack(steps: usize) {
    PACKING.with(|packing| packing.add(steps));
}

/// Whether to leave everything as it is and return.
#[inline]
#[must_use]
pub fn is_over() -> bool {
    END.get().is_some()
}

/// What was before, put back also when `work` panics.
struct Around {
    reading: [u64; 3],
    packing: [u64; 3],
    end: Option<End>,
    stop: Option<Arc<AtomicBool>>,
}

impl Drop for Around {
    fn drop(&mut self) {
        READING.with(|count| count.restore(self.reading));
        PACKING.with(|count| count.restore(self.packing));
        END.set(self.end);
        STOP.set(self.stop.take());
    }
}

/// Does `work` within an allowance of its own, so many steps of each kind, that does not count for
/// what is being done around it. It stops when that does.
pub fn aside<T>(steps: u64, work: impl FnOnce() -> T) -> (T, Spent) {
    let stop = STOP.with_borrow(Clone::clone).unwrap_or_default();
    within(&Allowance { reading: steps, packing: steps, stop }, work)
}

/// Does `work` aside, within what is `left` of an allowance that several works share, and takes off
/// what it took. `None` also where it came to its end.
pub fn out_of<T>(left: &mut u64, work: impl FnOnce() -> Option<T>) -> Option<T> {
    let (done, spent) = aside(*left, work);
    *left = left.saturating_sub(spent.reading.max(spent.packing));
    done.filter(|_| spent.end.is_none())
}

/// Does `work` on this thread within an allowance, and says what it took. Outside of this nothing
/// ends early.
pub fn within<T>(allowance: &Allowance, work: impl FnOnce() -> T) -> (T, Spent) {
    let around = Around {
        reading: READING.with(|count| count.begin(allowance.reading)),
        packing: PACKING.with(|count| count.begin(allowance.packing)),
        end: END.replace(None),
        stop: STOP.replace(Some(Arc::clone(&allowance.stop))),
    };
    let done = work();
    let [reading, packing] = [&READING, &PACKING].map(|count| count.with(|count| count.steps.get()));
    let spent = Spent { reading, packing, end: END.get() };
    drop(around);
    (done, spent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(reading: u64, packing: u64) -> Allowance {
        Allowance { reading, packing, ..Allowance::endless() }
    }

    /// Counts in pieces until told to stop, at most so often.
    fn work(rounds: usize, one: fn(usize), steps: usize) -> usize {
        (0..rounds)
            .find(|_| {
                is_over() || {
                    one(steps);
                    false
                }
            })
            .unwrap_or(rounds)
    }

    #[test]
    fn the_allowance_ends_it_at_once() {
        // allowance, what is counted, steps a round, rounds that are done, why it ends
        type Case = (u64, u64, fn(usize), usize, usize, Option<End>);
        let cases: [Case; 6] = [
            (100, 0, count, 10, 10, Some(End::Costly)),
            (101, 0, count, 10, 11, Some(End::Costly)),
            (5 * INTERVAL, 0, count, INTERVAL as usize, 5, Some(End::Costly)),
            (u64::MAX, 100, pack, 10, 10, Some(End::Costly)),
            (1 << 40, u64::MAX, count, 1 << 30, 20, None),
            (100, 0, skip, 159, 10, Some(End::Costly)),
        ];
        for (reading, packing, one, steps, rounds, end) in cases {
            let allowance = allowance(reading, if packing == 0 { u64::MAX } else { packing });
            let (done, spent) = within(&allowance, || work(20, one, steps));
            assert_eq!((done, spent.end), (rounds, end), "{reading} {packing} {steps}");
        }
        assert!(!is_over());
    }

    #[test]
    fn the_flag_ends_it_within_a_moment() {
        let endless = Allowance::endless();
        endless.stop.store(true, Ordering::Relaxed);
        let (done, spent) = within(&endless, || work(1 << 20, count, 1024));
        assert_eq!((done, spent.end), (1024, Some(End::Stopped)));
    }

    #[test]
    fn what_was_before_comes_back() {
        let outer = allowance(1000, 1000);
        let ((), spent) = within(&outer, || {
            count(10);
            let (_, inner) = within(&allowance(5, 5), || work(9, pack, 1));
            assert_eq!(inner, Spent { reading: 0, packing: 5, end: Some(End::Costly) });
            let panics = || {
                within(&allowance(5, 5), || -> () {
                    count(7);
                    std::panic::resume_unwind(Box::new(()))
                })
            };
            assert!(std::panic::catch_unwind(panics).is_err());
            assert!(!is_over());
            count(1);
        });
        assert_eq!(spent, Spent { reading: 11, packing: 0, end: None });
    }
}
