//! Keeps the store on disk: every write is in a file before it is acknowledged.
//!
//! ```text
//!  start:  snapshot.jsonl ─▶ objects ◀─ journal.jsonl (records after the snapshot; a torn tail is cut)
//!          then a new snapshot, and an empty journal
//!  write:  record ─▶ journal.jsonl ─▶ acknowledged
//! ```
//!
//! A process that is killed loses nothing that it acknowledged. The records are handed to the
//! operating system and not synced one by one, so a loss of power may take the last of them; the
//! snapshot is synced. What cannot be read is refused with its place, and nothing is overwritten.

mod record;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::store::{Change, Event};
pub(crate) use record::Record;
use record::SnapshotHeader;
use serde::Serialize;

const FORMAT: u32 = 1;
const SNAPSHOT: &str = "snapshot.jsonl";
const JOURNAL: &str = "journal.jsonl";
/// A journal is folded into a new snapshot when it outgrows the last one, but not below this many bytes.
const FOLD_BYTES: u64 = 16 << 20;

/// Why a durable server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file or folder cannot be used.
    #[error("{attempt} {path}")]
    File {
        /// What was attempted.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another server uses the folder.
    #[error("the folder {path} is in use by another server")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file is damaged in a way that no interrupted write explains.
    #[error("{path} is damaged at byte {offset}: restore it from a copy, or move the folder away to start empty")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: usize,
    },
    /// The snapshot is of another version.
    #[error("{path} has format {found}, and this version reads format {FORMAT}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// An object cannot be written as JSON.
    #[error("write an object as JSON")]
    Json(#[from] serde_json::Error),
}

/// What was found at the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The revision of the last write that was kept.
    pub revision: u64,
    /// Writes that were read, from the snapshot and from the journal.
    pub records: usize,
    /// Bytes of a write that was interrupted before it was acknowledged, cut off.
    pub cut_bytes: usize,
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
    file: File,
    bytes: u64,
    snapshot_bytes: u64,
    failure: Option<String>,
    _lock: File,
}

impl Journal {
    /// Opens the journal of a folder, making it if needed, and reads what it holds, oldest first.
    pub(crate) fn open(dir: &Path) -> Result<(Self, Vec<Record>, Recovery), JournalError> {
        fs::create_dir_all(dir).map_err(at("make", dir))?;
        let lock = lock(dir)?;
        let (floor, mut records) = read_snapshot(&dir.join(SNAPSHOT))?;
        let path = dir.join(JOURNAL);
        let (written, kept, cut_bytes) = read_journal(&path)?;
        records.extend(written.into_iter().filter(|record| record.revision > floor));
        let mut options = OpenOptions::new();
        let file = options
            .create(true)
            .append(true)
            .open(&path)
            .map_err(at("open", &path))?;
        file.set_len(kept).map_err(at("cut", &path))?;
        let revision = records.last().map_or(floor, |record| record.revision.max(floor));
        let recovery = Recovery {
            revision,
            records: records.len(),
            cut_bytes,
        };
        let journal = Self {
            dir: dir.to_owned(),
            file,
            bytes: kept,
            snapshot_bytes: 0,
            failure: None,
            _lock: lock,
        };
        Ok((journal, records, recovery))
    }

    /// Writes a change down. After a failure nothing more is written: [`failure`](Self::failure) says why.
    pub(crate) fn append(&mut self, collection: &str, change: &Change) {
        if self.failure.is_some() {
            return;
        }
        let object = match change.event {
            Event::Added | Event::Modified => Some(&*change.object),
            Event::Deleted => None,
        };
        let record = Record {
            revision: change.revision,
            collection: collection.to_owned(),
            namespace: change.name.namespace.clone(),
            name: change.name.name.clone(),
            object,
        };
        let written = record::encode(&record).map_err(io::Error::from).and_then(|line| {
            self.file.write_all(&line)?;
            self.bytes += line.len() as u64;
            Ok(())
        });
        if let Err(error) = written {
            self.failure = Some(format!("write {}: {error}", self.dir.join(JOURNAL).display()));
        }
    }

