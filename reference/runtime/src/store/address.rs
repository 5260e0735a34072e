//! Which store a URL names, and with which settings and keys.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use torpor_api::env;
use url::Url;

use super::StoreError;
use super::directory::Directory;
use super::objects::{Objects, backend};
use crate::encryption::TenantKeys;

/// Environment variables by their names.
pub(super) type Environment = BTreeMap<String, String>;

/// Opens what `url` names; makes the directory of a `file` URL.
pub(super) fn open(url: &str, environment: &Environment) -> Result<Objects, StoreError> {
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
        "s3" | "gs" | "az" if parsed.host().is_none() => Err(refuse("it names no bucket or container".to_owned())),
        #[cfg(feature = "cloud")]
        "s3" | "gs" | "az" => {
            let opened = super::cloud::open(&parsed, environment);
            let store = opened.map_err(|source| StoreError::Settings {
                url: url.to_owned(),
                source: source.into(),
            })?;
            Ok(Objects::new(store, None))
        }
        other => {
            // Read by stores in a cloud alone.
            let _ = environment;
            Err(refuse(format!("the scheme {other:?} is not supported")))
        }
    }
}

/// The keys of the tenant that the environment gives; none when it does not.
pub(super) fn keys(environment: &Environment) -> Result<TenantKeys, StoreError> {
    let parse = |variable, text: &str| TenantKeys::parse(text).map_err(|source| StoreError::Keys { variable, source });
    match (environment.get(env::STORE_KEYS), environment.get(env::STORE_KEYS_FILE)) {
        (Some(text), _) => parse(env::STORE_KEYS, text),
        (None, Some(path)) => {
            let text = fs::read_to_string(path).map_err(|source| StoreError::KeysFile {
                variable: env::STORE_KEYS_FILE,
                path: path.into(),
                source,
            })?;
            parse(env::STORE_KEYS_FILE, &text)
        }
        (None, None) => Ok(TenantKeys::default()),
    }
}

/// The quota that the environment gives, in bytes; none when it does not.
pub(super) fn quota(environment: &Environment) -> Result<Option<u64>, StoreError> {
    let parse = |text: &String| {
        text.trim().parse().map_err(|_| StoreError::QuotaSetting {
            variable: env::STORE_QUOTA,
            text: text.clone(),
        })
    };
    environment.get(env::STORE_QUOTA).map(parse).transpose()
}
