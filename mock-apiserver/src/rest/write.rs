//! What a write may change, and in whose name it does so.

use crate::api::options::WriteOptions;
use crate::catalog::Resource;
use crate::fields::{Manager, Operation};
use crate::schema::Nulls;

/// Which part of the object a request may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Everything but the status (where that is a subresource).
    Main,
    /// The status only.
    Status,
    /// The finalizers of a namespace's spec only.
    Finalize,
    /// The ephemeral containers of a pod only.
    EphemeralContainers,
    /// The resources of a pod's containers only.
    Resize,
}

/// How a write goes about it, and in whose name.
#[derive(Debug, Clone)]
pub(super) struct Write {
    pub(super) part: Part,
    pub(super) manager: Manager,
    pub(super) dry_run: bool,
    /// Admission and ownership have been settled already, on the object of a subresource such as `scale`.
    pub(super) admitted: bool,
}

impl Write {
    pub(super) fn new(resource: &Resource, part: Part, operation: Operation, options: &WriteOptions) -> Self {
        let subresource = match part {
            Part::Main => "",
            Part::Status => "status",
            Part::Finalize => "finalize",
            Part::EphemeralContainers => "ephemeralcontainers",
            Part::Resize => "resize",
        };
        let name = if options.field_manager.is_empty() {
            "unknown"
        } else {
            &options.field_manager
        };
        let manager = Manager {
            name: name.to_owned(),
            operation,
            api_version: resource.api_version(),
            subresource: subresource.to_owned(),
        };
        Self {
            part,
            manager,
            dry_run: options.dry_run,
            admitted: false,
        }
    }
}

impl Write {
    /// What becomes of nulls that the schema does not allow.
    pub(super) fn nulls(&self) -> Nulls {
        match self.manager.operation {
            Operation::Apply => Nulls::Keep,
            Operation::Update => Nulls::Drop,
        }
    }
}
