//! A stored object: JSON text that is sent as it is, and a tree for whoever looks inside.

use bytes::Bytes;
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// How long the text of an object usually is at most.
const USUAL_BYTES: usize = 4096;

/// An object that does not change any more.
///
/// It is kept as the JSON text that clients get. The tree, an order of magnitude larger, is made when somebody looks inside
/// ([`Deref`]); the store lets it go when the object has not been written for a while.
#[derive(Debug)]
pub(crate) struct Object {
    json: Bytes,
    api_version: Arc<str>,
    kind: Arc<str>,
    revision: u64,
    tree: OnceLock<Value>,
}

impl Object {
    /// An object made of a tree, which it keeps for now.
    pub(crate) fn new(tree: Value) -> Self {
        let text = |value: &Value| Arc::from(value.as_str().unwrap_or_default());
        let revision = tree["metadata"]["resourceVersion"].as_str();
        Self {
            json: encode(&tree),
            api_version: text(&tree["apiVersion"]),
            kind: text(&tree["kind"]),
            revision: revision.and_then(|revision| revision.parse().ok()).unwrap_or_default(),
            tree: OnceLock::from(tree),
        }
    }

    /// The object as JSON text.
    pub(crate) fn json(&self) -> &Bytes {
        &self.json
    }

    /// The revision of the write that made it; 0 for an object that was never stored.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether it says of itself that it is of this version and kind.
    pub(crate) fn is_of(&self, api_version: &str, kind: &str) -> bool {
        *self.api_version == *api_version && *self.kind == *kind
    }

    /// What label selectors and selectors of the name need: the tree, or a smaller one without the rest of the object.
    pub(crate) fn head(&self) -> Cow<'_, Value> {
        match self.tree.get() {
            Some(tree) => Cow::Borrowed(tree),
            None => Cow::Owned(head::read(&self.json)),
        }
    }

    /// Whether it has the very same text, not only an equal one.
    fn has_text_of(&self, other: &Self) -> bool {
        self.json.as_ptr() == other.json.as_ptr() && self.json.len() == other.json.len()
    }

    /// Whether the tree is there.
    pub(super) fn is_warm(&self) -> bool {
        self.tree.get().is_some()
    }

    /// The same object without its tree.
    pub(super) fn cold(&self) -> Self {
        Self {
            json: self.json.clone(),
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            revision: self.revision,
            tree: OnceLock::new(),
        }
    }
}

impl Deref for Object {
    type Target = Value;

    #[expect(
        clippy::expect_used,
        reason = "the text was written from a tree, no deeper than can be read again"
    )]
    fn deref(&self) -> &Value {
        self.tree
            .get_or_init(|| serde_json::from_slice(&self.json).expect("an object is JSON"))
    }
}

/// Its JSON text.
impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.json).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

#[expect(
    clippy::expect_used,
    reason = "the keys of a JSON value are strings, so it has a text"
)]
fn encode(tree: &Value) -> Bytes {
    let mut text = Vec::with_capacity(USUAL_BYTES);
    serde_json::to_writer(&mut text, tree).expect("a tree has a text");
    text.into_boxed_slice().into()
}

/// An object for somebody to keep: one whose tree, if it has to be made, goes with the last holder and not with the store.
pub(super) fn hand_out(object: &Arc<Object>) -> Arc<Object> {
    if object.is_warm() {
        object.clone()
    } else {
        Arc::new(object.cold())
    }
}

/// The object that was handed out last. A write reads an object, compares with it, and replaces it: it is one copy each time,
/// whose tree is made once.
#[derive(Debug, Default)]
pub(super) struct Lent(RefCell<Option<Arc<Object>>>);

impl Lent {
    /// An object for somebody to keep, as [`hand_out`] gives it.
    pub(super) fn hand_out(&self, object: &Arc<Object>) -> Arc<Object> {
        let mut lent = self.0.borrow_mut();
        match &*lent {
            Some(known) if known.has_text_of(object) => known.clone(),
            Some(_) | None => lent.insert(hand_out(object)).clone(),
        }
    }
}

/// Reading a few fields without making a tree of the rest.
mod head {
    use serde::{Deserialize, Serialize};
    use serde_json::Value;

    #[derive(Default, Serialize, Deserialize)]
    struct Head {
        metadata: Metadata,
    }

    #[derive(Default, Serialize, Deserialize)]
    #[serde(default)]
    struct Metadata {
        name: Value,
        namespace: Value,
        labels: Value,
    }

    pub(super) fn read(json: &[u8]) -> Value {
        let head: Head = serde_json::from_slice(json).unwrap_or_default();
        serde_json::to_value(head).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn trees() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn an_object_that_let_its_tree_go_is_still_the_same(tree in trees()) {
            let object = Object::new(json!({ "metadata": {"name": "a"}, "content": tree }));
            let cold = object.cold();
            prop_assert!(!cold.is_warm());
            prop_assert_eq!(&*cold, &*object);
            prop_assert_eq!(cold, object);
        }
    }

    #[test]
    fn the_head_of_a_cold_object_has_what_selectors_of_labels_and_names_ask_for() {
        let labels = json!({"app": "web"});
        let object =
            Object::new(json!({"metadata": {"name": "a", "namespace": "n", "labels": labels, "uid": "u"}, "spec": {}}));
        let head = object.cold().head().into_owned();
        assert_eq!(
            head["metadata"],
            json!({"name": "a", "namespace": "n", "labels": labels})
        );
        assert_eq!(object.cold().head()["spec"], Value::Null);
    }
}
