//! The data directory: what it holds, that one process uses it, and the files that tell clients where to connect.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use url::Url;

/// An API key in the form that every SDK generation accepts. The embedded gateway takes any key.
const API_KEY: &str = "e2b_0000000000000000000000000000000000000000";
/// Written when everything is ready, removed at the end.
const CONNECTION_FILES: [&str; 3] = ["kubeconfig", "env", "env.beta"];

/// Where clients reach the control plane.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// The Kubernetes API.
    pub kubernetes: Url,
    /// The E2B API, and the data plane for current SDKs.
    pub e2b: Url,
    /// The Prometheus page.
    pub metrics: Url,
}

/// A data directory that this process has to itself.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Opens or makes the directory, and removes connection files that a killed process left behind.
    ///
    /// # Errors
    /// The directory cannot be written, or another process uses it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("make the data directory {}", path.display()))?;
        let path = path
            .canonicalize()
            .with_context(|| format!("find the data directory {}", path.display()))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).with_context(|| format!("write {}", lock_path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "the data directory {} is in use by another torpor; choose another with --data-dir DIR",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", lock_path.display()));
            }
        }
        let dir = Self { path, _lock: lock };
        dir.remove_connection_files();
        Ok(dir)
    }

    /// The directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where checkpoints are.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// The checkpoint store as agents open it.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub fn store_url(&self) -> anyhow::Result<String> {
        let path = self.checkpoints();
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        match Url::from_directory_path(&path) {
            Ok(url) => Ok(url.to_string()),
            Err(()) => bail!("the path {} has no URL form", path.display()),
        }
    }

    /// A directory for the files of running sandboxes, empty at the start: what ran before is gone.
    ///
    /// # Errors
    /// The directory cannot be emptied or made.
    pub fn run_dir(&self) -> anyhow::Result<PathBuf> {
        let path = self.path.join("run");
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("empty {}", path.display()));
            }
            Ok(()) | Err(_) => {}
        }
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(path)
    }

    /// The secret that sandbox tokens are derived from; made once, readable by its owner alone.
    ///
    /// # Errors
    /// The file cannot be read or written, or does not hold 32 bytes.
    pub fn token_key(&self) -> anyhow::Result<[u8; 32]> {
        let path = self.path.join("token.key");
        match fs::read(&path) {
            Ok(bytes) => match <[u8; 32]>::try_from(bytes) {
                Ok(key) => Ok(key),
                Err(bytes) => bail!(
                    "{} holds {} bytes instead of 32; remove it to make a new one (tokens of existing sandboxes change)",
                    path.display(),
                    bytes.len()
                ),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key: [u8; 32] = rand::random();
                write_private(&path, &key).with_context(|| format!("write {}", path.display()))?;
                Ok(key)
            }
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Writes `kubeconfig`, `env` (current E2B SDKs) and `env.beta` (E2B SDKs before 2.23).
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write_connection_files(&self, endpoints: &Endpoints, kubeconfig: &str) -> anyhow::Result<()> {
        let e2b = endpoints.e2b.as_str().trim_end_matches('/');
        let env = |debug: bool| {
            format!(
                "export E2B_API_KEY={API_KEY}\nexport E2B_API_URL={e2b}\nexport E2B_SANDBOX_URL={e2b}\n\
                 export E2B_DEBUG={debug}\nexport NO_PROXY=\"${{NO_PROXY:+$NO_PROXY,}}localhost,127.0.0.1\"\n\
                 export TORPOR_METRICS_URL={metrics}\n",
                metrics = endpoints.metrics
            )
        };
        let contents = [kubeconfig.to_owned(), env(false), env(true)];
        for (name, content) in CONNECTION_FILES.into_iter().zip(contents) {
            let path = self.path.join(name);
            // A reader that waits for the file must never see half of it.
            let staged = self.path.join(format!(".{name}.new"));
            fs::write(&staged, content)
                .and_then(|()| fs::rename(&staged, &path))
                .with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }

    /// Removes the connection files; whoever finds none knows that nothing listens.
    pub fn remove_connection_files(&self) {
        for name in CONNECTION_FILES {
            // Gone already is as good.
            let _ = fs::remove_file(self.path.join(name));
        }
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints() -> Endpoints {
        let url = |text: &str| Url::parse(text).expect("a url");
        Endpoints {
            kubernetes: url("http://127.0.0.1:1"),
            e2b: url("http://localhost:2"),
            metrics: url("http://127.0.0.1:3/metrics"),
        }
    }

    #[test]
    fn a_directory_in_use_is_refused_by_name() {
        let temp = tempfile::tempdir().expect("a directory");
        let _held = DataDir::open(temp.path()).expect("the first");
        let refused = DataDir::open(temp.path()).err().expect("the second is refused");
        assert!(refused.to_string().contains("in use by another torpor"), "{refused}");
    }

    #[test]
    fn tokens_keep_their_key_over_restarts() {
        let temp = tempfile::tempdir().expect("a directory");
        let first = DataDir::open(temp.path()).expect("opens").token_key().expect("a key");
        let second = DataDir::open(temp.path())
            .expect("opens again")
            .token_key()
            .expect("a key");
        assert_eq!(first, second);
    }

    #[test]
    fn connection_files_are_shell_exports_and_go_with_the_process() {
        let temp = tempfile::tempdir().expect("a directory");
        let dir = DataDir::open(temp.path()).expect("opens");
        dir.write_connection_files(&endpoints(), "kind: Config\n")
            .expect("written");
        let beta = fs::read_to_string(dir.path().join("env.beta")).expect("env.beta");
        assert!(beta.lines().all(|line| line.starts_with("export ")), "{beta}");
        assert!(
            beta.contains("export E2B_DEBUG=true\n") && beta.contains("E2B_API_URL=http://localhost:2\n"),
            "{beta}"
        );
        let sourced = std::process::Command::new("sh")
            .args(["-c", ". ./env && printf %s \"$NO_PROXY\""])
            .current_dir(dir.path())
            .env("NO_PROXY", ".corp.example")
            .output()
            .expect("sh runs");
        assert_eq!(
            String::from_utf8_lossy(&sourced.stdout),
            ".corp.example,localhost,127.0.0.1",
            "whoever is past the proxy already stays so"
        );
        dir.remove_connection_files();
        assert!(CONNECTION_FILES.iter().all(|name| !dir.path().join(name).exists()));
    }
}
