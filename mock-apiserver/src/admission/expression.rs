//! CEL expressions over JSON objects.

use kube_cel::KubeCelExt;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, Program, Value as CelValue};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Expression {
    /// The text and what it compiled to, or why it did not.
    program: Result<Program, String>,
}

/// The variables of an expression.
pub(crate) struct Scope(Context<'static>);

impl Scope {
    /// One more variable.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<CelValue>) {
        self.0.add_variable_from_value(name, value.into());
    }

    /// A scope with the functions of Kubernetes and these variables.
    pub(crate) fn new(variables: &[(&str, &Value)]) -> Self {
        let mut context = Context::default().with_all();
        for (name, value) in variables {
            context.add_variable_from_value(*name, cel_value(value));
        }
        Self(context)
    }
}

impl Expression {
    /// Compiles an expression; one that does not compile fails whenever it is evaluated.
    pub(crate) fn new(text: &str) -> Self {
        Self {
            program: Program::compile(text).map_err(|error| format!("compilation failed: {error}")),
        }
    }

    /// Why the expression does not compile.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.program.as_ref().err().map(String::as_str)
    }

    /// The value of the expression.
    pub(crate) fn value(&self, scope: &Scope) -> Result<CelValue, String> {
        let program = self.program.as_ref().map_err(Clone::clone)?;
        program.execute(&scope.0).map_err(|error| error.to_string())
    }

    /// The value of an expression that is true or false.
    pub(crate) fn holds(&self, scope: &Scope) -> Result<bool, String> {
        match self.value(scope)? {
            CelValue::Bool(holds) => Ok(holds),
            other => Err(format!("cel expression evaluated to {other:?} instead of a boolean")),
        }
    }
}

/// JSON as CEL sees it: whole numbers are `int`.
fn cel_value(value: &Value) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => CelValue::Int(whole),
            (None, Some(float)) => CelValue::Float(float),
            (None, None) => CelValue::Null,
        },
        Value::String(text) => CelValue::String(Arc::new(text.clone())),
        Value::Array(items) => CelValue::List(Arc::new(items.iter().map(cel_value).collect())),
        Value::Object(members) => {
            let members: HashMap<Key, CelValue> = members
                .iter()
                .map(|(key, value)| (Key::String(Arc::new(key.clone())), cel_value(value)))
                .collect();
            CelValue::Map(Map { map: Arc::new(members) })
        }
    }
}
