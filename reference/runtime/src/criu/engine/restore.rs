//! Bringing a sandbox back: its files, its processes, and the way to them.
//!
//! ```text
//!  criu begins ────loads────┐
//!  description, images ──▶ criu restore, held up ──▶ goes on ──▶ init and kernels reached ──▶ the sandbox
//!                    └──▶ files, needed memory ───┘        └── the rest of the memory comes later
//! ```
//! CRIU reads what it is to make before it makes any of it. It is held up between the two, until there is what processes
//! open and read as they are made.
//!
//! Left out: how memory comes later (`lazy`).

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;

use super::super::baseline::{Baseline, Listing};
use super::super::client::InitClient;
use super::super::command::{LAZY_NEEDED, WaitingRestore};
use super::super::contexts::Contexts;
use super::super::dumper::Dumper;
use super::super::error::CriuError;
use super::super::fitness::Fitness;
use super::super::image::{CriuImage, Pages, lay_out_pages};
use super::super::image_files::ImageFiles;
use super::super::lazy::{LazyPages, Paging, Plan, Touched};
use super::super::sandbox::{CriuSandbox, Parts};
use super::super::tree::Tree;
use super::wholly::or_killed;
use super::{CriuEngine, advance_pids, is_first_process, make_parent};
use crate::engine::{Place, Sandbox, SandboxError};
use crate::payload::{PayloadCursor, PayloadReader};
use crate::step::Step;

/// How often a restore that has failed is looked after.
const LOOK: Duration = Duration::from_millis(5);
/// How long a CRIU whose tree is killed may take to end by itself.
const CRIU_ENDS: Duration = Duration::from_secs(2);

impl CriuEngine {
    /// Brings a sandbox back from its checkpoint.
    ///
    /// # Errors
    /// It cannot be read, or not be restored; nothing of it runs then.
    pub(super) async fn bring_back(
        self,
        place: Place,
        payload: PayloadReader,
    ) -> Result<Arc<dyn Sandbox>, SandboxError> {
        is_first_process()?;
        // It is loaded while the checkpoint is read.
        let criu = self.criu.begin_restore()?;
        let mut cursor = PayloadCursor::new(payload);
        let mut image: CriuImage = cursor.head().await?;
        self.config.steps.done(Step::Read);
        self.recall(&image.fitness);
        let (ground, script) = self.prepare(&place.directory).await?;
        // Beside the socket, and not where the next dump writes.
        let files = ImageFiles::none_in(
            self.config.socket.with_file_name("images"),
            place.directory.join("restored-images"),
        )?;
        image.images.lay_out(&mut cursor, &files).await?;
        let changed = std::mem::take(&mut image.rootfs);
        let mut of_files = PayloadCursor::new(cursor.skip(changed.bytes())?);
        let changed = async {
            changed.lay_out(&mut of_files).await?;
            self.config.steps.done(Step::FilesLaidOut);
            Ok(())
        };
        let listing = cursor.skip(image.listing)?;
        let pages = image.images.pages(&mut cursor)?;
        let (paging, listing) = self.run(criu, &image, &files, changed, pages, listing).await?;
        let tree = Tree::new(image.root);
        let (client, pages) = (InitClient::new(image.socket), paging.clone());
        let woken = self.wake(tree, &image.stopped, &client, &pages);
        let fitness = or_killed(tree, Some(&pages), woken).await?;
        let contexts = Contexts::restored(client.clone(), script, image.contexts);
        let sandbox = CriuSandbox::new(Parts {
            dumper: Dumper::new(self.criu.clone()),
            fitness,
            client,
            contexts,
            tree,
            baseline: Arc::new(Baseline::new(ground, listing)),
            paging,
            touched: image.touched,
            steps: self.config.steps.clone(),
            is_new: false,
            store_ahead_after: self.config.store_ahead_after,
            place,
            env: image.env,
        });
        if let Err(error) = unless_lost(&pages, sandbox.listen(image.program)).await {
            sandbox.stop().await;
            return Err(error);
        }
        self.config.steps.done(Step::Serving);
        Ok(Arc::new(sandbox))
    }

    /// Lets a tree go on, and answers when its init does.
    async fn wake(
        &self,
        tree: Tree,
        stopped: &BTreeSet<u32>,
        client: &InitClient,
        pages: &Paging,
    ) -> Result<Fitness, SandboxError> {
        tree.go_on(stopped)?;
        unless_lost(pages, async { Ok(client.ready().await?) }).await?;
        Ok(self.fit().await?.clone())
    }

