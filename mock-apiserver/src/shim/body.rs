//! The body of a response: complete or streamed.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

type Chunks = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// How many bytes of a text in pieces are joined to be sent at once.
const CHUNK: usize = 256 * 1024;

enum Content {
    Whole(Option<Bytes>),
    Pieces(Pieces),
    Stream(Chunks),
}

/// A text that is joined as it is sent, so that it is never in memory as a whole.
struct Pieces {
    rest: std::vec::IntoIter<Bytes>,
    /// The bytes of what is left.
    bytes: usize,
}

impl Pieces {
    fn next(&mut self) -> Option<Bytes> {
        let mut chunk = Vec::with_capacity(CHUNK.min(self.bytes));
        while chunk.len() < CHUNK
            && let Some(piece) = self.rest.next()
        {
            chunk.extend_from_slice(&piece);
        }
        self.bytes -= chunk.len();
        (!chunk.is_empty()).then(|| chunk.into())
    }
}

/// The body of a response.
pub struct ResponseBody(Content);

impl ResponseBody {
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self(Content::Whole(Some(bytes)))
    }

    pub(super) fn pieces(pieces: Vec<Bytes>) -> Self {
        let bytes = pieces.iter().map(Bytes::len).sum();
        let rest = pieces.into_iter();
        Self(Content::Pieces(Pieces { rest, bytes }))
    }

    pub(super) fn stream(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self(Content::Stream(Box::pin(chunks)))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut self.0 {
            Content::Whole(bytes) => Poll::Ready(bytes.take()),
            Content::Pieces(pieces) => Poll::Ready(pieces.next()),
            Content::Stream(chunks) => chunks.poll_next_unpin(cx),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Pieces(pieces) => pieces.bytes == 0,
            Content::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Content::Pieces(pieces) => SizeHint::with_exact(pieces.bytes as u64),
            Content::Stream(_) => SizeHint::default(),
        }
    }
}
