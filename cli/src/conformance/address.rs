//! Addresses of what is spoken to by HTTP.

use url::Url;

/// Reads an address that requests can be sent to.
///
/// # Errors
/// It is no URL, or one of something else: `localhost:3000` has the scheme `localhost`.
pub fn web_address(text: &str) -> Result<Url, String> {
    match text.parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        Ok(_) => Err(format!("give http:// or https://, as in http://{text}")),
        Err(error) => Err(format!("{error}; give http:// or https:// and a host")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_http_is_refused_with_what_would_do() {
        for right in ["http://localhost:3000", "https://api.example.com/base"] {
            assert!(web_address(right).is_ok(), "{right}");
        }
        for (wrong, says) in [
            ("localhost:3000", "as in http://localhost:3000"),
            ("api.example.com", "give http:// or https://"),
            ("file:///tmp", "give http:// or https://"),
            ("http://", "give http:// or https://"),
        ] {
            let refused = web_address(wrong).expect_err(wrong);
            assert!(refused.contains(says), "{wrong}: {refused}");
        }
    }
}