    /// Runs the tree of `image` over the files that `changed` lays out, and reads meanwhile what only its next pause looks
    /// at: nobody lists the image of the container again, which is the same one.
    async fn run(
        &self,
        criu: WaitingRestore,
        image: &CriuImage,
        files: &ImageFiles,
        changed: impl Future<Output = Result<(), CriuError>>,
        pages: Pages,
        listing: PayloadReader,
    ) -> Result<(Paging, Listing), CriuError> {
        make_parent(&image.socket)?;
        let tree = Tree::new(image.root);
        // Before any of them runs: what they started first would have the ids that agents have.
        advance_pids(image.images.last_task().unwrap_or(image.root))?;
        let restored = self.restore_tree(criu, tree, files, changed, pages, &image.touched);
        let (paging, listing) = tokio::join!(restored, listing.read());
        let paging = paging?;
        self.config.steps.done(Step::Restored);
        let listing = or_killed(tree, Some(&paging), std::future::ready(listing)).await?;
        Ok((paging, Listing::from_bytes(listing)))
    }

    /// Runs the processes in these images, with all of their memory or ahead of it.
    async fn restore_tree(
        &self,
        criu: WaitingRestore,
        tree: Tree,
        files: &ImageFiles,
        changed: impl Future<Output = Result<(), CriuError>>,
        pages: Pages,
        touched: &Touched,
    ) -> Result<Paging, CriuError> {
        let images = files.directory();
        let plan = Plan::read(images, &pages)?;
        let can_be_lazy = self.fit().await?.version >= LAZY_NEEDED;
        if can_be_lazy && plan.lazy_bytes() >= self.config.lazy_from_bytes.max(1) {
            let mut lazy = LazyPages::start(images, &plan, touched)?;
            let laid_out = async {
                let (changed, needed) = tokio::join!(changed, plan.lay_out_needed(&pages, files));
                changed.and(needed)
            };
            // As long as `lazy` is there: what it has not put in is read as zeroes when it is dropped.
            let restored = Box::pin(self.restore_ahead(criu, tree, images, &mut lazy, laid_out));
            or_killed(tree, None, restored).await?;
            return Ok(lazy.guard(tree, files));
        }
        changed.await?;
        lay_out_pages(&pages, files).await?;
        self.config.steps.done(Step::MemoryLaidOut);
        let restored = async {
            tokio::select! {
                biased;
                restored = criu.restore(images, false) => restored?,
                () = tree.root_ended() => return Err(root_was_killed()),
            }
            files.remove()
        };
        or_killed(tree, None, restored).await?;
        Ok(Paging::complete())
    }

    /// Runs the processes in `images` ahead of the memory that `lazy` puts in. CRIU begins while `laid_out` lays out the
    /// files that they have open and the memory that it reads itself.
    async fn restore_ahead(
        &self,
        criu: WaitingRestore,
        tree: Tree,
        images: &Path,
        lazy: &mut LazyPages,
        laid_out: impl Future<Output = Result<(), CriuError>>,
    ) -> Result<(), CriuError> {
        let mut restore = pin!(criu.restore(images, true));
        tokio::select! {
            biased;
            // It fails before it would wait.
            restored = &mut restore => return restored,
            laid_out = laid_out => match laid_out {
                Ok(()) => lazy.admit(),
                // CRIU finds nobody to connect to.
                Err(error) => {
                    lazy.close();
                    drop(restore.await);
                    return Err(error);
                }
            },
        }
        self.config.steps.done(Step::MemoryLaidOut);
        let lost = tokio::select! {
            biased;
            restored = &mut restore => match restored {
                Ok(()) => return Ok(()),
                // Without anybody who puts pages in CRIU fails as well, and does not know why.
                Err(error) => return Err(lazy.lost().now_or_never().unwrap_or(error)),
            },
            lost = lazy.lost() => lost,
            () = tree.root_ended() => root_was_killed(),
        };
        // It may wait for a page that never comes: it ends with what it has made, or is killed when it is let go of.
        let ended = async {
            loop {
                tree.kill().await;
                if tokio::time::timeout(LOOK, &mut restore).await.is_ok() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(CRIU_ENDS, ended).await;
        Err(lost)
    }
}

/// Of a root that ends meanwhile CRIU does not hear, since it is not its child, and it waits for it for ever.
fn root_was_killed() -> CriuError {
    CriuError::Restore {
        message: "the first process of the sandbox was killed meanwhile; it may be out of memory".to_owned(),
    }
}

/// What `reached` gives. When nobody is reached since memory cannot be had, that is said.
async fn unless_lost<T>(
    pages: &Paging,
    reached: impl Future<Output = Result<T, SandboxError>>,
) -> Result<T, SandboxError> {
    match reached.await {
        Ok(reached) => Ok(reached),
        Err(error) => {
            pages.done().await?;
            Err(error)
        }
    }
}