    /// Why writes cannot be kept any more, once that is so.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Whether the journal has grown so that a new snapshot is due.
    pub(crate) fn is_long(&self) -> bool {
        self.bytes > FOLD_BYTES.max(self.snapshot_bytes)
    }

    /// Replaces the snapshot by the present state and empties the journal. A crash at any point
    /// leaves the old state or the new: records that the new snapshot holds are passed over.
    pub(crate) fn fold(&mut self, revision: u64, objects: &[impl Serialize]) -> Result<(), JournalError> {
        let path = self.dir.join(SNAPSHOT);
        let staged = self.dir.join("snapshot.new");
        let header = SnapshotHeader {
            format: FORMAT,
            revision,
            objects: objects.len(),
        };
        let mut text = record::encode(&header)?;
        for object in objects {
            text.extend(record::encode(object)?);
        }
        let written = File::create(&staged).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written.map_err(at("write", &staged))?;
        fs::rename(&staged, &path).map_err(at("replace", &path))?;
        let folder = File::open(&self.dir).and_then(|folder| folder.sync_all());
        folder.map_err(at("sync", &self.dir))?;
        self.file.set_len(0).map_err(at("empty", &self.dir.join(JOURNAL)))?;
        self.bytes = 0;
        self.snapshot_bytes = text.len() as u64;
        Ok(())
    }

    /// Like [`fold`](Self::fold), for a server that runs: a failure ends its writes.
    pub(crate) fn fold_or_fail(&mut self, revision: u64, objects: &[impl Serialize]) {
        if let Err(error) = self.fold(revision, objects) {
            self.failure = Some(error.to_string());
        }
    }
}

fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join("lock");
    let lock = File::create(&path).map_err(at("write", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(JournalError::File {
            attempt: "lock",
            path,
            source,
        }),
    }
}

fn at(attempt: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::File { attempt, path, source }
}

fn read(path: &Path) -> Result<Vec<u8>, JournalError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(at("read", path)),
    }
}

/// The revision of the snapshot and its objects. A snapshot is whole or absent, so any damage is refused.
fn read_snapshot(path: &Path) -> Result<(u64, Vec<Record>), JournalError> {
    let text = read(path)?;
    let damaged = |offset| JournalError::Damaged {
        path: path.to_owned(),
        offset,
    };
    let mut lines = Lines::new(&text);
    let Some((_, first)) = lines.next() else {
        return Ok((0, Vec::new()));
    };
    let header: SnapshotHeader = record::decode(first).ok_or_else(|| damaged(0))?;
    if header.format != FORMAT {
        return Err(JournalError::Format {
            path: path.to_owned(),
            found: header.format,
        });
    }
    let mut records = Vec::with_capacity(header.objects);
    for (offset, line) in lines {
        records.push(record::decode(line).ok_or_else(|| damaged(offset))?);
    }
    if records.len() == header.objects {
        Ok((header.revision, records))
    } else {
        Err(damaged(text.len()))
    }
}

/// The records of a journal, the bytes that hold them, and the bytes of a torn tail behind them.
fn read_journal(path: &Path) -> Result<(Vec<Record>, u64, usize), JournalError> {
    let text = read(path)?;
    let mut records = Vec::new();
    let mut lines = Lines::new(&text);
    while let Some((offset, line)) = lines.next() {
        match record::decode(line) {
            Some(record) if text.get(offset + line.len()) == Some(&b'\n') => records.push(record),
            // An interrupted write is the last thing in the file.
            Some(_) | None if lines.all(|(_, later)| record::decode::<Record>(later).is_none()) => {
                return Ok((records, offset as u64, text.len() - offset));
            }
            Some(_) | None => {
                return Err(JournalError::Damaged {
                    path: path.to_owned(),
                    offset,
                });
            }
        }
    }
    Ok((records, text.len() as u64, 0))
}

/// Lines with the offsets at which they begin.
struct Lines<'a> {
    text: &'a [u8],
    offset: usize,
}

impl<'a> Lines<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, offset: 0 }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.text.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let line = rest.split(|byte| *byte == b'\n').next()?;
        let begin = self.offset;
        self.offset += line.len() + 1;
        Some((begin, line))
    }
}

#[cfg(test)]
mod tests;
