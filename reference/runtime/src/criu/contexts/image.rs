//! What a checkpoint has of the contexts. Their kernels are in it as the processes that they are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Context, Contexts, Table};
use crate::criu::client::InitClient;
use crate::criu::kernel::Lines;
use crate::engine::ContextId;

/// The written form.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::criu) struct ContextsImage {
    default: ContextId,
    contexts: BTreeMap<ContextId, ContextImage>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ContextImage {
    cwd: String,
    kernel: Option<u32>,
    next_execution: u64,
    partial: Bytes,
}

impl Contexts {
    /// Those of a checkpoint. Executions that were under way have nobody who waits for them any more.
    pub(in crate::criu) fn restored(client: InitClient, script: PathBuf, image: ContextsImage) -> Self {
        let context = |(id, image): (ContextId, ContextImage)| {
            let context = Context {
                kernel: image.kernel,
                next_execution: image.next_execution,
                lines: Lines::begun_with(&image.partial),
                ..Context::new(&image.cwd)
            };
            (id, context)
        };
        Self {
            client,
            script,
            table: Arc::new(Mutex::new(Table {
                default: image.default,
                contexts: image.contexts.into_iter().map(context).collect(),
            })),
        }
    }

    /// The written form of what there is now.
    pub(in crate::criu) fn image(&self) -> ContextsImage {
        let table = self.table();
        let context = |(id, context): (&ContextId, &Context)| {
            let image = ContextImage {
                cwd: context.cwd.clone(),
                kernel: context.kernel,
                next_execution: context.next_execution,
                partial: Bytes::copy_from_slice(context.lines.partial()),
            };
            (id.clone(), image)
        };
        ContextsImage {
            default: table.default.clone(),
            contexts: table.contexts.iter().map(context).collect(),
        }
    }
}
