//! What is there when all was put in.

use std::io::PipeWriter;
use std::os::fd::OwnedFd;

use super::super::pagemap::{Pagemap, Run};
use super::*;

/// A pager of a memory that misses what is in these runs, of which a checkpoint without any image has nothing, and who says
/// what happens to it.
fn pager_of(runs: Vec<Run>) -> (Pager, PipeWriter) {
    let supply = Supply::begin(Vec::new(), &[]).expect("a supply");
    let mut pager = Pager::new(Arc::clone(&supply), Handover::Finished, BTreeMap::new());
    let (userfault, events) = io::pipe().expect("a pipe");
    let missing = Missing::all(&Pagemap { pages_id: 1, runs });
    let memory = Memory::new(0, None, OwnedFd::from(userfault).into(), missing);
    pager.memories.push(memory);
    pager.finished = true;
    supply.admit();
    (pager, events)
}

#[tokio::test]
async fn memory_that_never_came_is_told_when_all_was_read() {
    let page = Run {
        addresses: 0x1000..0x1000 + PAGE_BYTES,
        offset: 0,
        lazy: true,
    };
    let (pager, _events) = pager_of(vec![page]);
    let outcome = pager.run().outcome;
    assert!(matches!(outcome, Err(PagerError::Missed(PAGE_BYTES))), "{outcome:?}");
    let (pager, _events) = pager_of(Vec::new());
    let outcome = pager.run().outcome;
    assert!(outcome.is_ok(), "{outcome:?}");
}
