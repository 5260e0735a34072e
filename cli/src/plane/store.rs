//! Where a control plane keeps checkpoints: its data directory, or what `--store` names.

use std::collections::BTreeMap;

use anyhow::Context as _;
use torpor_api::env;
use torpor_runtime::CheckpointStore;

use super::files::DataDir;
use crate::exit::wrong_input;

/// Variables by which clouds are set up begin like this.
const OF_CLOUDS: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];

/// A checkpoint store, by its URL and settings.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) url: String,
    /// What agents need beside the URL to open it.
    pub(super) settings: BTreeMap<String, String>,
}

impl Store {
    /// The store that `url` names, with the settings that `environment` has; else a directory in `data_dir`.
    ///
    /// # Errors
    /// Several programs could not share it, or the directory cannot be made.
    pub(super) fn choose(
        url: Option<&str>,
        environment: &BTreeMap<String, String>,
        data_dir: &DataDir,
    ) -> anyhow::Result<Self> {
        let Some(url) = url else {
            return Ok(Self {
                url: data_dir.store_url()?,
                settings: BTreeMap::new(),
            });
        };
        if url.starts_with("memory:") {
            return Err(wrong_input(format!(
                "--store {url}: a store in memory ends with the program that opens it; use file:///DIR or a bucket"
            )));
        }
        Ok(Self {
            url: url.to_owned(),
            settings: settings(environment),
        })
    }

    /// Opens it, and looks whether it answers.
    ///
    /// # Errors
    /// The URL or a setting is wrong, or it does not answer.
    pub(super) async fn open(&self) -> anyhow::Result<CheckpointStore> {
        let opened = CheckpointStore::open_in(&self.url, &self.settings);
        let store = opened.map_err(|error| {
            let why = anyhow::Error::new(error);
            wrong_input(format!("open the checkpoint store {}: {why:#}", self.url))
        })?;
        let listed = store.sandboxes().await;
        listed.with_context(|| format!("look into the checkpoint store {}", self.url))?;
        Ok(store)
    }
}

/// Under the names that are no business of code in sandboxes.
fn settings(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let setting = |(name, value): (&String, &String)| {
        if name.starts_with(env::STORE_SETTING) {
            Some((name.clone(), value.clone()))
        } else if OF_CLOUDS.iter().any(|cloud| name.starts_with(cloud)) {
            Some((format!("{}{name}", env::STORE_SETTING), value.clone()))
        } else {
            None
        }
    };
    environment.iter().filter_map(setting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        all.iter().map(owned).collect()
    }

    #[test]
    fn credentials_go_to_agents_under_names_that_code_does_not_see() {
        let environment = variables(&[
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("TORPOR_STORE_KEYS", "k:00"),
            ("PATH", "/bin"),
        ]);
        let expected = variables(&[
            ("TORPOR_STORE_AWS_SECRET_ACCESS_KEY", "secret"),
            ("TORPOR_STORE_KEYS", "k:00"),
        ]);
        assert_eq!(settings(&environment), expected);
    }

    #[tokio::test]
    async fn a_store_that_nobody_can_share_or_open_is_refused_with_its_url() {
        let dir = tempfile::tempdir().expect("a directory");
        let data_dir = DataDir::open(dir.path()).expect("a data directory");
        let refused = Store::choose(Some("memory://"), &BTreeMap::new(), &data_dir).expect_err("refused");
        assert!(refused.to_string().contains("--store memory://"), "{refused}");
        let odd = Store::choose(Some("ftp://host"), &BTreeMap::new(), &data_dir).expect("taken as it is");
        let refused = odd.open().await.expect_err("refused");
        assert!(format!("{refused:#}").contains("ftp"), "{refused:#}");
    }
}
