//! Asks a conversion webhook, without any lock.

use super::review;
use super::run::{Inquiry, failure};
use crate::admission::WebhookCaller;
use crate::api::error::ApiResult;
use serde_json::Value;
use std::time::Duration;

/// How long a webhook may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The objects of an inquiry in the version that it asks for.
pub(crate) async fn ask(inquiry: &Inquiry, caller: &dyn WebhookCaller) -> ApiResult<Vec<Value>> {
    let first = inquiry.objects.first().unwrap_or(&Value::Null);
    let text = |member: &str| first[member].as_str().unwrap_or_default();
    let whose = format!("conversion webhook for {}, Kind={}", text("apiVersion"), text("kind"));
    let converted = call(inquiry, caller)
        .await
        .map_err(|why| failure(format!("{whose} failed: {why}")))?;
    let (expected, found) = (inquiry.objects.len(), converted.len());
    if expected != found {
        return Err(failure(format!(
            "{whose} returned {found} objects, expected {expected}"
        )));
    }
    let pairs = inquiry.objects.iter().zip(converted);
    pairs
        .map(|(original, converted)| {
            review::restored(original, converted, &inquiry.desired).map_err(|why| failure(format!("{whose} {why}")))
        })
        .collect()
}

async fn call(inquiry: &Inquiry, caller: &dyn WebhookCaller) -> Result<Vec<Value>, String> {
    let version = inquiry
        .review_version
        .ok_or("no supported conversion review versions")?;
    let request = review::request(version, &inquiry.uid, &inquiry.desired, &inquiry.objects);
    let call = inquiry.address.as_ref().map_err(Clone::clone)?.call(request, TIMEOUT)?;
    let url = call.address();
    let answer = match tokio::time::timeout(TIMEOUT, caller.call(call)).await {
        Ok(answer) => answer.map_err(|failure| failure.to_string())?,
        Err(_) => return Err(format!("Post {url:?}: context deadline exceeded")),
    };
    review::objects(version, &inquiry.uid, &answer)
}
