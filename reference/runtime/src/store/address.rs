//! Which store a URL names.

use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use url::Url;

use super::StoreError;
use super::directory::Directory;
use super::objects::{Objects, backend};

/// Opens what `url` names; makes the directory of a `file` URL.
pub(super) fn open(url: &str) -> Result<Objects, StoreError> {
    let refuse = |reason: String| StoreError::Url {
        url: url.to_owned(),
        reason,
    };
    let parsed = Url::parse(url).map_err(|error| refuse(error.to_string()))?;
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(refuse("it has a query or a fragment".to_owned()));
    }
    match parsed.scheme() {
        "memory" if matches!(parsed.path(), "" | "/") && parsed.host().is_none() => {
            Ok(Objects::new(Arc::new(InMemory::new()), None))
        }
        "memory" => Err(refuse("a store in memory has no name".to_owned())),
        "file" => {
            let root = parsed
                .to_file_path()
                .map_err(|()| refuse("it names no path on this machine".to_owned()))?;
            let directory = Directory::create(root)?;
            let store = LocalFileSystem::new_with_prefix(directory.root())
                .map_err(|source| backend("open", &Path::ROOT, source))?
                .with_fsync(true);
            Ok(Objects::new(Arc::new(store), Some(directory)))
        }
        other => Err(refuse(format!("the scheme {other:?} is not supported"))),
    }
}
