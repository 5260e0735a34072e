//! The admission of one request: the questions that came up and what was answered.

use super::attributes::{Attributes, Operation};
use super::registry::{Asked, covering};
use crate::api::error::{ApiError, ApiResult};
use crate::api::meta;
use crate::core::Core;
use crate::store::Object;
use serde_json::Value;
use std::sync::Arc;

/// How often a question is asked about one object that keeps changing, as for patches in the real server.
const MAX_ATTEMPTS: usize = 5;

/// The two rounds of webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// One after the other, each sees what the ones before made of the object.
    Mutating,
    /// All at once, on the object as it would be stored.
    Validating,
}

/// What a question is about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Subject {
    phase: Phase,
    operation: Operation,
    collection: Arc<str>,
    subresource: String,
    /// Empty at a creation: a request makes no more than one object, and its name may be drawn anew each time.
    name: String,
    /// UID and revision of the object as it was; empty if there was none.
    before: (String, String),
}

impl Subject {
    fn is_same_object(&self, other: &Self) -> bool {
        let before = other.before.clone();
        *other == Self { before, ..self.clone() }
    }
}

/// A question that the webhooks have to answer before the request can go on.
#[derive(Debug)]
pub(crate) struct Question {
    subject: Subject,
    pub(crate) attributes: Attributes,
    pub(crate) object: Option<Value>,
    pub(crate) old: Option<Arc<Object>>,
    pub(crate) webhooks: Vec<Asked>,
}

impl Question {
    pub(crate) fn phase(&self) -> Phase {
        self.subject.phase
    }
}

/// What came of the questions of one request so far.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    answered: Vec<(Subject, Option<Value>)>,
    open: Option<Question>,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Admitted {
    /// Nobody is to be asked.
    Unasked(Option<Value>),
    /// The webhooks let it pass.
    Passed {
        /// The object of the request as it is now.
        asked: Option<Value>,
        /// The object as it was shown to them, with their changes.
        left: Option<Value>,
    },
}

impl Admission {
    /// Has the webhooks look at a request. The first time this interrupts the request, by an error that nobody gets to see;
    /// once they have answered it goes on.
    pub(crate) fn ask(
        &mut self,
        core: &mut Core,
        phase: Phase,
        attributes: Attributes,
        object: Option<Value>,
        old: Option<&Arc<Object>>,
    ) -> ApiResult<Admitted> {
        let subject = subject(phase, &attributes, old);
        if let Some((_, answer)) = self.answered.iter().find(|(known, _)| *known == subject) {
            return Ok(Admitted::Passed {
                asked: object,
                left: answer.clone(),
            });
        }
        let regarded = object.as_ref().or(old.map(|old| &***old)).unwrap_or(&Value::Null);
        let webhooks = covering(core, phase, &attributes, regarded);
        if webhooks.is_empty() {
            return Ok(Admitted::Unasked(object));
        }
        let attempts = self.answered.iter().filter(|(known, _)| known.is_same_object(&subject));
        if attempts.count() >= MAX_ATTEMPTS {
            let resource = &attributes.resource;
            return Err(ApiError::modified(&resource.plural, &resource.group, &attributes.name));
        }
        self.open = Some(Question {
            subject,
            attributes,
            object,
            old: old.cloned(),
            webhooks,
        });
        Err(ApiError::internal("the webhooks have not been asked yet"))
    }

    /// The question that interrupted the request, if one did.
    pub(crate) fn take_question(&mut self) -> Option<Question> {
        self.open.take()
    }

    /// Records that a question was answered, with the object as the webhooks left it.
    pub(crate) fn answer(&mut self, question: Question, object: Option<Value>) {
        self.answered.push((question.subject, object));
    }
}

fn subject(phase: Phase, attributes: &Attributes, old: Option<&Arc<Object>>) -> Subject {
    let before = old.map(|old| (meta::uid(old).to_owned(), meta::resource_version(old).to_owned()));
    let name = match attributes.operation {
        Operation::Create => String::new(),
        Operation::Update | Operation::Delete => attributes.name.clone(),
    };
    Subject {
        phase,
        operation: attributes.operation,
        collection: attributes.resource.collection.clone(),
        subresource: attributes.subresource.clone(),
        name,
        before: before.unwrap_or_default(),
    }
}
