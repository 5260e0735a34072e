//! Restoring processes before their memory: pages come when they are touched, and the rest behind them.
//!
//! ```text
//!  process ──fault──▶ userfaultfd ──▶ pager ◀──chunks, each checked── supply ◀── store
//!      ▲                                │
//!      └───────────── page ─────────────┘
//! ```
//!
//! CRIU makes the processes and hands over the `userfaultfd` of each; nothing else of it stays. A page that never comes
//! must never be read as zeroes, which is what the kernel gives once nobody holds the `userfaultfd`. So when the store
//! fails whoever waits for a page waits on, and the whole tree is killed before the descriptors are let go. The sealed
//! checkpoint is as it was.
//!
//! Left out: what becomes of a sandbox whose tree was killed. [`Sandbox::restored`](crate::Sandbox::restored) tells.

mod ahead;
mod edges;
mod guard;
mod handover;
mod kernel;
mod memory;
mod missing;
mod pagemap;
mod pager;
mod supply;
mod touched;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use tokio::sync::oneshot;

use super::error::CriuError;
use super::image::Pages;
use super::image_files::ImageFiles;
use super::tree::Tree;
use crate::engine::chain;
use crate::payload::PayloadReader;
pub(super) use guard::Paging;
use guard::Restoring;
use handover::Handover;
use missing::Missing;
pub(super) use pagemap::PAGE_BYTES;
use pagemap::{Pagemap, PagemapError};
use pager::{Paged, Pager, PagerError};
use supply::{Image, Supply};
pub(super) use touched::Touched;

/// Needed pages that are so many bytes apart are read together.
const GAP_BYTES: u64 = 64 << 10;

/// After a restore, as long as the first answers take. Who waits for memory longer than that has it sooner when those who
/// bring it have their share of the processor.
const STEPS_BACK: Duration = Duration::from_millis(50);

/// How long CRIU has to tell itself why it does not speak any more.
const CRIU_TELLS: Duration = Duration::from_secs(1);

/// Parts of the pages that are laid out at the same time.
const PARTS_AT_ONCE: usize = 4;

/// Which pages have to be there when processes run, and which may come later.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// By pid.
    maps: BTreeMap<u64, Pagemap>,
    /// By their number.
    images: BTreeMap<u64, PayloadReader>,
}

impl Plan {
    /// Reads which pages are which from the images beside them.
    ///
    /// # Errors
    /// An image cannot be read.
    pub(super) fn read(dir: &Path, pages: &Pages) -> Result<Self, CriuError> {
        let number = |name: &str, prefix: &str| name.strip_prefix(prefix)?.strip_suffix(".img")?.parse::<u64>().ok();
        let mut maps = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(CriuError::file("list", dir))? {
            let path = entry.map_err(CriuError::file("list", dir))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(pid) = number(name, "pagemap-") else { continue };
            let image = fs::read(&path).map_err(CriuError::file("read", &path))?;
            let map = Pagemap::parse(&image).map_err(|error| unreadable(&path, &error))?;
            maps.insert(pid, map);
        }
        let images = pages.iter();
        let images = images.filter_map(|(name, reader)| Some((number(name, "pages-")?, reader.clone())));
        Ok(Self {
            maps,
            images: images.collect(),
        })
    }

    /// Bytes of memory that may come later.
    pub(super) fn lazy_bytes(&self) -> u64 {
        self.maps.values().map(Pagemap::lazy_bytes).sum()
    }

    /// What comes later, by the number of its image: the most urgent first.
    ///
    /// That is what was waited for after an earlier restore. What every step of a program touches besides is in the small
    /// areas of a memory (stacks, variables, tables) and at the beginning of the heap, which is the largest.
    fn order(&self, touched: &Touched) -> Vec<(u64, Range<u64>)> {
        self.touched(touched).chain(self.areas()).collect()
    }

    /// Where these pages are, by the number of their image.
    fn touched(&self, touched: &Touched) -> impl Iterator<Item = (u64, Range<u64>)> {
        touched.pages().filter_map(|page| {
            let map = self.maps.get(&page.pid)?;
            Some((map.pages_id, map.lazy_page(page.address)?))
        })
    }

