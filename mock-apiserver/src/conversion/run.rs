//! The conversions of one request: what came up and what was answered.

use super::converter::Converter;
use crate::admission::Address;
use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::meta;
use crate::catalog::Resource;
use crate::core::Core;
use crate::store::Object;
use serde_json::Value;
use std::sync::Arc;

/// How often a request is interrupted for objects that keep changing.
const MAX_ROUNDS: usize = 5;

/// What a conversion is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To show what is stored.
    Read,
    /// To store what the request makes.
    Write,
    /// To show what the request made.
    Answer,
}

/// Which conversion it is. What a request makes may be another object each time it is carried out (its UID is drawn anew), so it
/// is known by the object that it replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Subject {
    purpose: Purpose,
    uid: String,
    revision: String,
    desired: String,
}

/// Objects that a webhook has to convert before the request can go on.
#[derive(Debug)]
pub(crate) struct Inquiry {
    subjects: Vec<Subject>,
    pub(super) objects: Vec<Value>,
    pub(super) desired: String,
    pub(super) address: Result<Address, String>,
    pub(super) review_version: Option<&'static str>,
    pub(super) uid: String,
}

impl Inquiry {
    /// Asks for objects in a version; `subjects` says what they are known by.
    fn new(core: &mut Core, converter: &Converter, desired: &str, asked: Vec<(Subject, Value)>) -> Self {
        let (subjects, objects) = asked.into_iter().unzip();
        Self {
            subjects,
            objects,
            desired: desired.to_owned(),
            address: converter.client.address(&core.store, &core.webhooks.services),
            review_version: converter.review_version,
            uid: core.random.uid(),
        }
    }

    /// Asks for stored objects, of which none is in the version of the resource; `None` if it has no webhook.
    pub(crate) fn of_stored(core: &mut Core, resource: &Resource, objects: &[Arc<Object>]) -> Option<Self> {
        let converter = resource.converter()?;
        let desired = resource.api_version();
        let asked = objects
            .iter()
            .map(|object| {
                (
                    subject(Purpose::Read, object, &desired),
                    as_stored(core, resource, object),
                )
            })
            .collect();
        Some(Self::new(core, &converter, &desired, asked))
    }
}

/// How to reach the webhook of a definition, for conversions outside of a request's own.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    address: Result<Address, String>,
    review_version: Option<&'static str>,
    uid: String,
}

impl Line {
    /// `None` if the versions of the resource differ in their names only.
    pub(crate) fn of(core: &mut Core, resource: &Resource) -> Option<Self> {
        let converter = resource.converter()?;
        Some(Self {
            address: converter.client.address(&core.store, &core.webhooks.services),
            review_version: converter.review_version,
            uid: core.random.uid(),
        })
    }

    /// Asks for one object in a version.
    pub(crate) fn inquiry(&self, desired: &str, object: Value) -> Inquiry {
        Inquiry {
            subjects: Vec::new(),
            objects: vec![object],
            desired: desired.to_owned(),
            address: self.address.clone(),
            review_version: self.review_version,
            uid: self.uid.clone(),
        }
    }
}

fn subject(purpose: Purpose, object: &Value, desired: &str) -> Subject {
    Subject {
        purpose,
        uid: meta::uid(object).to_owned(),
        revision: meta::resource_version(object).to_owned(),
        desired: desired.to_owned(),
    }
}

/// What came of the conversions of one request so far.
#[derive(Debug, Default)]
pub(crate) struct Conversions {
    answered: Vec<(Subject, Value)>,
    open: Option<Inquiry>,
    rounds: usize,
}

impl Conversions {
    /// Stored objects as the version of a resource shows them. The first time this interrupts
    /// the request, by an error that nobody gets to see.
    pub(crate) fn read(
        &mut self,
        core: &mut Core,
        resource: &Resource,
        stored: &[Arc<Object>],
    ) -> ApiResult<Vec<Arc<Object>>> {
        let Some(converter) = resource.converter() else {
            return Ok(stored.iter().map(|object| resource.read(object)).collect());
        };
        let desired = resource.api_version();
        let (mut read, mut missing) = (Vec::new(), Vec::new());
        for object in stored {
            if object["apiVersion"] == desired.as_str() {
                read.push(resource.read(object));
                continue;
            }
            let subject = subject(Purpose::Read, object, &desired);
            match self.known(&subject) {
                Some(known) => read.push(settled(resource, known.clone())),
                None => missing.push((subject, as_stored(core, resource, object))),
            }
        }
        if missing.is_empty() {
            return Ok(read);
        }
        Err(self.interrupt(core, resource, &converter, &desired, missing))
    }

    /// An object that a request made in one version, in another one; `old` is the object that it replaces.
    pub(crate) fn made(
        &mut self,
        core: &mut Core,
        (resource, purpose): (&Resource, Purpose),
        object: &Value,
        old: Option<&Value>,
        desired: &str,
    ) -> ApiResult<Value> {
        let Some(converter) = resource.converter().filter(|_| object["apiVersion"] != desired) else {
            return Ok(object.clone());
        };
        let subject = subject(purpose, old.unwrap_or(&Value::Null), desired);
        if let Some(converted) = self.known(&subject) {
            return Ok(converted.clone());
        }
        let object = match purpose {
            Purpose::Read | Purpose::Answer => as_stored(core, resource, &Arc::new(Object::new(object.clone()))),
            Purpose::Write => object.clone(),
        };
        Err(self.interrupt(core, resource, &converter, desired, vec![(subject, object)]))
    }

    fn known(&self, subject: &Subject) -> Option<&Value> {
        let found = self.answered.iter().find(|(known, _)| known == subject);
        found.map(|(_, converted)| converted)
    }

    fn interrupt(
        &mut self,
        core: &mut Core,
        resource: &Resource,
        converter: &Converter,
        desired: &str,
        asked: Vec<(Subject, Value)>,
    ) -> ApiError {
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            return ApiError::internal(&format!(
                "objects of {} keep changing while they are converted",
                resource.qualified()
            ));
        }
        self.open = Some(Inquiry::new(core, converter, desired, asked));
        ApiError::internal("the conversion webhook has not been asked yet")
    }

    /// The inquiry that interrupted the request, if one did.
    pub(crate) fn take_inquiry(&mut self) -> Option<Inquiry> {
        self.open.take()
    }

    /// Records what was converted.
    pub(crate) fn answer(&mut self, inquiry: Inquiry, converted: Vec<Value>) {
        self.answered.extend(inquiry.subjects.into_iter().zip(converted));
    }
}

/// An object with the defaults of the version that it is stored in: those come before it is converted, and none after.
fn as_stored(core: &Core, resource: &Resource, object: &Arc<Object>) -> Value {
    let version = object["apiVersion"]
        .as_str()
        .and_then(|version| version.rsplit('/').next());
    let stored_as = version.and_then(|version| core.catalog.get(&resource.group, version, &resource.plural));
    stored_as.map_or_else(
        || Value::clone(object),
        |stored_as| Value::clone(&stored_as.read(object)),
    )
}

/// A converted object without what the schema of its new version does not know.
pub(crate) fn settled(resource: &Resource, mut converted: Value) -> Arc<Object> {
    resource.settle(&mut converted);
    Arc::new(Object::new(converted))
}

/// The refusal of a request whose objects could not be converted.
pub(super) fn failure(why: String) -> ApiError {
    ApiError::new(Reason::Unknown, why)
}
