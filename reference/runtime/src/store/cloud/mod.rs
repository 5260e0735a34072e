//! Stores in the object storage of a cloud, and of what speaks the same protocols.
//!
//! Settings are those of the `object_store` crate, by the names that it gives environment variables (`AWS_*`,
//! `GOOGLE_*`, `AZURE_*`). An envelope is created by a conditional put, which all three offer.

mod http;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, RetryConfig};
use torpor_api::env;
use url::Url;

use self::http::Hyper;
use super::address::Environment;

/// How long one operation is tried: a pause that fails leaves its sandbox running, and is better told soon.
const RETRY_LIMIT: Duration = Duration::from_secs(30);
const MAX_RETRIES: usize = 5;

/// Opens what an `s3`, `gs` or `az` URL names.
///
/// # Errors
/// When a setting is missing or wrong. Nothing is sent yet.
pub(super) fn open(url: &Url, environment: &Environment) -> object_store::Result<Arc<dyn ObjectStore>> {
    let retry = RetryConfig {
        max_retries: MAX_RETRIES,
        retry_timeout: RETRY_LIMIT,
        ..RetryConfig::default()
    };
    let prefix = object_store::path::Path::from_url_path(url.path())?;
    let bucket = Url::parse(&format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default()));
    let bucket = bucket.map_or_else(|_| url.to_string(), |bucket| bucket.to_string());
    Ok(match url.scheme() {
        "s3" => {
            let mut builder = AmazonS3Builder::new()
                .with_url(bucket)
                .with_retry(retry)
                .with_http_connector(Hyper::default());
            for (key, value) in settings(environment, "AWS_") {
                builder = builder.with_config(key, value);
            }
            below(prefix, builder.build()?)
        }
        "gs" => {
            let mut builder = GoogleCloudStorageBuilder::new()
                .with_url(bucket)
                .with_retry(retry)
                .with_http_connector(Hyper::default());
            for (key, value) in settings(environment, "GOOGLE_") {
                builder = builder.with_config(key, value);
            }
            below(prefix, builder.build()?)
        }
        _ => {
            let mut builder = MicrosoftAzureBuilder::new()
                .with_url(bucket)
                .with_retry(retry)
                .with_http_connector(Hyper::default());
            for (key, value) in settings(environment, "AZURE_") {
                builder = builder.with_config(key, value);
            }
            below(prefix, builder.build()?)
        }
    })
}

fn below(prefix: object_store::path::Path, store: impl ObjectStore) -> Arc<dyn ObjectStore> {
    if prefix.as_ref().is_empty() {
        Arc::new(store)
    } else {
        Arc::new(PrefixStore::new(store, prefix))
    }
}

/// The settings of one cloud that the crate knows; those meant for the store alone come last and win.
fn settings<'a, K: FromStr>(environment: &'a Environment, cloud: &'a str) -> impl Iterator<Item = (K, &'a str)> {
    let named = move |before: &'a str| {
        environment.iter().filter_map(move |(name, value)| {
            let name = name.strip_prefix(before).filter(|name| name.starts_with(cloud))?;
            Some((name.to_ascii_lowercase().parse().ok()?, value.as_str()))
        })
    };
    named("").chain(named(env::STORE_SETTING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_for_the_store_alone_wins_and_those_of_others_are_left_out() {
        let environment = [
            ("AWS_REGION", "seen"),
            ("REGION", "other"),
            ("GOOGLE_BUCKET", "other"),
            ("TORPOR_STORE_AWS_REGION", "hidden"),
            ("TORPOR_STORE_KEYS", "secret"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let found: Vec<(String, &str)> = settings(&environment, "AWS_").collect();
        assert_eq!(
            found,
            [("aws_region".to_owned(), "seen"), ("aws_region".to_owned(), "hidden")]
        );
    }
}
