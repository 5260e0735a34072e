//! Whether a cluster is reached through a proxy: as `kubectl` and `curl` would.
//!
//! What a kubeconfig says holds. Else `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` do, but for what `NO_PROXY` names and for
//! this machine. The Kubernetes client alone would send all to `HTTPS_PROXY`, what is on this machine as well.

use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use kube::Config;

/// The client's configuration with the proxy, or without it, that the environment means.
#[must_use]
pub fn as_the_environment_says(mut config: Config) -> Config {
    let of_environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    config.proxy_url = choose(&config.cluster_url, config.proxy_url.take(), of_environment);
    config
}

/// The proxy for `cluster`, where the client found `found`, in a kubeconfig or among the variables.
fn choose(cluster: &Uri, found: Option<Uri>, variable: impl Fn(&str) -> Option<String>) -> Option<Uri> {
    let either = |upper: &str| variable(upper).or_else(|| variable(&upper.to_ascii_lowercase()));
    let named = |upper: &str| either(upper).and_then(|text| address(&text));
    if found.is_some() && found != named("HTTPS_PROXY") {
        return found;
    }
    if is_on_this_machine(cluster.host()?) {
        return None;
    }
    let all = either("ALL_PROXY").unwrap_or_default();
    let matcher = Matcher::builder()
        .http(either("HTTP_PROXY").unwrap_or_else(|| all.clone()))
        .https(either("HTTPS_PROXY").unwrap_or(all))
        .no(either("NO_PROXY").unwrap_or_default())
        .build();
    matcher.intercept(cluster)?;
    // The matcher's own answer leaves out who one is to the proxy.
    let of_scheme = match cluster.scheme_str() {
        Some("http") => named("HTTP_PROXY"),
        _ => named("HTTPS_PROXY"),
    };
    of_scheme.or_else(|| named("ALL_PROXY"))
}

fn address(text: &str) -> Option<Uri> {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    with_scheme.parse().ok()
}

fn is_on_this_machine(host: &str) -> bool {
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host.eq_ignore_ascii_case("localhost") || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn chosen(cluster: &str, found: Option<&str>, variables: &[(&str, &str)]) -> Option<String> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let variable = |name: &str| variables.get(name).map(|value| (*value).to_owned());
        let uri = |text: &str| text.parse().expect("a URL");
        choose(&uri(cluster), found.map(uri), variable).map(|proxy| proxy.to_string())
    }

    const PROXY: &str = "http://me:secret@proxy:3128/";

    #[test]
    fn a_cluster_on_this_machine_is_reached_without_a_proxy() {
        let variables = [("HTTPS_PROXY", PROXY), ("HTTP_PROXY", PROXY), ("ALL_PROXY", PROXY)];
        for cluster in ["https://127.0.0.1:6443", "http://localhost:6443", "https://[::1]:6443"] {
            assert_eq!(chosen(cluster, Some(PROXY), &variables), None, "{cluster}");
        }
    }

    #[test]
    fn another_cluster_is_reached_through_the_proxy_of_its_scheme_with_who_one_is() {
        let variables = [("HTTPS_PROXY", PROXY), ("http_proxy", "plain:80")];
        let https = chosen("https://cluster:6443", Some(PROXY), &variables);
        assert_eq!(https.as_deref(), Some(PROXY));
        let http = chosen("http://cluster:8080", Some(PROXY), &variables);
        assert_eq!(http.as_deref(), Some("http://plain:80/"));
        let all = chosen("https://cluster", None, &[("ALL_PROXY", "socks5://proxy:1080")]);
        assert_eq!(all.as_deref(), Some("socks5://proxy:1080/"));
        assert_eq!(chosen("https://cluster", None, &[]), None);
    }

    #[test]
    fn what_no_proxy_names_is_reached_without() {
        for no_proxy in ["cluster.example", ".example", "*", "10.0.0.0/8,example"] {
            let variables = [("HTTPS_PROXY", PROXY), ("NO_PROXY", no_proxy)];
            let found = chosen("https://api.cluster.example:6443", Some(PROXY), &variables);
            assert_eq!(found, None, "{no_proxy}");
        }
        let variables = [("HTTPS_PROXY", PROXY), ("NO_PROXY", "10.0.0.0/8")];
        assert_eq!(chosen("https://10.1.2.3", Some(PROXY), &variables), None);
        let other = chosen("https://11.1.2.3", Some(PROXY), &variables);
        assert_eq!(other.as_deref(), Some(PROXY));
    }

    #[test]
    fn what_the_kubeconfig_names_holds() {
        let named = "http://of-the-kubeconfig:1/";
        let variables = [("HTTPS_PROXY", PROXY), ("NO_PROXY", "*")];
        let found = chosen("https://127.0.0.1:6443", Some(named), &variables);
        assert_eq!(found.as_deref(), Some(named));
    }
}
