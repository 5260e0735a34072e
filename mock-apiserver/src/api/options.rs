//! Query parameters of list, watch and write requests.

use super::error::{ApiError, ApiResult, Reason};
use super::field::{FieldError, Problem};
use serde_json::Value;
use std::collections::BTreeMap;
use std::num::{IntErrorKind, ParseIntError};
use std::time::Duration;

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

    /// A boolean as the API server reads it: only absence, `false` and `0` are false.
    pub(crate) fn flag(&self, key: &str) -> bool {
        let value = self.0.get(key);
        value.is_some_and(|value| !value.eq_ignore_ascii_case("false") && value != "0")
    }

    /// A number; 400 if it is none.
    pub(crate) fn number(&self, key: &str) -> ApiResult<Option<i64>> {
        self.0.get(key).map(|value| whole_number(value)).transpose()
    }

    /// A number, for which one below zero stands for zero.
    pub(crate) fn amount(&self, key: &str) -> ApiResult<Option<u64>> {
        let number = self.number(key)?;
        Ok(number.map(|number| u64::try_from(number).unwrap_or(0)))
    }
}

/// A number in the words of Go, where it is none.
pub(crate) fn whole_number(text: &str) -> ApiResult<i64> {
    text.parse().map_err(|error: ParseIntError| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
    })
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
    /// A `resourceVersionMatch` that is none.
    unknown_match: Option<String>,
    pub(crate) watch: bool,
    pub(crate) allow_bookmarks: bool,
    pub(crate) send_initial_events: Option<bool>,
    /// How long a watch is to live.
    pub(crate) timeout: Option<Duration>,
}

impl ListOptions {
    /// Parses and checks the options; the refusals follow `k8s.io/apimachinery/pkg/apis/meta/internalversion/validation`.
    pub(crate) fn parse(query: &Query, watch: bool) -> ApiResult<Self> {
        let read = if watch { exact_revision } else { revision };
        let resource_version = query.get("resourceVersion").map(read).transpose()?;
        let asked_match = query.get("resourceVersionMatch");
        let version_match = match asked_match {
            Some("Exact") => Some(VersionMatch::Exact),
            Some("NotOlderThan") => Some(VersionMatch::NotOlderThan),
            Some(_) | None => None,
        };
        let options = Self {
            label_selector: query.get("labelSelector").unwrap_or_default().to_owned(),
            field_selector: query.get("fieldSelector").unwrap_or_default().to_owned(),
            limit: query.amount("limit")?.unwrap_or(0),
            continue_token: query.get("continue").map(str::to_owned),
            resource_version,
            version_match,
            unknown_match: asked_match.filter(|_| version_match.is_none()).map(str::to_owned),
            watch,
            allow_bookmarks: query.flag("allowWatchBookmarks"),
            send_initial_events: query.get("sendInitialEvents").map(|_| query.flag("sendInitialEvents")),
            timeout: query.number("timeoutSeconds")?.and_then(timeout),
        };
        let errors = if options.watch {
            options.watch_problems()
        } else {
            options.list_problems()
        };
        if errors.is_empty() {
            Ok(options)
        } else {
            Err(invalid(&errors))
        }
    }

    fn watch_problems(&self) -> Vec<FieldError> {
        let path = "resourceVersionMatch";
        let mut errors = Vec::new();
        let has_match = self.version_match.is_some() || self.unknown_match.is_some();
        if self.send_initial_events.is_some() && self.version_match != Some(VersionMatch::NotOlderThan) {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(FieldError::forbidden(path, why));
        }
        if self.send_initial_events.is_none() && has_match {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.push(FieldError::forbidden(path, why));
        }
        let other = match self.version_match {
            Some(VersionMatch::Exact) => Some("Exact"),
            Some(VersionMatch::NotOlderThan) => None,
            None => self.unknown_match.as_deref(),
        };
        if let Some(other) = other {
            errors.push(FieldError::not_supported(path, &Value::from(other), &["NotOlderThan"]));
        }
        if self.continue_token.is_some() {
            let why = "resourceVersionMatch is forbidden when continue is provided";
            errors.push(FieldError::forbidden(path, why));
        }
        errors
    }

    fn list_problems(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(other) = &self.unknown_match {
            let supported = ["Exact", "NotOlderThan", ""];
            return vec![FieldError::not_supported(
                "resourceVersionMatch",
                &Value::from(other.as_str()),
                &supported,
            )];
        }
        if let Some(version_match) = self.version_match {
            let path = "resourceVersionMatch";
            if self.resource_version.is_none() {
                let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                errors.push(FieldError::forbidden(path, why));
            }
            if self.continue_token.is_some() {
                let why = "resourceVersionMatch is forbidden when continue is provided";
                errors.push(FieldError::forbidden(path, why));
            }
            if version_match == VersionMatch::Exact && self.resource_version == Some(0) {
                let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
                errors.push(FieldError::forbidden(path, why));
            }
        }
        if self.send_initial_events.is_some() {
            let why = "sendInitialEvents is forbidden for list";
            errors.push(FieldError::forbidden("sendInitialEvents", why));
        }
        errors
    }
}

