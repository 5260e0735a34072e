//! The functions that expressions can call, with the types that they take and give.
//!
//! Those of CEL's standard and of the libraries that Kubernetes 1.36 adds: strings, lists, regular expressions, sets, URLs,
//! addresses, quantities, formats, versions, optional values.

use super::types::Type;

/// What a function takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    Any,
    Int,
    Uint,
    Double,
    Bool,
    String,
    Bytes,
    Timestamp,
    Duration,
    List,
    /// A list of texts.
    Strings,
    /// A list of what can be added up.
    Numbers,
    Map,
    Optional,
    Named(&'static str),
}

/// What it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gives {
    Int,
    Uint,
    Double,
    Bool,
    String,
    Bytes,
    Timestamp,
    Duration,
    Type,
    /// A list of texts.
    Strings,
    /// The type of what the first operand holds.
    Inner,
    /// The type of the first operand.
    Same,
    /// An optional of the first operand's type.
    OptionalOf,
    Named(&'static str),
    /// Something that is not followed further.
    Unknown,
}

/// One way of calling a function.
#[derive(Debug)]
pub(super) struct Overload {
    /// What it is called on; `None` for functions.
    pub(super) target: Option<Takes>,
    pub(super) args: &'static [Takes],
    pub(super) gives: Gives,
}

const URL: &str = "kubernetes.URL";
const QUANTITY: &str = "kubernetes.Quantity";
const IP: &str = "net.IP";
const CIDR: &str = "net.CIDR";
const FORMAT: &str = "kubernetes.NamedFormat";
const SEMVER: &str = "kubernetes.Semver";
const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";

const fn of(target: Takes, args: &'static [Takes], gives: Gives) -> Overload {
    Overload {
        target: Some(target),
        args,
        gives,
    }
}

const fn free(args: &'static [Takes], gives: Gives) -> Overload {
    Overload {
        target: None,
        args,
        gives,
    }
}

/// Names before a dot that are not values but libraries.
pub(super) const LIBRARIES: [&str; 7] = ["sets", "strings", "ip", "format", "optional", "jsonpatch", "lists"];

/// The ways of calling a function; empty if there is none of that name.
pub(super) fn overloads(name: &str) -> Vec<Overload> {
    let mut found = standard(name);
    found.extend(times(name));
    found.extend(strings(name));
    found.extend(collections(name));
    found.extend(kubernetes(name));
    found.extend(addresses(name));
    found
}

fn standard(name: &str) -> Vec<Overload> {
    use Gives as G;
    use Takes::{Any, Bool, Bytes, Double, Duration, Int, List, Map, String, Timestamp, Uint};
    match name {
        "size" => {
            let sized = [String, Bytes, List, Map];
            let free_ones = [&[String][..], &[Bytes], &[List], &[Map]].map(|args| free(args, G::Int));
            sized
                .map(|target| of(target, &[], G::Int))
                .into_iter()
                .chain(free_ones)
                .collect()
        }
        "type" => vec![free(&[Any], G::Type)],
        "dyn" => vec![free(&[Any], G::Unknown)],
        "int" => [&[Int][..], &[Uint], &[Double], &[String], &[Timestamp], &[Duration]]
            .map(|args| free(args, G::Int))
            .into(),
        "uint" => [&[Int][..], &[Uint], &[Double], &[String]]
            .map(|args| free(args, G::Uint))
            .into(),
        "double" => [&[Int][..], &[Uint], &[Double], &[String]]
            .map(|args| free(args, G::Double))
            .into(),
        "bool" => [&[Bool][..], &[String]].map(|args| free(args, G::Bool)).into(),
        "string" => {
            let from = [
                &[Int][..],
                &[Uint],
                &[Double],
                &[String],
                &[Bytes],
                &[Bool],
                &[Timestamp],
                &[Duration],
            ];
            from.map(|args| free(args, G::String)).into()
        }
        "bytes" => [&[Bytes][..], &[String]].map(|args| free(args, G::Bytes)).into(),
        _ => Vec::new(),
    }
}

fn times(name: &str) -> Vec<Overload> {
    use Gives as G;
    use Takes::{Duration, Int, String, Timestamp};
    match name {
        "timestamp" => [&[String][..], &[Int], &[Timestamp]]
            .map(|args| free(args, G::Timestamp))
            .into(),
        "duration" => [&[String][..], &[Int], &[Duration]]
            .map(|args| free(args, G::Duration))
            .into(),
        "getFullYear" | "getMonth" | "getDate" | "getDayOfMonth" | "getDayOfWeek" | "getDayOfYear" => {
            vec![of(Timestamp, &[], G::Int), of(Timestamp, &[String], G::Int)]
        }
        "getHours" | "getMinutes" | "getSeconds" | "getMilliseconds" => vec![
            of(Timestamp, &[], G::Int),
            of(Timestamp, &[String], G::Int),
            of(Duration, &[], G::Int),
        ],
        _ => Vec::new(),
    }
}

