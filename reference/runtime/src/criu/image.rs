//! The payload of a checkpoint: what the agent knows of the tree, CRIU's images, and the files.
//!
//! ```text
//! CriuImage │ small images │ changed files │ names of the image │ pages
//! ```
//!
//! Nothing of it is in memory as a whole: images and files are read when the store wants them. The pages of memory
//! come last, so that a restore can begin without them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::contexts::ContextsImage;
use super::engine::blocking;
use super::error::CriuError;
use super::fitness::Fitness;
use super::image_files::ImageFiles;
use super::lazy::Touched;
use super::rootfs::RootfsDiff;
use crate::chunks::Grain;
use crate::payload::{LITTLE_BYTES, Payload, PayloadCursor, PayloadReader};

/// Counts up with every change of the structures here and of what init and kernels are asked.
pub(super) const IMAGE_VERSION: u32 = 7;

/// Everything of one sandbox but the bytes of images and files.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CriuImage {
    /// What is known of CRIU, for a restore on the same boot.
    pub(super) fitness: Fitness,
    /// Where init listens.
    pub(super) socket: PathBuf,
    /// The pid of init.
    pub(super) root: u32,
    /// Processes that the sandbox itself had stopped.
    pub(super) stopped: BTreeSet<u32>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) program: Option<ProgramImage>,
    pub(super) contexts: ContextsImage,
    pub(super) images: Images,
    pub(super) rootfs: RootfsDiff,
    /// Pages that were waited for after restores before this.
    pub(super) touched: Touched,
    /// Bytes of the names that the container's image has.
    pub(super) listing: u64,
}

/// The sandbox's own program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ProgramImage {
    pub(super) pid: u32,
    /// What it wrote after its last line break.
    pub(super) partial: Bytes,
}

/// The files that CRIU wrote: names and bytes, in the order of the payload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Images {
    small: Vec<(String, u64)>,
    pages: Vec<(String, u64)>,
}

/// The pages of memory, by the names of their images.
pub(super) type Pages = BTreeMap<String, PayloadReader>;

impl Images {
    /// Looks at what CRIU wrote, without its logs; gives the small images and the pages as payloads.
    pub(super) fn collect(dir: &Path) -> Result<(Self, Payload, Payload), CriuError> {
        let mut images = Vec::new();
        for entry in fs::read_dir(dir).map_err(CriuError::file("list", dir))? {
            let path = entry.map_err(CriuError::file("list", dir))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if is_image(name) {
                let mut payload = Payload::default();
                payload.push_file_of(&path, grain_of(name))?;
                images.push((name.to_owned(), payload));
            }
        }
        Ok(Self::of(images))
    }

    /// What CRIU wrote, by its names; gives the small images and the pages as payloads.
    pub(super) fn of(mut all: Vec<(String, Payload)>) -> (Self, Payload, Payload) {
        all.retain(|(name, _)| is_image(name));
        all.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let (mut images, mut small, mut pages) = (Self::default(), Payload::default(), Payload::default());
        for (name, image) in all {
            let (list, payload) = if is_pages(&name) {
                (&mut images.pages, &mut pages)
            } else {
                (&mut images.small, &mut small)
            };
            list.push((name, image.len()));
            payload.append(image);
        }
        (images, small, pages)
    }

    /// The highest id of a process or a thread: there is an image of the registers of each.
    pub(super) fn last_task(&self) -> Option<u32> {
        let id = |name: &str| name.strip_prefix("core-")?.strip_suffix(".img")?.parse().ok();
        self.small.iter().filter_map(|(name, _)| id(name)).max()
    }

    /// Writes the small images, which come next.
    pub(super) async fn lay_out(&self, cursor: &mut PayloadCursor, files: &ImageFiles) -> Result<(), CriuError> {
        let mut contents = Vec::with_capacity(self.small.len());
        for (name, bytes) in &self.small {
            contents.push((name.clone(), cursor.take(*bytes).await?));
        }
        let all: u64 = self.small.iter().map(|(_, bytes)| bytes).sum();
        let files = files.clone();
        let write = move || {
            for (name, content) in contents {
                let (mut file, path) = files.create(&name, content.len() as u64)?;
                file.write_all(&content).map_err(CriuError::file("write", &path))?;
            }
            Ok(())
        };
        if all <= LITTLE_BYTES {
            return write();
        }
        blocking(write).await
    }

    /// The pages, which come next.
    pub(super) fn pages(&self, cursor: &mut PayloadCursor) -> Result<Pages, CriuError> {
        let pages = self.pages.iter();
        let pages = pages.map(|(name, bytes)| Ok((name.clone(), cursor.skip(*bytes)?)));
        pages.collect()
    }
}

fn is_pages(name: &str) -> bool {
    name.starts_with("pages-")
}

/// Where the image of this name is to be cut.
pub(super) fn grain_of(name: &str) -> Grain {
    if is_pages(name) { Grain::Aligned } else { Grain::Byte }
}

/// No log, and nothing else that is only for people.
fn is_image(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "img")
}

/// Writes the pages beside the other images.
pub(super) async fn lay_out_pages(pages: &Pages, files: &ImageFiles) -> Result<(), CriuError> {
    for (name, content) in pages {
        let (file, path) = files.create(name, content.len())?;
        content.copy_to(&Arc::new(file), 0, &path).await?;
    }
    Ok(())
}
