//! What is written of a tree that stands, by CRIU and of the files that have changed: where it is, and what becomes of it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::baseline::Baseline;
use super::command::Sink;
use super::dumper::Dumper;
use super::engine::blocking;
use super::error::CriuError;
use super::image::Images;
use super::image_files::empty;
use super::links;
use super::predump::Predump;
use super::rootfs::RootfsDiff;
use super::stream::{Streamed, Streamer};
use super::system::open_as_many_files_as_allowed;
use super::tree::Tree;
use crate::chunks::Grain;
use crate::engine::{Place, chain};
use crate::payload::Payload;
use crate::store::Draft;

/// How often a tree is dumped again, and after how long, of which a process was dying: it takes a moment until all of its
/// threads are gone.
const MOST_AGAIN: u32 = 100;
const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// The images of a tree.
#[derive(Debug)]
pub(super) struct Written {
    /// The directory that CRIU had for them, with its log.
    directory: PathBuf,
    images: Kept,
    changes: Changes,
    /// Names that CRIU made in the sandbox's own folders.
    links: Vec<PathBuf>,
}

/// What has changed of the files of a container; nothing changes as long as the tree stands.
type Found = Result<(RootfsDiff, Payload), CriuError>;

/// Looks for what has changed.
#[derive(Debug)]
struct Changes {
    baseline: Arc<Baseline>,
    /// Somebody looks already.
    found: Option<oneshot::Receiver<Found>>,
}

/// Where images are.
#[derive(Debug)]
enum Kept {
    /// Files in the directory.
    Files,
    /// In memory, and what is large in a store, with the names of the container's image.
    Streamed {
        images: Streamed,
        listing: Payload,
        draft: Arc<Draft>,
    },
}

impl Written {
    /// Writes the tree below `root` down, to the store of its place if there is one, and leaves it stopped. If it
    /// fails the tree goes on.
    pub(super) async fn dump(
        (dumper, root): (&Dumper, u32),
        place: &Place,
        baseline: &Arc<Baseline>,
        predump: &Predump,
    ) -> Result<Self, CriuError> {
        // Each large file that has changed is open until it is stored.
        open_as_many_files_as_allowed();
        let mut changes = Changes::prepared(baseline);
        let directory = place.directory.join("images");
        empty(&directory)?;
        let images = match &place.intake {
            None => {
                dumper.dump(root, &directory, Sink::Files).await?;
                Kept::Files
            }
            Some(intake) => {
                let listing = baseline.listing().as_bytes().clone();
                let begun = async {
                    match predump.take().await {
                        Some(ahead) => ahead,
                        None => intake.begin().await,
                    }
                };
                stream((dumper, root), &directory, (begun, listing), changes.look()).await?
            }
        };
        let mut written = Self {
            directory,
            images,
            changes,
            links: Vec::new(),
        };
        written.find_links();
        Ok(written)
    }

    /// Looks for the names that CRIU made. A dump of which they cannot be read is as good as any; only to call it off leaves
    /// them.
    fn find_links(&mut self) {
        let found = match (self.image(links::REMAPS), self.image(links::FILES)) {
            (Some(remaps), Some(files)) => links::made_by_dump(&remaps, &files),
            (Some(_) | None, _) => return,
        };
        match found {
            Ok(links) => self.links = links,
            Err(error) => tracing::warn!(%error, "look for names that CRIU gave to open files"),
        }
    }

    /// A small image, if there is one of this name.
    fn image(&self, name: &str) -> Option<Bytes> {
        match &self.images {
            Kept::Files => fs::read(self.directory.join(name)).ok().map(Bytes::from),
            Kept::Streamed { images, .. } => {
                let (_, image) = images.iter().find(|(known, _)| known == name)?;
                image.clone().into_bytes().ok()
            }
        }
    }

    /// Before the tree goes on: no trace of the dump is left in the sandbox's own folders.
    pub(super) fn remove_links(&self) {
        links::remove(&self.links);
    }