fn strings(name: &str) -> Vec<Overload> {
    use Gives as G;
    use Takes::{Int, List, String, Strings};
    match name {
        "contains" | "startsWith" | "endsWith" => vec![of(String, &[String], G::Bool)],
        "matches" => vec![of(String, &[String], G::Bool), free(&[String, String], G::Bool)],
        "charAt" => vec![of(String, &[Int], G::String)],
        "lowerAscii" | "upperAscii" | "trim" => vec![of(String, &[], G::String)],
        "substring" => vec![of(String, &[Int], G::String), of(String, &[Int, Int], G::String)],
        "replace" => vec![
            of(String, &[String, String], G::String),
            of(String, &[String, String, Int], G::String),
        ],
        "split" | "findAll" => vec![
            of(String, &[String], G::Strings),
            of(String, &[String, Int], G::Strings),
        ],
        "find" => vec![of(String, &[String], G::String)],
        "join" => vec![of(Strings, &[], G::String), of(Strings, &[String], G::String)],
        "format" => vec![of(String, &[List], G::String)],
        "strings.quote" | "jsonpatch.escapeKey" => vec![free(&[String], G::String)],
        _ => Vec::new(),
    }
}

fn collections(name: &str) -> Vec<Overload> {
    use Gives as G;
    use Takes::{Any, Int, List, Numbers, Optional, String};
    match name {
        "isSorted" => vec![of(List, &[], G::Bool)],
        "sum" => vec![of(Numbers, &[], G::Inner)],
        "min" | "max" => vec![of(List, &[], G::Inner)],
        "indexOf" | "lastIndexOf" => vec![
            of(List, &[Any], G::Int),
            of(String, &[String], G::Int),
            of(String, &[String, Int], G::Int),
        ],
        "slice" => vec![of(List, &[Int, Int], G::Same)],
        "flatten" => vec![of(List, &[], G::Unknown), of(List, &[Int], G::Unknown)],
        "distinct" | "sort" | "reverse" => vec![of(List, &[], G::Same)],
        "first" | "last" => vec![of(List, &[], G::Unknown)],
        "lists.range" => vec![free(&[Int], G::Unknown)],
        "sets.contains" | "sets.equivalent" | "sets.intersects" => vec![free(&[List, List], G::Bool)],
        "optional.of" | "optional.ofNonZeroValue" => vec![free(&[Any], G::OptionalOf)],
        "optional.none" => vec![free(&[], G::Unknown)],
        "hasValue" => vec![of(Optional, &[], G::Bool)],
        "value" => vec![of(Optional, &[], G::Inner)],
        "orValue" => vec![of(Optional, &[Any], G::Inner)],
        "or" => vec![of(Optional, &[Optional], G::Same)],
        _ => Vec::new(),
    }
}

fn kubernetes(name: &str) -> Vec<Overload> {
    use Gives as G;
    use Takes::{Int, Named, String};
    let (url, quantity) = (Named(URL), Named(QUANTITY));
    match name {
        "url" => vec![free(&[String], G::Named(URL))],
        "isURL" | "isQuantity" => vec![free(&[String], G::Bool)],
        "isSemver" => vec![free(&[String], G::Bool), free(&[String, Takes::Bool], G::Bool)],
        "getScheme" | "getHost" | "getHostname" | "getPort" | "getEscapedPath" => vec![of(url, &[], G::String)],
        "getQuery" => vec![of(url, &[], G::Unknown)],
        "quantity" => vec![free(&[String], G::Named(QUANTITY))],
        "sign" => vec![free(&[Named(QUANTITY)], G::Int)],
        "asInteger" => vec![of(quantity, &[], G::Int)],
        "isInteger" => vec![of(quantity, &[], G::Bool)],
        "asApproximateFloat" => vec![of(quantity, &[], G::Double)],
        "add" | "sub" => vec![
            of(quantity, &[Named(QUANTITY)], G::Named(QUANTITY)),
            of(quantity, &[Int], G::Named(QUANTITY)),
        ],
        "isGreaterThan" | "isLessThan" => vec![
            of(quantity, &[Named(QUANTITY)], G::Bool),
            of(Named(SEMVER), &[Named(SEMVER)], G::Bool),
        ],
        "compareTo" => vec![
            of(quantity, &[Named(QUANTITY)], G::Int),
            of(Named(SEMVER), &[Named(SEMVER)], G::Int),
        ],
        "semver" => vec![
            free(&[String], G::Named(SEMVER)),
            free(&[String, Takes::Bool], G::Named(SEMVER)),
        ],
        "major" | "minor" | "patch" => vec![of(Named(SEMVER), &[], G::Int)],
        "validate" => vec![of(Named(FORMAT), &[String], G::Unknown)],
        "format.named" => vec![free(&[String], G::Unknown)],
        // What an authorizer can do; rules of definitions have none, so only these names are known.
        "path" | "group" | "serviceAccount" | "resource" | "subresource" | "namespace" | "name" | "check"
        | "allowed" | "reason" | "errored" | "error" | "fieldSelector" | "labelSelector" => {
            vec![
                of(Named(AUTHORIZER), &[], G::Unknown),
                of(Named(AUTHORIZER), &[String], G::Unknown),
            ]
        }
        _ if name.starts_with("format.") => vec![free(&[], G::Named(FORMAT))],
        _ => Vec::new(),
    }
}

