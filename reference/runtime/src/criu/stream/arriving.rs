//! One image on its way from CRIU: small ones are read while one looks for others, large ones by a thread of their own.
//!
//! ```text
//!  Open ──its end──▶ Whole
//!    └──more than is small, or pages──▶ Large ──its end──▶ a part of a draft
//! ```

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, Scope, ScopedJoinHandle};

use rustix::io::ioctl_fionbio;
use rustix::pipe::fcntl_setpipe_size;

use super::backlog::backlog_of;
use crate::chunks::Grain;
use crate::criu::image::grain_of;
use crate::payload::Payload;
use crate::store::Draft;

/// An image up to this size stays in memory.
const SMALL_IMAGE_BYTES: u64 = 256 << 10;
/// For pages, as much as anybody may have in a pipe: processes are woken once for so much.
pub(super) const PIPE_BYTES: usize = 1 << 20;

/// An image on its way.
pub(super) enum Image<'scope> {
    /// Small so far.
    Open { pipe: File, bytes: Vec<u8> },
    /// All of it.
    Whole(Vec<u8>),
    /// Read by a thread of its own.
    Large(ScopedJoinHandle<'scope, io::Result<Payload>>),
}

impl<'scope> Image<'scope> {
    /// One that CRIU has begun to write to `pipe`.
    pub(super) fn begun(
        name: &str,
        pipe: OwnedFd,
        draft: &'scope Arc<Draft>,
        scope: &'scope Scope<'scope, '_>,
    ) -> io::Result<Self> {
        match grain_of(name) {
            Grain::Aligned => {
                // A smaller one does as well, more slowly.
                let _ = fcntl_setpipe_size(&pipe, PIPE_BYTES);
                Self::large(Grain::Aligned, Vec::new(), pipe.into(), draft, scope)
            }
            Grain::Byte => {
                ioctl_fionbio(&pipe, true)?;
                Ok(Self::Open {
                    pipe: pipe.into(),
                    bytes: Vec::new(),
                })
            }
        }
    }

    fn large(
        grain: Grain,
        head: Vec<u8>,
        pipe: File,
        draft: &'scope Arc<Draft>,
        scope: &'scope Scope<'scope, '_>,
    ) -> io::Result<Self> {
        let thread = thread::Builder::new().name("criu-image".to_owned());
        let read = move || read_image(grain, head, pipe, draft);
        Ok(Self::Large(thread.spawn_scoped(scope, read)?))
    }

    /// Reads what there is; says whether more is looked for here.
    pub(super) fn go_on(&mut self, draft: &'scope Arc<Draft>, scope: &'scope Scope<'scope, '_>) -> io::Result<bool> {
        let Self::Open { pipe, bytes } = self else {
            return Ok(false);
        };
        let room = SMALL_IMAGE_BYTES + 1 - bytes.len() as u64;
        match pipe.by_ref().take(room).read_to_end(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            done => done?,
        };
        let bytes = std::mem::take(bytes);
        *self = if bytes.len() as u64 > SMALL_IMAGE_BYTES {
            ioctl_fionbio(&*pipe, false)?;
            Self::large(Grain::Byte, bytes, pipe.try_clone()?, draft, scope)?
        } else {
            Self::Whole(bytes)
        };
        Ok(false)
    }

    /// All of it, once CRIU has ended it.
    pub(super) fn end(self) -> io::Result<Payload> {
        match self {
            Self::Whole(bytes) => Ok(bytes.into()),
            Self::Open { .. } => Err(ErrorKind::UnexpectedEof.into()),
            Self::Large(thread) => {
                let read = thread.join();
                read.map_err(|_| io::Error::other("an image was not read to its end"))?
            }
        }
    }
}

fn read_image(grain: Grain, mut head: Vec<u8>, mut pipe: File, draft: &Arc<Draft>) -> io::Result<Payload> {
    let room = (SMALL_IMAGE_BYTES + 1).saturating_sub(head.len() as u64);
    pipe.by_ref().take(room).read_to_end(&mut head)?;
    if head.len() as u64 <= SMALL_IMAGE_BYTES {
        return Ok(head.into());
    }
    if grain == Grain::Aligned
        && let Ok((mover, backlog)) = backlog_of(&pipe)
    {
        let taken = thread::scope(|scope| {
            let thread = thread::Builder::new().name("criu-pages".to_owned());
            let moving = thread.spawn_scoped(scope, || mover.run());
            moving.is_ok().then(|| draft.take(grain, &head, backlog))
        });
        if let Some(taken) = taken {
            return taken;
        }
    }
    // More slowly: what is read is not read ahead.
    draft.take(grain, &head, pipe)
}
