//! Where the webhooks of programs on this machine are, whose configurations name a Service.

use std::str::FromStr;

use mock_apiserver::Builder;
use url::Url;

/// The option for it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct WebhookServices {
    /// Call the webhooks of a Service at this address, such as `default/my-webhook=https://127.0.0.1:9443`; may be given several times
    #[arg(long, value_name = "NAMESPACE/NAME=URL")]
    pub webhook_service: Vec<WebhookService>,
}

/// A Service and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookService {
    namespace: String,
    name: String,
    address: Url,
}

impl WebhookServices {
    /// The API server which knows the addresses.
    pub fn apply(&self, builder: Builder) -> Builder {
        self.webhook_service.iter().fold(builder, |builder, service| {
            builder.webhook_service(&service.namespace, &service.name, service.address.clone())
        })
    }
}

impl FromStr for WebhookService {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "expected NAMESPACE/NAME=URL, such as default/my-webhook=https://127.0.0.1:9443".to_owned();
        let (service, address) = text.split_once('=').ok_or_else(form)?;
        let (namespace, name) = service.split_once('/').ok_or_else(form)?;
        let address = Url::parse(address).map_err(|error| format!("{address}: {error}; {}", form()))?;
        if namespace.is_empty() || name.is_empty() || !matches!(address.scheme(), "http" | "https") {
            return Err(form());
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_with_its_namespace_and_an_http_address() {
        let service: WebhookService = "a/b=https://127.0.0.1:9443".parse().expect("a service");
        assert_eq!((service.namespace.as_str(), service.name.as_str()), ("a", "b"));
        for wrong in ["b=https://x", "a/b", "a/b=nowhere", "a/b=ftp://x", "/b=https://x"] {
            let refused = wrong.parse::<WebhookService>().expect_err(wrong);
            assert!(refused.contains("expected NAMESPACE/NAME=URL"), "{refused}");
        }
    }
}
