//! What the checkpoint store holds of a sandbox.

mod damage;

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::Fault;
use crate::target::StorageProbe;

pub(crate) use damage::{Original, damage, repair};

/// The bytes that the store holds for a sandbox.
pub(crate) async fn bytes_of(probe: &StorageProbe, namespace: &str, name: &str, uid: &str) -> Result<u64, Fault> {
    match probe {
        StorageProbe::Directory(root) => {
            let (root, uid) = (root.clone(), uid.to_owned());
            let what = format!("count bytes below {}", root.display());
            let counted = tokio::task::spawn_blocking(move || sum(&root, &uid)).await;
            counted
                .map_err(|error| Fault::harness(&what, error))?
                .map_err(|error| Fault::harness(&what, error))
        }
        StorageProbe::Command(words) => {
            ask(words, &[("{uid}", uid), ("{namespace}", namespace), ("{name}", name)]).await
        }
    }
}

fn sum(root: &Path, uid: &str) -> std::io::Result<u64> {
    let sizes = files_of(root, uid)?;
    // Files come and go while they are counted.
    let sizes = sizes.iter().filter_map(|path| path.metadata().ok());
    Ok(sizes.map(|meta| meta.len()).sum())
}

/// The files whose path holds the UID.
fn files_of(root: &Path, uid: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other?,
        };
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(path),
                Ok(_) if path.to_string_lossy().contains(uid) => files.push(path),
                Ok(_) | Err(_) => {}
            }
        }
    }
    Ok(files)
}

async fn ask(words: &[String], values: &[(&str, &str)]) -> Result<u64, Fault> {
    let filled = |word: &String| {
        values
            .iter()
            .fold(word.clone(), |word, (key, value)| word.replace(key, value))
    };
    let mut words = words.iter().map(filled);
    let program = words
        .next()
        .ok_or_else(|| Fault::Harness("the storage command is empty".to_owned()))?;
    let what = format!("run the storage command `{program}`");
    let output = Command::new(&program)
        .args(words)
        .output()
        .await
        .map_err(|error| Fault::harness(&what, error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.trim().parse() {
        Ok(bytes) if output.status.success() => Ok(bytes),
        _ => Err(Fault::Harness(format!(
            "{what}: it must print a number and succeed; it ended with {} and printed {:?} and {:?}",
            output.status,
            text.trim(),
            String::from_utf8_lossy(&output.stderr).trim()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_counts_only_the_files_of_that_sandbox() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("u-1/chunks")).unwrap();
        std::fs::write(root.path().join("u-1/chunks/x"), "1234").unwrap();
        std::fs::write(root.path().join("other"), "12").unwrap();
        let probe = StorageProbe::Directory(root.path().to_owned());
        assert_eq!(bytes_of(&probe, "n", "s", "u-1").await, Ok(4));
        assert_eq!(bytes_of(&probe, "n", "s", "u-2").await, Ok(0));
    }

    #[tokio::test]
    async fn a_command_gets_the_uid_and_must_print_a_number() {
        let probe = |script: &str| StorageProbe::Command(["sh", "-c", script].map(str::to_owned).to_vec());
        assert_eq!(
            bytes_of(&probe("test {uid} = u-1 && echo 7"), "n", "s", "u-1").await,
            Ok(7)
        );
        assert!(bytes_of(&probe("echo many"), "n", "s", "u-1").await.is_err());
    }
}
