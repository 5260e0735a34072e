//! The payload of a checkpoint: CRIU's images, the files, and what the agent knows of the tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::contexts::ContextsImage;
use super::error::CriuError;
use super::rootfs::RootfsDiff;

/// Counts up with every change of the structures here and of what init and kernels are asked.
pub(super) const IMAGE_VERSION: u32 = 1;

/// Everything of one sandbox.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CriuImage {
    /// Where init listens.
    pub(super) socket: PathBuf,
    /// The pid of init.
    pub(super) root: u32,
    /// Processes that the sandbox itself had stopped.
    pub(super) stopped: BTreeSet<u32>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) program: Option<ProgramImage>,
    pub(super) contexts: ContextsImage,
    /// By file name.
    pub(super) images: BTreeMap<String, Bytes>,
    pub(super) rootfs: RootfsDiff,
}

/// The sandbox's own program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ProgramImage {
    pub(super) pid: u32,
    /// What it wrote after its last line break.
    pub(super) partial: Bytes,
}

impl CriuImage {
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, CriuError> {
        Ok(postcard::to_allocvec(self)?)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, CriuError> {
        Ok(postcard::from_bytes(bytes)?)
    }
}

/// Reads what CRIU wrote, without its logs.
pub(super) fn read_images(dir: &Path) -> Result<BTreeMap<String, Bytes>, CriuError> {
    let mut images = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(CriuError::file("list", dir))? {
        let path = entry.map_err(CriuError::file("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == "img") {
            let content = fs::read(&path).map_err(CriuError::file("read", &path))?;
            images.insert(name.to_owned(), content.into());
        }
    }
    Ok(images)
}

/// Writes them into a new directory.
pub(super) fn write_images(dir: &Path, images: &BTreeMap<String, Bytes>) -> Result<(), CriuError> {
    fs::create_dir_all(dir).map_err(CriuError::file("make", dir))?;
    for (name, content) in images {
        // A name is one that a directory listing gave; whatever else it says, it stays in `dir`.
        let path = dir.join(Path::new(name).file_name().unwrap_or_default());
        fs::write(&path, content).map_err(CriuError::file("write", &path))?;
    }
    Ok(())
}