fn addresses(name: &str) -> Vec<Overload> {
    use Gives as G;
    use Takes::{Named, String};
    let (ip, cidr) = (Named(IP), Named(CIDR));
    match name {
        "isIP" | "isCIDR" | "ip.isCanonical" => vec![free(&[String], G::Bool)],
        "ip" => vec![free(&[String], G::Named(IP)), of(cidr, &[], G::Named(IP))],
        "family" => vec![of(ip, &[], G::Int)],
        "prefixLength" => vec![of(cidr, &[], G::Int)],
        "isUnspecified" | "isLoopback" | "isLinkLocalMulticast" | "isLinkLocalUnicast" | "isGlobalUnicast" => {
            vec![of(ip, &[], G::Bool)]
        }
        "cidr" => vec![free(&[String], G::Named(CIDR))],
        "containsIP" => vec![of(cidr, &[String], G::Bool), of(cidr, &[Named(IP)], G::Bool)],
        "containsCIDR" => vec![of(cidr, &[String], G::Bool), of(cidr, &[Named(CIDR)], G::Bool)],
        "masked" => vec![of(cidr, &[], G::Named(CIDR))],
        _ => Vec::new(),
    }
}

impl Takes {
    /// Whether a value of a type can be given.
    pub(super) fn accepts(self, given: &Type) -> bool {
        if given.is_open() {
            return true;
        }
        match (self, given) {
            (Self::Any, _)
            | (Self::Int, Type::Int)
            | (Self::Uint, Type::Uint)
            | (Self::Double, Type::Double)
            | (Self::Bool, Type::Bool)
            | (Self::String, Type::String(_))
            | (Self::Bytes, Type::Bytes(_))
            | (Self::Timestamp, Type::Timestamp)
            | (Self::Duration, Type::Duration)
            | (Self::List, Type::List(..))
            | (Self::Map, Type::Map(..))
            | (Self::Optional, Type::Optional(_)) => true,
            (Self::Strings, Type::List(item, _)) => item.is_open() || matches!(**item, Type::String(_)),
            (Self::Numbers, Type::List(item, _)) => {
                item.is_open() || matches!(**item, Type::Int | Type::Uint | Type::Double | Type::Duration)
            }
            (Self::Named(name), Type::Named(given)) => name == *given,
            _ => false,
        }
    }
}

impl Gives {
    /// The type of the result, with the bound of its size where the call limits it.
    pub(super) fn result(self, first: Option<&Type>, size: u64) -> Type {
        match self {
            Self::Int => Type::Int,
            Self::Uint => Type::Uint,
            Self::Double => Type::Double,
            Self::Bool => Type::Bool,
            Self::String => Type::String(size),
            Self::Bytes => Type::Bytes(size),
            Self::Timestamp => Type::Timestamp,
            Self::Duration => Type::Duration,
            Self::Type => Type::Meta,
            // How long the parts are is not known.
            Self::Strings => Type::List(Box::new(Type::String(u64::MAX)), size),
            Self::Inner => match first {
                Some(Type::List(inner, _) | Type::Optional(inner)) => (**inner).clone(),
                _ => Type::Unknown,
            },
            Self::Same => first.cloned().unwrap_or(Type::Unknown),
            Self::OptionalOf => first.map_or(Type::Unknown, |of| Type::Optional(Box::new(of.clone()))),
            Self::Named(name) => Type::Named(name),
            Self::Unknown => Type::Unknown,
        }
    }
}