    /// What comes later, by the number of its image: the smallest areas of memory first.
    fn areas(&self) -> Vec<(u64, Range<u64>)> {
        let of_process = |(pid, map): (&u64, &Pagemap)| {
            let (pid, number) = (*pid, map.pages_id);
            let area = |(bytes, runs): (u64, Range<usize>)| {
                let runs = &map.runs[runs];
                let start = runs.first().map_or(0, |run| run.offset);
                (bytes, pid, number, start..start + bytes)
            };
            map.lazy_areas().into_iter().map(area).collect::<Vec<_>>()
        };
        let mut areas: Vec<_> = self.maps.iter().flat_map(of_process).collect();
        areas.sort_unstable_by_key(|(bytes, pid, _, offsets)| (*bytes, *pid, offsets.start));
        areas
            .into_iter()
            .map(|(_, _, number, offsets)| (number, offsets))
            .collect()
    }

    /// Writes the images of pages with holes where pages may come later.
    pub(super) async fn lay_out_needed(&self, pages: &Pages, files: &ImageFiles) -> Result<(), CriuError> {
        let mut parts = Vec::new();
        for (name, reader) in pages {
            let (file, path) = files.create(name, reader.len())?;
            file.set_len(reader.len()).map_err(CriuError::file("write", &path))?;
            let file = Arc::new(file);
            for range in self.needed(name, reader.len()) {
                parts.push((
                    reader.slice(range.clone())?,
                    Arc::clone(&file),
                    range.start,
                    path.clone(),
                ));
            }
        }
        // One waits for the store while another is decompressed and a third written.
        let parts = parts
            .into_iter()
            .map(|(part, file, at, path)| async move { part.copy_to(&file, at, &path).await });
        let copied = futures::stream::iter(parts).buffer_unordered(PARTS_AT_ONCE);
        Ok(copied.try_collect().await?)
    }

    /// The parts of an image that have to be there.
    fn needed(&self, name: &str, bytes: u64) -> Vec<Range<u64>> {
        let of_process = self
            .maps
            .values()
            .find(|map| format!("pages-{}.img", map.pages_id) == name);
        let Some(map) = of_process else {
            // Memory that processes share.
            return std::iter::once(0..bytes).collect();
        };
        let mut needed: Vec<Range<u64>> = Vec::new();
        for run in map.runs.iter().filter(|run| !run.lazy) {
            let end = run.offset + run.bytes();
            match needed.last_mut() {
                Some(last) if run.offset - last.end <= GAP_BYTES => last.end = end,
                _ => needed.push(run.offset..end),
            }
        }
        needed
    }
}

fn unreadable(path: &Path, error: &PagemapError) -> CriuError {
    CriuError::Pages {
        message: format!("{}: {error}", path.display()),
    }
}

/// What puts pages into memory, before there is any. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct LazyPages {
    supply: Arc<Supply>,
    ended: oneshot::Receiver<Paged>,
    paged: Option<Paged>,
}

impl LazyPages {
    /// Begins to unpack pages, those that were `touched` first, and waits for a restore of the images in `dir`, which goes
    /// on when it is [admitted](Self::admit).
    ///
    /// # Errors
    /// The kernel has no thread, descriptor or socket for it.
    pub(super) fn start(dir: &Path, plan: &Plan, touched: &Touched) -> Result<Self, CriuError> {
        Self::begin(dir, plan, touched).map_err(CriuError::init("serve pages"))
    }

    fn begin(dir: &Path, plan: &Plan, touched: &Touched) -> io::Result<Self> {
        let handover = Handover::listen(dir)?;
        let numbers: BTreeMap<u64, usize> = plan.images.keys().copied().zip(0..).collect();
        let images = plan.images.values().cloned().map(Image::new).collect();
        let order = plan.order(touched).into_iter();
        let order: Vec<_> = order
            .filter_map(|(number, offsets)| Some((*numbers.get(&number)?, offsets)))
            .collect();
        let first = plan.touched(touched);
        let first = first.filter_map(|(number, page)| Some((*numbers.get(&number)?, page.start)));
        let first = first.collect();
        let expected = plan.maps.iter();
        let expected =
            expected.filter_map(|(pid, map)| Some((*pid, (*numbers.get(&map.pages_id)?, Missing::all(map)))));
        let supply = Supply::begin(images, &order)?;
        let pager = Pager::new(Arc::clone(&supply), handover, expected.collect()).putting_first(first);
        let (tell, ended) = oneshot::channel();
        let lazy = Self {
            supply,
            ended,
            paged: None,
        };
        thread::Builder::new()
            .name("put-pages-in".to_owned())
            .spawn(move || drop(tell.send(pager.run())))?;
        Ok(lazy)
    }

    /// Lets CRIU make processes, which it waits for: images of memory are all there.
    pub(super) fn admit(&self) {
        self.supply.admit();
    }

