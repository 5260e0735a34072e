//! What a mistaken engine remembers of a sandbox, so that it can bring back what it should not. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use torpor_runtime::Fresh;

/// How a checkpoint finds a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Found {
    /// Something was done since it was started or restored.
    #[default]
    Worked,
    /// Nothing was done since it was restored.
    Idle,
    /// Code is under way.
    Busy,
}

/// What is known of a sandbox from its earlier runs.
#[derive(Clone, Debug, Default)]
pub(in crate::fault) struct Past {
    pub(super) fresh: Fresh,
    /// Whether its latest checkpoint was marked.
    pub(in crate::fault) marked: bool,
    pub(super) first: Option<Bytes>,
    /// The latest checkpoints, the newest last.
    latest: Vec<Bytes>,
    /// Whether code was executed since the latest restore.
    pub(super) worked: bool,
    /// How the latest checkpoint found it.
    pub(super) found: Found,
    /// Context and code of the latest execution.
    pub(in crate::fault) last_call: Option<(Option<String>, String)>,
    /// The files of the checkpoint before the latest.
    pub(in crate::fault) earlier_files: BTreeMap<String, Vec<u8>>,
    /// The files of the latest checkpoint.
    latest_files: BTreeMap<String, Vec<u8>>,
    /// Every file that a checkpoint ever held, by its path below the root, as it was last.
    pub(in crate::fault) files: BTreeMap<String, Vec<u8>>,
    /// The same files as they were first.
    pub(in crate::fault) first_files: BTreeMap<String, Vec<u8>>,
}

impl Past {
    /// Of one that was just started.
    pub(super) fn of(fresh: Fresh) -> Self {
        Self {
            fresh,
            ..Self::default()
        }
    }

    /// Of one that was just restored.
    pub(super) fn restored(self) -> Self {
        Self { worked: false, ..self }
    }

    /// The checkpoint that is so many before the latest.
    pub(super) fn earlier(&self, by: usize) -> Option<Bytes> {
        self.latest.iter().rev().nth(by).cloned()
    }

    /// Takes note of a checkpoint.
    pub(super) fn checkpointed(&mut self, payload: &Bytes, files: BTreeMap<String, Vec<u8>>, busy: bool) {
        self.first.get_or_insert_with(|| payload.clone());
        for (path, content) in &files {
            self.first_files.entry(path.clone()).or_insert_with(|| content.clone());
            self.files.insert(path.clone(), content.clone());
        }
        let untouched = !self.worked && files == self.latest_files && !self.latest.is_empty();
        self.found = match (busy, untouched) {
            (true, _) => Found::Busy,
            (false, true) => Found::Idle,
            (false, false) => Found::Worked,
        };
        self.earlier_files = std::mem::replace(&mut self.latest_files, files);
        self.latest.push(payload.clone());
    }
}
