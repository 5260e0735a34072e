//! Reading a request body: its size, its JSON, and where in it a mistake is.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::refusal::Refusal;

/// The largest body that the control plane reads, in bytes.
pub(crate) const BODY_LIMIT: usize = 1 << 20;

/// Receives a whole body of at most [`BODY_LIMIT`] bytes.
///
/// # Errors
/// If it is larger, takes longer than `limit` to arrive, or the connection ends before it does.
pub(crate) async fn receive(body: Body, limit: Duration) -> Result<Bytes, Refusal> {
    let whole = Limited::new(body, BODY_LIMIT).collect();
    let Ok(received) = tokio::time::timeout(limit, whole).await else {
        return Err(Refusal::BodyTooSlow { limit });
    };
    match received {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge { limit: BODY_LIMIT }),
        Err(_) => Err(Refusal::BodyLost),
    }
}

/// Reads `bytes` as JSON; no bytes at all are an empty object, because some SDK versions send none.
///
/// # Errors
/// Names the field, the line and the column of the first mistake.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { bytes };
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let field = error.path().to_string();
        let place = if field == "." {
            String::new()
        } else {
            format!("field {field:?}: ")
        };
        Refusal::BadBody {
            problem: format!("{place}{}", error.into_inner()),
        }
    })?;
    reader.end().map_err(|error| Refusal::BadBody {
        problem: error.to_string(),
    })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{StreamExt, stream};
    use serde::Deserialize;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[derive(Debug, Deserialize, PartialEq)]
    struct Sample {
        timeout: Option<i64>,
    }

    fn problem(text: &str) -> String {
        parse::<Sample>(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn no_body_is_an_empty_object() {
        assert_eq!(parse::<Sample>(b""), Ok(Sample { timeout: None }));
    }

    #[test]
    fn a_syntax_error_is_told_with_line_and_column() {
        assert!(
            problem("{\n \"timeout\": }").contains("line 2 column 13"),
            "{}",
            problem("{\n \"timeout\": }")
        );
        assert!(problem("{} x").contains("trailing characters at line 1 column 4"));
    }

    #[test]
    fn a_wrong_type_is_told_with_its_field() {
        let problem = problem(r#"{"timeout": "soon"}"#);
        assert!(
            problem.contains("field \"timeout\": invalid type: string \"soon\""),
            "{problem}"
        );
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused() {
        let refusal = receive(Body::from(vec![b' '; BODY_LIMIT + 1]), LIMIT)
            .await
            .unwrap_err();
        assert_eq!(refusal, Refusal::BodyTooLarge { limit: BODY_LIMIT });
        assert_eq!(
            receive(Body::from(vec![b' '; BODY_LIMIT]), LIMIT).await.unwrap().len(),
            BODY_LIMIT
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_not_waited_for_without_end() {
        let half = stream::once(async { Ok::<_, Infallible>("{") }).chain(stream::pending());
        let refusal = receive(Body::from_stream(half), LIMIT).await.unwrap_err();
        assert_eq!(refusal, Refusal::BodyTooSlow { limit: LIMIT });
    }
}
