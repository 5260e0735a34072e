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
use pagemap::Pagemap;
use server::{ServeError, serve};
use source::Source;

/// Needed pages that are so many bytes apart are read together.
const GAP_BYTES: u64 = 64 << 10;

/// Which pages have to be there when processes run, and which may come later.
#[derive(Debug)]
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
            let map = Pagemap::parse(&image).map_err(|error| CriuError::Pages {
                message: format!("{}: {error}", path.display()),
            })?;
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

    /// Writes the images of pages with holes where pages may come later.
    pub(super) async fn lay_out_needed(&self, pages: &Pages, dir: &Path) -> Result<(), CriuError> {
        for (name, reader) in pages {
            let path = path_in(dir, name);
            let file = File::create(&path).map_err(CriuError::file("write", &path))?;
            file.set_len(reader.len()).map_err(CriuError::file("write", &path))?;
            let file = Arc::new(file);
            for range in self.needed(name, reader.len()) {
                reader.slice(range.clone())?.copy_to(&file, range.start, &path).await?;
            }
        }
        Ok(())
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
            let end = run.offset + (run.addresses.end - run.addresses.start);
            match needed.last_mut() {
                Some(last) if run.offset - last.end <= GAP_BYTES => last.end = end,
                _ => needed.push(run.offset..end),
            }
        }
        needed
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
