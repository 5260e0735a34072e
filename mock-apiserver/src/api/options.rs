//! Query parameters of list, watch and write requests.

use super::error::{ApiError, ApiResult};
use std::collections::BTreeMap;

/// The raw query, first value of each parameter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let mut values = BTreeMap::new();
        for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            values.entry(key.into_owned()).or_insert_with(|| value.into_owned());
        }
        Self(values)
    }

    /// The value of a parameter; `None` if absent or empty.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a parameter is given, with whatever value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// A boolean as client-go reads it: absent, `false` and `0` are false.
    pub(crate) fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value != "false" && value != "0")
    }

    /// A number; 400 if it is none.
    pub(crate) fn number(&self, key: &str) -> ApiResult<Option<u64>> {
        self.get(key)
            .map(|value| {
                value
                    .parse()
                    .map_err(|_| ApiError::bad_request(format!("strconv.ParseInt: parsing {value:?}: invalid syntax")))
            })
            .transpose()
    }
}

/// How a requested resource version is to be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionMatch {
    Exact,
    NotOlderThan,
}

/// Options of list and watch.
#[derive(Debug, Clone, Default)]
pub(crate) struct ListOptions {
    pub(crate) label_selector: String,
    pub(crate) field_selector: String,
    pub(crate) limit: u64,
    pub(crate) continue_token: Option<String>,
    pub(crate) resource_version: Option<u64>,
    pub(crate) version_match: Option<VersionMatch>,
    pub(crate) watch: bool,
    pub(crate) allow_bookmarks: bool,
    pub(crate) send_initial_events: Option<bool>,
    pub(crate) timeout_seconds: Option<u64>,
}

impl ListOptions {
    /// Parses and checks the options; the refusals follow `k8s.io/apimachinery/pkg/apis/meta/internalversion/validation`.
    pub(crate) fn parse(query: &Query) -> ApiResult<Self> {
        let resource_version = match query.get("resourceVersion") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                let why = format!("Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax");
                ApiError::new(super::error::Reason::Invalid, format!("resourceVersion: {why}"))
            })?),
        };
        let version_match = match query.get("resourceVersionMatch") {
            None => None,
            Some("Exact") => Some(VersionMatch::Exact),
            Some("NotOlderThan") => Some(VersionMatch::NotOlderThan),
            Some(other) => {
                return Err(invalid(&format!(
                    "resourceVersionMatch: Unsupported value: {other:?}: supported values: \"Exact\", \"NotOlderThan\", \"\""
                )));
            }
        };
        let options = Self {
            label_selector: query.get("labelSelector").unwrap_or_default().to_owned(),
            field_selector: query.get("fieldSelector").unwrap_or_default().to_owned(),
            limit: query.number("limit")?.unwrap_or(0),
            continue_token: query.get("continue").map(str::to_owned),
            resource_version,
            version_match,
            watch: query.flag("watch"),
            allow_bookmarks: query.flag("allowWatchBookmarks"),
            send_initial_events: query.get("sendInitialEvents").map(|_| query.flag("sendInitialEvents")),
            timeout_seconds: query.number("timeoutSeconds")?,
        };
        if options.watch {
            options.check_watch()?;
        } else {
            options.check_list()?;
        }
        Ok(options)
    }

    fn check_watch(&self) -> ApiResult<()> {
        match (self.send_initial_events, self.version_match) {
            (Some(_), Some(VersionMatch::NotOlderThan)) | (None, None) => Ok(()),
            (Some(_), _) => Err(invalid(
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            )),
            (None, Some(_)) => Err(invalid(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            )),
        }
    }

    fn check_list(&self) -> ApiResult<()> {
        if self.send_initial_events.is_some() {
            return Err(invalid(
                "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
            ));
        }
        let Some(version_match) = self.version_match else {
            return Ok(());
        };
        if self.resource_version.is_none() {
            return Err(invalid(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        if self.continue_token.is_some() {
            return Err(invalid(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided",
            ));
        }
        if version_match == VersionMatch::Exact && self.resource_version == Some(0) {
            return Err(invalid(
                "resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
        Ok(())
    }
}

fn invalid(why: &str) -> ApiError {
    ApiError::new(
        super::error::Reason::Invalid,
        format!("ListOptions.meta.k8s.io \"\" is invalid: {why}"),
    )
}

/// How strictly unknown and duplicate fields are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// Options of create, update and patch.
#[derive(Debug, Clone, Default)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    pub(crate) field_manager: String,
    pub(crate) field_validation: FieldValidation,
    pub(crate) force: bool,
}

impl WriteOptions {
    /// Parses the options; the default field manager is the first part of the `User-Agent`.
    pub(crate) fn parse(query: &Query, user_agent: &str) -> ApiResult<Self> {
        let field_validation = match query.get("fieldValidation") {
            None | Some("Warn") => FieldValidation::Warn,
            Some("Ignore") => FieldValidation::Ignore,
            Some("Strict") => FieldValidation::Strict,
            Some(other) => {
                return Err(invalid_write(&format!(
                    "fieldValidation: Unsupported value: {other:?}: supported values: \"\", \"Ignore\", \"Strict\", \"Warn\""
                )));
            }
        };
        let default_manager = user_agent.split('/').next().unwrap_or_default();
        let field_manager = query.get("fieldManager").unwrap_or(default_manager);
        if field_manager.chars().count() > 128 {
            return Err(invalid_write("fieldManager: Too long: may not be more than 128 bytes"));
        }
        Ok(Self {
            dry_run: dry_run(query.get("dryRun"))?,
            field_manager: field_manager.to_owned(),
            field_validation,
            force: query.flag("force"),
        })
    }
}

/// Reads the `dryRun` parameter.
pub(crate) fn dry_run(value: Option<&str>) -> ApiResult<bool> {
    match value {
        None => Ok(false),
        Some("All") => Ok(true),
        Some(other) => Err(invalid_write(&format!(
            "dryRun: Unsupported value: {other:?}: supported values: \"All\""
        ))),
    }
}

fn invalid_write(why: &str) -> ApiError {
    ApiError::new(
        super::error::Reason::Invalid,
        format!("WriteOptions.meta.k8s.io \"\" is invalid: {why}"),
    )
}