    /// What has changed of the container's files, and the bytes of those that have.
    pub(super) async fn changes(&mut self) -> Found {
        self.changes.found().await
    }

    /// Writes the tree, which stands, down once more if what there is was given to a call that sealed it, or failed to.
    pub(super) async fn renew(&mut self, dumper: &Dumper, root: u32) -> Result<(), CriuError> {
        if self.is_spent() {
            empty(&self.directory)?;
            // CRIU refuses to make names that are there.
            self.remove_links();
            dumper.dump(root, &self.directory, Sink::Files).await?;
            self.images = Kept::Files;
            self.find_links();
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

    /// The names of the container's image.
    pub(super) fn listing(&self) -> Payload {
        match &self.images {
            Kept::Files => self.changes.baseline.listing().as_bytes().clone().into(),
            Kept::Streamed { listing, .. } => listing.clone(),
        }
    }

    fn is_spent(&self) -> bool {
        match &self.images {
            Kept::Files => false,
            Kept::Streamed { draft, .. } => draft.is_spent(),
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

impl Changes {
    /// Looks as far as can be looked while processes run: CRIU has not much to do for the second core at first, where a new
    /// thread begins. Without one it is done later.
    fn prepared(baseline: &Arc<Baseline>) -> Self {
        let preparing = Arc::clone(baseline);
        let thread = thread::Builder::new().name("baseline".to_owned());
        let _ = thread.spawn(move || {
            preparing.prepare();
        });
        Self {
            baseline: Arc::clone(baseline),
            found: None,
        }
    }

    /// What looks for them, on a thread of its own, when everything stands.
    fn look(&mut self) -> impl FnOnce() + Send + 'static {
        let (tell, found) = oneshot::channel();
        self.found = Some(found);
        let baseline = Arc::clone(&self.baseline);
        move || {
            let thread = thread::Builder::new().name("changes".to_owned());
            // Without it somebody looks later. Who asked may have gone.
            let _ = thread.spawn(move || drop(tell.send(baseline.diff())));
        }
    }

    async fn found(&mut self) -> Found {
        if let Some(found) = self.found.take()
            && let Ok(found) = found.await
        {
            return found;
        }
        let baseline = Arc::clone(&self.baseline);
        blocking(move || baseline.diff()).await
    }
}

/// What `dump` gives when no process is dying any more; its last failure when one does for too long. The tree goes on in
/// between.
pub(super) async fn outliving_the_dying<T, Dump>(mut dump: impl FnMut() -> Dump) -> Result<T, CriuError>
where
    Dump: Future<Output = Result<T, CriuError>>,
{
    for _ in 0..MOST_AGAIN {
        match dump().await {
            Err(error) if error.is_of_dying_process() => tokio::time::sleep(AGAIN_AFTER).await,
            done => return done,
        }
    }
    dump().await
}

/// What `dump` gives of a tree, with what of it stood stopped before. If it fails the tree goes on as it was.
pub(super) async fn with_stopped<T>(
    tree: Tree,
    dump: impl Future<Output = Result<T, CriuError>>,
) -> Result<(T, BTreeSet<u32>), CriuError> {
    let stopped = tree.stopped().map_err(CriuError::init("list its processes"))?;
    match dump.await {
        Ok(written) => Ok((written, stopped)),
        Err(error) if error.is_of_dying_process() => Err(error),
        Err(error) => {
            // CRIU lets go of what it could not write down, but not of what nobody read.
            tree.go_on(&stopped)?;
            Err(error)
        }
    }
}

/// Has the store begin while CRIU does, and take the names of the container's image, as long as there is nothing else to
/// do, and then what CRIU writes.
async fn stream(
    (dumper, root): (&Dumper, u32),
    directory: &Path,
    (begun, listing): (impl Future<Output = Arc<Draft>> + Send, Bytes),
    at_last: impl FnOnce() + Send + 'static,
) -> Result<Kept, CriuError> {
    let streamer = Streamer::listen(directory)?;
    let (ended, draft) = (CancellationToken::new(), begun.boxed().shared());
    let dump = async {
        let done = dumper.dump(root, directory, Sink::Stream).await;
        ended.cancel();
        done
    };
    let received = streamer.receive(draft.clone(), ended.cancelled(), at_last);
    let listed = async {
        let draft = draft.clone().await;
        let failed = CriuError::file("take the names of what is in", Path::new("/"));
        let taken = tokio::task::spawn_blocking(move || draft.take(Grain::Byte, &listing, io::empty()));
        taken.await.map_err(io::Error::other).flatten().map_err(failed)
    };
    let (written, received, listing, draft) = tokio::join!(dump, received, listed, draft.clone());
    match (written, received, listing) {
        (Ok(()), Ok(images), Ok(listing)) => Ok(Kept::Streamed { images, listing, draft }),
        (written, received, listing) => {
            draft.abandon().await;
            Err(failure(&[written.err(), received.err(), listing.err()]))
        }
    }
}

/// What CRIU says may come of what it could not write.
fn failure(failed: &[Option<CriuError>; 3]) -> CriuError {
    let said: Vec<String> = failed.iter().flatten().map(|error| chain(error)).collect();
    let message = said.join("; ");
    CriuError::Dump { message }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn failed(message: &str) -> CriuError {
        CriuError::Dump {
            message: message.to_owned(),
        }
    }

    /// How a dump ended that fails so often before it is done, and how often it was made.
    async fn dumped(failures: u32, message: &str) -> (bool, u32) {
        let mut made = 0;
        let done = outliving_the_dying(|| {
            made += 1;
            ready(if made <= failures { Err(failed(message)) } else { Ok(()) })
        });
        let is_done = done.await.is_ok();
        (is_done, made)
    }

    #[tokio::test(start_paused = true)]
    async fn a_dump_that_met_a_dying_process_is_made_again_until_it_is_gone() {
        let dying = "Zombies with threads are not supported";
        assert_eq!(dumped(0, dying).await, (true, 1));
        assert_eq!(dumped(MOST_AGAIN, dying).await, (true, MOST_AGAIN + 1));
        assert_eq!(dumped(u32::MAX, dying).await, (false, MOST_AGAIN + 1));
    }

    /// A shell, and a process that it has begun, which stands stopped.
    async fn stopped() -> (Child, u32) {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 1000 & echo $!; kill -STOP $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut said = String::new();
        let output = shell.stdout.as_mut().expect("its output");
        BufReader::new(output).read_line(&mut said).expect("a line");
        let pid = said.trim().parse().expect("a pid");
        let tree = Tree::new(shell.id());
        while !tree.stopped().expect("processes").contains(&pid) {
            tokio::task::yield_now().await;
        }
        (shell, pid)
    }

    #[tokio::test]
    async fn what_went_on_between_two_dumps_is_not_taken_for_stopped() {
        let (shell, pid) = stopped().await;
        let tree = Tree::new(shell.id());
        let mut made = 0;
        let dumped = outliving_the_dying(|| {
            made += 1;
            let first = made == 1;
            with_stopped(tree, async move {
                if first {
                    // As somebody in the sandbox may, whom a dump that fails does not keep from it.
                    tree.go_on(&BTreeSet::new())?;
                    return Err(failed("Zombies with threads are not supported"));
                }
                Ok(())
            })
        });
        let ((), stopped) = dumped.await.expect("dumped");
        assert!(!stopped.contains(&pid), "{stopped:?}");
        tree.kill().await;
    }

    #[tokio::test]
    async fn what_stood_stopped_stands_when_a_dump_has_failed() {
        let (shell, pid) = stopped().await;
        let tree = Tree::new(shell.id());
        let failed = with_stopped(tree, ready(Err::<(), _>(failed("Dumping FAILED.")))).await;
        assert!(failed.is_err());
        assert!(tree.stopped().expect("processes").contains(&pid));
        tree.kill().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_dump_that_failed_otherwise_is_not_made_again() {
        assert_eq!(dumped(1, "Dumping FAILED").await, (false, 1));
    }
}
