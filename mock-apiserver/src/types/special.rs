//! Messages whose JSON form is not an object of their fields.

/// The JSON form of such a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    /// A point in time, to the second.
    Time,
    /// A point in time, to the microsecond.
    MicroTime,
    Duration,
    Quantity,
    IntOrString,
    /// Any JSON.
    Any,
    /// A list of strings.
    Strings,
    /// One of several forms, told apart by the JSON itself.
    OneOf,
}

/// How a message is written in JSON, if not as an object of its fields.
pub(crate) fn special(message: &str) -> Option<Special> {
    Some(match message {
        "meta.Time" => Special::Time,
        "meta.MicroTime" => Special::MicroTime,
        "meta.Duration" => Special::Duration,
        "api.resource.Quantity" => Special::Quantity,
        "util.intstr.IntOrString" => Special::IntOrString,
        "runtime.RawExtension" | "meta.FieldsV1" | "apiextensions.v1.JSON" => Special::Any,
        "apiextensions.v1.JSONSchemaPropsOrArray"
        | "apiextensions.v1.JSONSchemaPropsOrBool"
        | "apiextensions.v1.JSONSchemaPropsOrStringArray" => Special::OneOf,
        "meta.Verbs"
        | "authentication.v1.ExtraValue"
        | "authorization.v1.ExtraValue"
        | "certificates.v1.ExtraValue" => Special::Strings,
        _ => return None,
    })
}
