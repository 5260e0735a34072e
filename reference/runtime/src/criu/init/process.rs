//! One process of init: its output goes to whoever listens, its input comes from a queue.
//!
//! ```text
//!  running ──exit──▶ rest of the output ──▶ Exited to every listener ──▶ pipes drained until they close
//! ```
//!
//! Output that is kept waits in the pipe, and so holds the process up, until somebody listens.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

use super::protocol::Reply;
use crate::engine::Exit;

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// What becomes of one process.
pub(super) struct ProcessTask {
    pub(super) keep_output: bool,
    pub(super) outputs: Vec<Output>,
    pub(super) listeners: Vec<mpsc::Sender<Reply>>,
    pub(super) joining: mpsc::UnboundedReceiver<mpsc::Sender<Reply>>,
    pub(super) exit: oneshot::Receiver<Exit>,
}

/// A stream that a process writes to.
pub(super) struct Output {
    pub(super) pipe: pipe::Receiver,
    pub(super) label: fn(Bytes) -> Reply,
}

impl Output {
    /// What was written next; `None` at the end. A terminal ends with an error when its process is gone.
    async fn next(&mut self) -> Option<Bytes> {
        let mut buffer = BytesMut::with_capacity(CHUNK);
        match self.pipe.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(buffer.freeze()),
        }
    }

    /// What has been written already.
    fn rest(&mut self) -> Option<Bytes> {
        let mut buffer = BytesMut::with_capacity(CHUNK);
        match self.pipe.try_read_buf(&mut buffer) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(buffer.freeze()),
        }
    }
}

impl ProcessTask {
    /// Runs until the process has ended and its pipes are closed. `ended` is called when listeners know.
    pub(super) async fn run(mut self, ended: impl FnOnce()) {
        let mut exit = None;
        while exit.is_none() || (self.keep_output && self.listeners.is_empty()) {
            let ready = !(self.keep_output && self.listeners.is_empty());
            tokio::select! {
                Some(listener) = self.joining.recv() => self.listeners.push(listener),
                Some((index, chunk)) = next_of(&mut self.outputs), if ready && !self.outputs.is_empty() => match chunk {
                    Some(chunk) => self.deliver(index, chunk).await,
                    None => drop(self.outputs.remove(index)),
                },
                code = &mut self.exit, if exit.is_none() => exit = Some(code.unwrap_or(Exit::Code(-1))),
            }
        }
        for index in 0..self.outputs.len() {
            while let Some(chunk) = self.outputs[index].rest() {
                self.deliver(index, chunk).await;
            }
        }
        ended();
        while let Ok(listener) = self.joining.try_recv() {
            self.listeners.push(listener);
        }
        for listener in &self.listeners {
            // One that has gone does not miss it.
            let _ = listener.send(Reply::Exited(exit.unwrap_or(Exit::Code(-1)))).await;
        }
        self.drain().await;
    }

    /// To every listener; kept output that none took waits for the next one.
    async fn deliver(&mut self, index: usize, chunk: Bytes) {
        let label = self.outputs[index].label;
        loop {
            let mut taken = Vec::new();
            for listener in std::mem::take(&mut self.listeners) {
                if listener.send(label(chunk.clone())).await.is_ok() {
                    taken.push(listener);
                }
            }
            self.listeners = taken;
            if !self.keep_output || !self.listeners.is_empty() {
                return;
            }
            match self.joining.recv().await {
                Some(listener) => self.listeners.push(listener),
                None => return,
            }
        }
    }

    /// What the process left running may write on; nobody listens any more.
    async fn drain(mut self) {
        self.listeners.clear();
        while !self.outputs.is_empty() {
            if let Some((index, None)) = next_of(&mut self.outputs).await {
                self.outputs.remove(index);
            }
        }
    }
}

/// The next output of any stream, by its index.
async fn next_of(outputs: &mut [Output]) -> Option<(usize, Option<Bytes>)> {
    match outputs {
        [] => None,
        [one] => Some((0, one.next().await)),
        [one, two, ..] => Some(tokio::select! {
            chunk = one.next() => (0, chunk),
            chunk = two.next() => (1, chunk),
        }),
    }
}

/// Writes what is queued, in order, until the queue is closed.
pub(super) async fn feed(mut stdin: pipe::Sender, mut queue: mpsc::UnboundedReceiver<Bytes>) {
    while let Some(data) = queue.recv().await {
        if stdin.write_all(&data).await.is_err() {
            return;
        }
    }
}
