//! Operators of two operands: which types they take, and of which type their result is.

use super::types::Type;
use ::kube_cel::cel::common::ast::operators;

/// Whether a function is an operator of two operands, by the name that the parser gives it.
pub(super) fn is_operator(name: &str) -> bool {
    name == operators::IN || (name.starts_with('_') && name.ends_with(['_', ']']))
}

/// The type of an operator's result; `None` if it does not take the operands.
pub(super) fn result(name: &str, left: &Type, right: &Type) -> Option<Type> {
    let open = left.is_open() || right.is_open();
    match name {
        operators::EQUALS | operators::NOT_EQUALS => left.agrees(right).then_some(Type::Bool),
        operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS => {
            ordered(left, right).then_some(Type::Bool)
        }
        operators::IN => match right {
            Type::List(inner, _) | Type::Map(inner, _, _) => left.agrees(inner).then_some(Type::Bool),
            other => other.is_open().then_some(Type::Bool),
        },
        operators::INDEX => element(left, right),
        operators::OPT_INDEX => element(left, right).map(|found| Type::Optional(Box::new(found))),
        _ if open => Some(Type::Unknown),
        operators::ADD => added(left, right),
        operators::SUBSTRACT => match (left, right) {
            (Type::Timestamp, Type::Timestamp) => Some(Type::Duration),
            (Type::Timestamp | Type::Duration, Type::Duration) => Some(left.clone()),
            _ => same_number(left, right),
        },
        operators::MODULO if *left == Type::Double => None,
        _ => same_number(left, right),
    }
}

fn same_number(left: &Type, right: &Type) -> Option<Type> {
    (matches!(left, Type::Int | Type::Uint | Type::Double) && left == right).then(|| left.clone())
}

fn ordered(left: &Type, right: &Type) -> bool {
    let is_number = |of: &Type| matches!(of, Type::Int | Type::Uint | Type::Double);
    let has_order = |of: &Type| {
        matches!(
            of,
            Type::Bool | Type::String(_) | Type::Bytes(_) | Type::Timestamp | Type::Duration
        ) || of.is_open()
            || is_number(of)
    };
    has_order(left) && has_order(right) && (left.agrees(right) || is_number(left) && is_number(right))
}

fn added(left: &Type, right: &Type) -> Option<Type> {
    match (left, right) {
        (Type::String(one), Type::String(other)) => Some(Type::String(one.saturating_add(*other))),
        (Type::Bytes(one), Type::Bytes(other)) => Some(Type::Bytes(one.saturating_add(*other))),
        (Type::List(one, size), Type::List(other, other_size)) => one.agrees(other).then(|| {
            let item = if matches!(**one, Type::Unknown) {
                other.clone()
            } else {
                one.clone()
            };
            Type::List(item, size.saturating_add(*other_size))
        }),
        (Type::Timestamp, Type::Duration) | (Type::Duration, Type::Timestamp) => Some(Type::Timestamp),
        (Type::Duration, Type::Duration) => Some(Type::Duration),
        _ => same_number(left, right),
    }
}

/// What an index leads to.
fn element(holder: &Type, index: &Type) -> Option<Type> {
    match holder {
        Type::List(item, _) => (index.is_open() || *index == Type::Int).then(|| (**item).clone()),
        Type::Map(key, value, _) => key.agrees(index).then(|| (**value).clone()),
        Type::Optional(inner) => element(inner, index),
        other => other.is_open().then_some(Type::Unknown),
    }
}
