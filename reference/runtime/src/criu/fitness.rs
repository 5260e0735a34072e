//! What was found out about CRIU and the kernel below it: kept in checkpoints, so that a resume on the same boot of
//! the same kernel need not find it out again.
//!
//! CRIU itself keeps what it knows of a kernel in a file, which a new container does not have. It believes such a file
//! only from the very program that wrote it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::command::Version;
use super::error::CriuError;

/// Where CRIU keeps what it knows of the kernel.
pub(super) const KERNEL_DATA: &str = "/run/criu.kdat";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// CRIU can do what is needed here; this is what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fitness {
    pub(super) version: Version,
    /// The boot of the machine on which it was found out.
    boot: String,
    /// What CRIU keeps of it; empty if it kept nothing.
    kernel_data: Bytes,
}

impl Fitness {
    /// What was found out just now.
    pub(super) fn found(version: Version) -> Self {
        Self {
            version,
            boot: boot().unwrap_or_default(),
            kernel_data: fs::read(KERNEL_DATA).unwrap_or_default().into(),
        }
    }

    /// Whether it was found out on this boot of this machine, and all of it is known.
    pub(super) fn holds_here(&self) -> bool {
        let here = boot().unwrap_or_default();
        !here.is_empty() && here == self.boot && !self.kernel_data.is_empty()
    }

    /// Gives CRIU what it knew.
    pub(super) fn recall(&self) -> Result<(), CriuError> {
        let path = Path::new(KERNEL_DATA);
        let file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path);
        let written = file.and_then(|mut file| file.write_all(&self.kernel_data));
        written.map_err(CriuError::file("write", path))
    }
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string(BOOT_ID)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_out_holds_on_this_boot_alone_and_only_when_all_of_it_is_known() {
        let found = Fitness {
            kernel_data: Bytes::from_static(b"known"),
            ..Fitness::found(Version::NEEDED)
        };
        assert!(found.holds_here());
        let of_another_boot = Fitness {
            boot: "00000000-0000-0000-0000-000000000000".to_owned(),
            ..found.clone()
        };
        assert!(!of_another_boot.holds_here());
        let without_data = Fitness {
            kernel_data: Bytes::new(),
            ..found
        };
        assert!(!without_data.holds_here());
    }
}
