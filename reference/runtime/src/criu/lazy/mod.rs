//! Restoring processes before their memory: pages come when they are touched, and the rest behind them.
//!
//! ```text
//!  process ──fault──▶ userfaultfd ──▶ criu lazy-pages ──socket──▶ page server ──▶ store, each chunk checked
//!                          ▲                                           │
//!                          └── held open by this process ──────────────┘
//! ```
//!
//! A page that never comes must never be read as zeroes, which is what the kernel gives once nobody holds the
//! `userfaultfd`. So the agent holds it as well: when the source or `criu lazy-pages` fails, whoever waits for a page
//! waits on, and the whole tree is killed before the descriptor is let go. The sealed checkpoint is as it was.
//!
//! Left out: what becomes of a sandbox whose tree was killed. [`Sandbox::restored`](crate::Sandbox::restored) tells.

mod guard;
mod pagemap;
mod server;
mod source;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;
use std::path::Path;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::Child;
use tokio::task::JoinHandle;

use super::command::Criu;
use super::error::CriuError;
use super::image::{Pages, path_in};
use super::tree::Tree;
use crate::payload::PayloadReader;
pub(super) use guard::Paging;
use guard::{Faults, Restoring};
use pagemap::{Pagemap, PagemapError};
use server::{ServeError, serve};
use source::Source;

/// Needed pages that are so many bytes apart are read together.
const GAP_BYTES: u64 = 64 << 10;

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

    /// Makes up to `budget` bytes of what may come later be there from the beginning.
    ///
    /// A page that is touched before it came costs far more than one that is there. What every step of a program
    /// touches is in the small areas of a memory (stacks, variables, tables) and at the beginning of the heap.
    pub(super) fn hasten(&mut self, budget: u64) {
        let of_process = |(pid, map): (&u64, &Pagemap)| {
            let pid = *pid;
            map.lazy_areas()
                .into_iter()
                .map(move |(bytes, runs)| (bytes, pid, runs))
        };
        let mut areas: Vec<_> = self.maps.iter().flat_map(of_process).collect();
        areas.sort_unstable_by_key(|(bytes, pid, runs)| (*bytes, *pid, runs.start));
        let mut left = budget;
        for (_, pid, runs) in areas {
            let Some(map) = self.maps.get_mut(&pid) else { continue };
            for nth in runs {
                let bytes = map.runs.get(nth).map_or(0, pagemap::Run::bytes);
                map.split(nth, left);
                // Only the last one is cut, so the places of the others stay.
                match left.checked_sub(bytes) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        }
    }

    /// Says in the images in `dir` which pages may come later.
    ///
    /// # Errors
    /// An image cannot be written.
    pub(super) fn write_into(&self, dir: &Path) -> Result<(), CriuError> {
        for (pid, map) in &self.maps {
            let path = dir.join(format!("pagemap-{pid}.img"));
            let image = fs::read(&path).map_err(CriuError::file("read", &path))?;
            let written = map.write_into(&image).map_err(|error| unreadable(&path, &error))?;
            if written != image {
                fs::write(&path, written).map_err(CriuError::file("write", &path))?;
            }
        }
        Ok(())
    }

    /// Writes the images of pages with holes where pages may come later.
    pub(super) async fn lay_out_needed(&self, pages: &Pages, dir: &Path) -> Result<(), CriuError> {
        let mut parts = Vec::new();
        for (name, reader) in pages {
            let path = path_in(dir, name);
            let file = File::create(&path).map_err(CriuError::file("write", &path))?;
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

/// `criu lazy-pages` with its page server, before there is a tree.
#[derive(Debug)]
pub(super) struct LazyPages {
    daemon: Child,
    server: JoinHandle<Result<(), ServeError>>,
    faults: JoinHandle<Faults>,
}

impl LazyPages {
    /// Starts it for the images in `dir`; answers when a restore may begin.
    ///
    /// # Errors
    /// It does not start.
    pub(super) async fn start(criu: &Criu, dir: &Path, plan: Plan) -> Result<Self, CriuError> {
        let failed = CriuError::init("serve pages");
        let pair = Pair::pair().and_then(|(ours, theirs)| {
            ours.set_nonblocking(true)?;
            Ok((UnixStream::from_std(ours)?, theirs))
        });
        let (ours, theirs) = pair.map_err(failed)?;
        let mut daemon = criu.lazy_pages(dir, OwnedFd::from(theirs))?;
        let server = tokio::spawn(serve(ours, Source::new(plan.maps, plan.images)));
        // It says that it is ready by one byte.
        let mut ready = [0];
        let said = match &mut daemon.stdout {
            Some(stdout) => stdout.read_exact(&mut ready).await.map(drop),
            None => Ok(()),
        };
        if said.is_err() {
            return Err(CriuError::Pages {
                message: Criu::lazy_pages_said(dir),
            });
        }
        let faults = Faults::of(&daemon).map_err(CriuError::init("hold on to its memory"))?;
        Ok(Self {
            daemon,
            server,
            faults: tokio::spawn(faults.hold()),
        })
    }

    /// Watches over the tree that was restored, until all of its memory is there or cannot be had.
    pub(super) fn guard(self, tree: Tree, dir: &Path) -> Paging {
        Paging::begin(Restoring {
            daemon: self.daemon,
            server: self.server,
            faults: self.faults,
            tree,
            dir: dir.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::pagemap::{PAGE_BYTES, Run};
    use super::*;

    #[test]
    fn small_areas_and_the_beginning_of_the_largest_are_there_first() {
        let run = |pages: Range<u64>| Run {
            addresses: pages.start * PAGE_BYTES..pages.end * PAGE_BYTES,
            offset: pages.start * PAGE_BYTES,
            lazy: true,
        };
        let map = |runs: Vec<Run>| Pagemap { pages_id: 1, runs };
        let mut plan = Plan {
            maps: BTreeMap::from([
                (10, map(vec![run(0..4), run(4..8), run(10..11)])),
                (11, map(vec![run(0..3)])),
            ]),
            images: BTreeMap::new(),
        };
        plan.hasten(9 * PAGE_BYTES);
        let later = |pid| -> Vec<Range<u64>> {
            let runs = plan.maps[&pid].runs.iter().filter(|run| run.lazy);
            runs.map(|run| run.addresses.start / PAGE_BYTES..run.addresses.end / PAGE_BYTES)
                .collect()
        };
        assert_eq!(later(10), std::iter::once(5..8).collect::<Vec<_>>());
        assert_eq!(later(11), []);
        plan.hasten(u64::MAX);
        assert_eq!(plan.lazy_bytes(), 0);
    }
}
