//! The pages of a checkpoint as they are asked for: from the store, checked, a window at a time.
//!
//! A fault brings in the window around it, which is kept until all of it was given: each page is asked for once, and
//! its neighbours are next. When windows are asked for one after the other, as they are once the processes are
//! content, the next ones are read ahead.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use tokio::task::JoinHandle;

use super::pagemap::Pagemap;
use crate::payload::{PayloadError, PayloadReader};

/// Bytes that are read at once.
const WINDOW_BYTES: u64 = 1 << 20;
/// Windows that are kept at most. To read one twice costs more than to keep it.
const KEPT: usize = 128;
/// Windows that are read before they are asked for.
const AHEAD: u64 = 4;

/// The pages of every process.
#[derive(Debug)]
pub(super) struct Source {
    /// By pid: the map, and the number of the image that has the pages.
    maps: BTreeMap<u64, Pagemap>,
    images: BTreeMap<u64, PayloadReader>,
    /// The oldest first.
    windows: VecDeque<Kept>,
    last: Option<Window>,
}

/// A window of an image, by its number.
type Window = (u64, u64);

#[derive(Debug)]
struct Kept {
    window: Window,
    held: Held,
    /// Bytes that were given of it.
    given: u64,
}

#[derive(Debug)]
enum Held {
    Bytes(Bytes),
    Coming(JoinHandle<Result<Bytes, PayloadError>>),
}

/// Why pages cannot be given.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("process {pid} asks for pages at {address:#x} that the checkpoint does not have")]
    Unknown { pid: u64, address: u64 },
    #[error("an image of pages ends before the pages that the checkpoint has in it")]
    Short,
    #[error("read pages of the checkpoint")]
    Read(#[from] PayloadError),
    #[error("wait for pages of the checkpoint")]
    Wait(#[from] tokio::task::JoinError),
}

impl Source {
    pub(super) fn new(maps: BTreeMap<u64, Pagemap>, images: BTreeMap<u64, PayloadReader>) -> Self {
        Self {
            maps,
            images,
            windows: VecDeque::new(),
            last: None,
        }
    }

    /// The memory of a process at some addresses.
    pub(super) async fn pages(&mut self, pid: u64, addresses: Range<u64>) -> Result<Bytes, SourceError> {
        let unknown = SourceError::Unknown {
            pid,
            address: addresses.start,
        };
        let map = self.maps.get(&pid);
        let Some((image, place)) = map.and_then(|map| Some((map.pages_id, map.place(&addresses)?))) else {
            return Err(unknown);
        };
        let windows = place.start / WINDOW_BYTES..place.end.div_ceil(WINDOW_BYTES);
        let bytes = addresses.end - addresses.start;
        let mut pages = BytesMut::new();
        for nth in windows.clone() {
            let window = self.window((image, nth), windows.end).await?;
            let start = nth * WINDOW_BYTES;
            let within = |at: u64| {
                usize::try_from(at.saturating_sub(start))
                    .unwrap_or(usize::MAX)
                    .min(window.len())
            };
            let part = window.slice(within(place.start)..within(place.end));
            pages.extend_from_slice(&part);
            self.let_go_when_given(part.len() as u64, window.len() as u64);
        }
        if pages.len() as u64 != bytes {
            return Err(SourceError::Short);
        }
        Ok(pages.freeze())
    }

    /// A window, of which those up to `end` will be asked for next.
    async fn window(&mut self, wanted: Window, end: u64) -> Result<Bytes, SourceError> {
        let (image, nth) = wanted;
        let in_order = self
            .last
            .is_some_and(|(last, at)| last == image && (at == nth || at + 1 == nth));
        self.last = Some(wanted);
        let upto = if in_order {
            nth + 1 + AHEAD
        } else {
            end.min(nth + 1 + AHEAD)
        };
        for next in nth + 1..upto {
            self.begin((image, next));
        }
        // The last to be begun is the last to be let go.
        self.begin(wanted);
        let Some(kept) = self.windows.back_mut() else {
            return Ok(Bytes::new());
        };
        match &mut kept.held {
            Held::Bytes(bytes) => Ok(bytes.clone()),
            Held::Coming(reading) => {
                let bytes = reading.await??;
                kept.held = Held::Bytes(bytes.clone());
                Ok(bytes)
            }
        }
    }

    /// So many more bytes were given of the window that was asked for last.
    fn let_go_when_given(&mut self, bytes: u64, of: u64) {
        let Some(kept) = self.windows.back_mut() else { return };
        kept.given += bytes;
        if kept.given >= of {
            self.windows.pop_back();
        }
    }

    /// Reads a window unless it is there, and puts it last; there is nothing behind the end of an image.
    fn begin(&mut self, window: Window) {
        let (image, nth) = window;
        if let Some(at) = self.windows.iter().position(|kept| kept.window == window) {
            let kept = self.windows.remove(at);
            self.windows.extend(kept);
            return;
        }
        let Some(reader) = self.images.get(&image) else { return };
        let start = nth * WINDOW_BYTES;
        let Ok(part) = reader.slice(start..reader.len().min(start + WINDOW_BYTES)) else {
            return;
        };
        if self.windows.len() >= KEPT {
            self.windows.pop_front();
        }
        let reading = tokio::spawn(async move { part.read().await });
        self.windows.push_back(Kept {
            window,
            held: Held::Coming(reading),
            given: 0,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::pagemap::{PAGE_BYTES, Run};
    use super::*;

    /// One process with two runs of pages, each byte of which tells its page.
    fn source(pages: u64) -> Source {
        let half = pages / 2 * PAGE_BYTES;
        let run = |start, offset| Run {
            addresses: start..start + half,
            offset,
            lazy: true,
        };
        let map = Pagemap {
            pages_id: 1,
            runs: vec![run(1 << 30, 0), run(1 << 40, half)],
        };
        let bytes = (0..pages).flat_map(|page| vec![u8::try_from(page % 251).expect("small"); 4096]);
        let image = PayloadReader::from(bytes.collect::<Vec<u8>>());
        Source::new(BTreeMap::from([(10, map)]), BTreeMap::from([(1, image)]))
    }

    #[tokio::test]
    async fn every_page_is_given_as_it_was_in_any_order() {
        let mut source = source(20_000);
        let mut asked: Vec<(u64, u64)> = (0..100).map(|n| (n * 7919 % 9990, n % 9 + 1)).collect();
        asked.extend((0..100).map(|n| (n * 9, 9)));
        asked.extend([(0, 9990), (3, 1), (980, 5)]);
        for (page, count) in asked {
            for (start, first) in [(1_u64 << 30, 0), (1 << 40, 10_000)] {
                let at = start + page * PAGE_BYTES;
                let pages = source.pages(10, at..at + count * PAGE_BYTES).await.expect("pages");
                let expected: Vec<u8> = (first + page..first + page + count)
                    .flat_map(|page| vec![u8::try_from(page % 251).expect("small"); 4096])
                    .collect();
                assert!(pages == expected, "{count} pages at {page} of {start:#x}");
            }
        }
        let refused = source.pages(11, 1 << 30..(1 << 30) + PAGE_BYTES).await;
        assert!(
            matches!(refused, Err(SourceError::Unknown { pid: 11, .. })),
            "{refused:?}"
        );
    }
}