    /// Ends, after a while, that those who unpack and put in leave the processor to everybody else.
    fn stepping_back(&self) -> impl Future<Output = Infallible> + use<> {
        let supply = Arc::clone(&self.supply);
        async move {
            tokio::time::sleep(STEPS_BACK).await;
            supply.press_on();
            std::future::pending().await
        }
    }

    /// Puts nothing in any more. CRIU, if it waits, finds nobody.
    pub(super) fn close(&self) {
        self.supply.close();
    }

    /// Answers when all pages are there.
    ///
    /// # Errors
    /// Why they will not be. What is missing goes on missing until this is dropped.
    async fn ended(&mut self) -> Result<(), &PagerError> {
        if self.paged.is_none() {
            self.paged = (&mut self.ended).await.ok();
        }
        match &self.paged {
            Some(paged) => paged.outcome.as_ref().copied(),
            None => Err(&PagerError::Ended),
        }
    }

    /// The pages that were waited for, once all are there.
    fn touched(&self) -> Touched {
        self.paged
            .as_ref()
            .map(|paged| paged.touched.clone())
            .unwrap_or_default()
    }

    /// Answers when pages cannot be had, and never for another reason.
    pub(super) async fn lost(&mut self) -> CriuError {
        match self.ended().await {
            Ok(()) => std::future::pending().await,
            Err(error) => {
                let lost = CriuError::Pages { message: chain(error) };
                // Of its failures CRIU tells itself, and ends; one that does neither would be waited for for ever.
                if matches!(error, PagerError::Criu(_)) {
                    tokio::time::sleep(CRIU_TELLS).await;
                }
                lost
            }
        }
    }

    /// Watches over the tree that was restored, until all of its memory is there or cannot be had.
    pub(super) fn guard(self, tree: Tree, files: &ImageFiles) -> Paging {
        Paging::begin(Restoring {
            lazy: self,
            tree,
            files: files.clone(),
        })
    }
}

impl Drop for LazyPages {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::pagemap::{PAGE_BYTES, Run};
    use super::touched::Page;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_criu_that_hangs_up_and_does_not_end_is_not_waited_for_for_ever() {
        let directory = tempfile::tempdir().expect("a directory");
        let plan = Plan {
            maps: BTreeMap::new(),
            images: BTreeMap::new(),
        };
        let mut lazy = LazyPages::start(directory.path(), &plan, &Touched::default()).expect("started");
        lazy.admit();
        drop(std::os::unix::net::UnixStream::connect(directory.path().join("lazy-pages.socket")).expect("connects"));
        assert!(matches!(lazy.ended().await, Err(PagerError::Criu(_))));
        assert!(lazy.lost().now_or_never().is_none(), "CRIU may tell more");
        let lost = tokio::time::timeout(2 * CRIU_TELLS, lazy.lost())
            .await
            .expect("in time");
        assert!(lost.to_string().contains("criu restore"), "{lost}");
    }

    #[test]
    fn what_was_waited_for_comes_first_then_small_areas_and_the_largest_last() {
        let run = |pages: Range<u64>| Run {
            addresses: pages.start * PAGE_BYTES..pages.end * PAGE_BYTES,
            offset: pages.start * PAGE_BYTES,
            lazy: true,
        };
        let map = |pages_id, runs: Vec<Run>| Pagemap { pages_id, runs };
        let plan = Plan {
            maps: BTreeMap::from([
                (10, map(1, vec![run(0..4), run(4..8), run(10..11)])),
                (11, map(2, vec![run(0..3)])),
            ]),
            images: BTreeMap::new(),
        };
        let order: Vec<_> = plan
            .order(&Touched::default())
            .into_iter()
            .map(|(number, offsets)| (number, offsets.start / PAGE_BYTES..offsets.end / PAGE_BYTES))
            .collect();
        assert_eq!(order, [(1, 10..11), (2, 0..3), (1, 0..8)]);

        let mut touched = Touched::default();
        for (pid, page) in [(10, 5), (11, 2), (10, 20), (12, 0)] {
            let address = page * PAGE_BYTES;
            touched.note(Page { pid, address });
        }
        let first = [(1, 5 * PAGE_BYTES..6 * PAGE_BYTES), (2, 2 * PAGE_BYTES..3 * PAGE_BYTES)];
        let known = plan.order(&touched);
        assert_eq!(known[..2], first, "and what is not there any more is passed over");
        assert_eq!(known[2..], plan.order(&Touched::default()));
    }
}
