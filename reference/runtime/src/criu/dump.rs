//! What CRIU wrote of a tree that stands: where it is, and what becomes of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::command::{Criu, Sink};
use super::error::CriuError;
use super::image::Images;
use super::stream::{Streamed, Streamer};
use crate::engine::{Place, chain};
use crate::payload::Payload;
use crate::store::{Draft, Intake};

/// The images of a tree.
#[derive(Debug)]
pub(super) struct Written {
    /// The directory that CRIU had for them, with its log.
    directory: PathBuf,
    images: Kept,
}

/// Where images are.
#[derive(Debug)]
enum Kept {
    /// Files in the directory.
    Files,
    /// In memory, and what is large in a store.
    Streamed { images: Streamed, draft: Arc<Draft> },
}

impl Written {
    /// Writes the tree below `root` down, to the store of its place if there is one, and leaves it stopped. If it
    /// fails the tree goes on.
    pub(super) async fn dump(criu: &Criu, root: u32, place: &Place) -> Result<Self, CriuError> {
        let directory = place.directory.join("images");
        empty(&directory)?;
        let images = match &place.intake {
            None => {
                criu.dump(root, &directory, Sink::Files).await?;
                Kept::Files
            }
            Some(intake) => stream(criu, root, &directory, intake).await?,
        };
        Ok(Self { directory, images })
    }

    /// Writes the tree, which stands, down once more if what there is was given to a call that sealed it, or failed to.
    pub(super) async fn renew(&mut self, criu: &Criu, root: u32) -> Result<(), CriuError> {
        if self.is_spent() {
            empty(&self.directory)?;
            criu.dump(root, &self.directory, Sink::Files).await?;
            self.images = Kept::Files;
        }
        Ok(())
    }

    /// What CRIU wrote, without its logs: small images, and the pages.
    pub(super) fn collect(&self) -> Result<(Images, Payload, Payload), CriuError> {
        match &self.images {
            Kept::Files => Images::collect(&self.directory),
            Kept::Streamed { images, .. } => Ok(Images::of(images.clone())),
        }
    }

    fn is_spent(&self) -> bool {
        match &self.images {
            Kept::Files => false,
            Kept::Streamed { images, draft } => draft.is_spent() && images.iter().any(|(_, image)| image.is_taken()),
        }
    }

    /// Removes it.
    pub(super) async fn discard(&self) {
        if let Kept::Streamed { draft, .. } = &self.images {
            draft.abandon().await;
        }
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::warn!(%error, path = %self.directory.display(), "remove an image that is outlived");
        }
    }
}

/// Makes an empty directory.
fn empty(directory: &Path) -> Result<(), CriuError> {
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(CriuError::file("empty", directory))?;
    }
    fs::create_dir_all(directory).map_err(CriuError::file("make", directory))
}

/// Has the store begin while CRIU does, and take what it writes.
async fn stream(criu: &Criu, root: u32, directory: &Path, intake: &Intake) -> Result<Kept, CriuError> {
    let streamer = Streamer::listen(directory)?;
    let (ended, begun) = (CancellationToken::new(), OnceCell::new());
    let draft = async || Arc::clone(begun.get_or_init(|| intake.begin()).await);
    let dump = async {
        let done = criu.dump(root, directory, Sink::Stream).await;
        ended.cancel();
        done
    };
    let received = streamer.receive(draft(), ended.cancelled());
    let (dumped, received, draft) = tokio::join!(dump, received, draft());
    let images = match (dumped, received) {
        (Ok(()), Ok(images)) => images,
        (dumped, received) => {
            draft.abandon().await;
            return Err(failure(dumped.err(), received.err()));
        }
    };
    if !images.iter().any(|(_, image)| image.is_taken()) {
        draft.abandon().await;
    }
    Ok(Kept::Streamed { images, draft })
}

/// What CRIU says may come of what it could not write.
fn failure(dumped: Option<CriuError>, received: Option<CriuError>) -> CriuError {
    let said: Vec<String> = [dumped, received].iter().flatten().map(|error| chain(error)).collect();
    let message = said.join("; ");
    CriuError::Dump { message }
}