fn revision(text: &str) -> ApiResult<u64> {
    text.parse().map_err(|_| {
        let why = format!("Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax");
        ApiError::bad_request(format!("invalid resource version: resourceVersion: {why}"))
    })
}

/// The revision that a read or a watch starts from. Where it is none, the real server has no status for it.
pub(crate) fn exact_revision(text: &str) -> ApiResult<u64> {
    text.parse().map_err(|_| {
        let why = format!("Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax");
        ApiError::new(Reason::Unknown, format!("resourceVersion: {why}"))
    })
}

/// The life of a watch; none is asked for by zero. Go multiplies without a look at what fits, so that a number may wrap around to
/// another, and what is below zero is over at once.
fn timeout(seconds: i64) -> Option<Duration> {
    match seconds.wrapping_mul(1_000_000_000) {
        0 => None,
        nanoseconds => Some(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))),
    }
}

fn invalid(errors: &[FieldError]) -> ApiError {
    ApiError::invalid("ListOptions", "meta.k8s.io", "", errors)
}

/// How strictly unknown and duplicate fields are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// The writes that have options, as these are named in refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteVerb {
    Create,
    Update,
    Patch,
    /// A server-side apply, which must say who manages the fields.
    Apply,
}

impl WriteVerb {
    fn options_kind(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch | Self::Apply => "PatchOptions",
        }
    }
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
    /// Parses the options; the default field manager is the first part of the `User-Agent`. The refusals follow
    /// `k8s.io/apimachinery/pkg/apis/meta/v1/validation`.
    pub(crate) fn parse(query: &Query, user_agent: &str, verb: WriteVerb) -> ApiResult<Self> {
        let mut errors = Vec::new();
        let asked = query.get("fieldManager").unwrap_or_default();
        match verb {
            WriteVerb::Patch if query.has("force") => {
                errors.push(FieldError::forbidden(
                    "force",
                    "may not be specified for non-apply patch",
                ));
            }
            WriteVerb::Apply if asked.is_empty() => {
                errors.push(FieldError::required("fieldManager", "is required for apply patch"));
            }
            WriteVerb::Create | WriteVerb::Update | WriteVerb::Patch | WriteVerb::Apply => {}
        }
        errors.extend(manager_problems(asked));
        let dry_run = dry_run(query.get("dryRun").or(query.has("dryRun").then_some("")), &mut errors);
        let field_validation = field_validation(query.get("fieldValidation"), &mut errors);
        if !errors.is_empty() {
            return Err(ApiError::invalid(verb.options_kind(), "meta.k8s.io", "", &errors));
        }
        let default_manager = user_agent.split('/').next().unwrap_or_default();
        Ok(Self {
            dry_run,
            field_manager: if asked.is_empty() { default_manager } else { asked }.to_owned(),
            field_validation,
            force: query.flag("force"),
        })
    }
}

fn manager_problems(name: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if name.len() > 128 {
        let detail = "may not be more than 128 bytes".to_owned();
        errors.push(FieldError {
            path: "fieldManager".to_owned(),
            problem: Problem::TooLong { detail },
        });
    }
    if let Some((position, found)) = name.char_indices().find(|(_, found)| found.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {position})", u32::from(found));
        errors.push(FieldError::invalid("fieldManager", &Value::from(name), detail));
    }
    errors
}

fn field_validation(value: Option<&str>, errors: &mut Vec<FieldError>) -> FieldValidation {
    match value {
        None | Some("" | "Warn") => FieldValidation::Warn,
        Some("Ignore") => FieldValidation::Ignore,
        Some("Strict") => FieldValidation::Strict,
        Some(other) => {
            let supported = ["", "Ignore", "Strict", "Warn"];
            errors.push(FieldError::not_supported(
                "fieldValidation",
                &Value::from(other),
                &supported,
            ));
            FieldValidation::default()
        }
    }
}

/// Reads the `dryRun` parameter.
pub(crate) fn dry_run(value: Option<&str>, errors: &mut Vec<FieldError>) -> bool {
    match value {
        None => false,
        Some("All") => true,
        Some(other) => {
            errors.push(FieldError::not_supported("dryRun", &Value::from(vec![other]), &["All"]));
            false
        }
    }
}
