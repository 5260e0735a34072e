//! Operators and functions: which operands they take, and what carrying them out costs.

use super::check::{Checker, Judged};
use super::cost::{cost_of_call, traversal};
use super::functions::{self, Gives, LIBRARIES, NOT_FOLLOWED, Overload};
use super::types::Type;
use ::kube_cel::cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use ::kube_cel::cel::parser::Expression;

fn sum(costs: impl IntoIterator<Item = u64>) -> u64 {
    costs.into_iter().fold(0, u64::saturating_add)
}

impl Checker {
    pub(super) fn call(&mut self, id: u64, call: &CallExpr) -> Judged {
        let CallExpr {
            func_name,
            target,
            args,
        } = call;
        match (func_name.as_str(), target, args.as_slice()) {
            (operators::OPT_SELECT, None, [holder, field]) => self.optional_field(id, holder, field),
            (operators::CONDITIONAL, None, [condition, then, other]) => self.conditional(id, [condition, then, other]),
            (name, None, [left, right]) if is_operator(name) => {
                let (left, right) = (self.node(left), self.node(right));
                self.binary(id, name, &left, &right)
            }
            (operators::LOGICAL_NOT, None, [operand]) => self.unary(id, operators::LOGICAL_NOT, operand),
            (operators::NEGATE, None, [operand]) => self.unary(id, operators::NEGATE, operand),
            (operators::NOT_STRICTLY_FALSE, None, [operand]) => {
                let operand = self.node(operand);
                Judged::made(Type::Bool, operand.cost.saturating_add(1))
            }
            (name, target, args) => self.function(id, name, target.as_deref(), args),
        }
    }

    fn no_overload(&mut self, id: u64, name: &str, operands: &[&Type]) -> Judged {
        let shown: Vec<String> = operands.iter().map(ToString::to_string).collect();
        let shown = shown.join(", ");
        self.refuse(
            id,
            format!("found no matching overload for '{name}' applied to '({shown})'"),
        );
        Judged::made(Type::Unknown, 0)
    }

    fn optional_field(&mut self, id: u64, holder: &Expression, field: &Expression) -> Judged {
        let holder = self.node(holder);
        let Expr::Literal(LiteralValue::String(name)) = &field.expr else {
            return Judged::made(Type::Unknown, holder.cost);
        };
        let found = self.field(id, &holder.of, name.inner());
        let of = match found {
            Some(already @ Type::Optional(_)) => already,
            Some(found) => Type::Optional(Box::new(found)),
            None => Type::Unknown,
        };
        Judged::declared(of, holder.cost.saturating_add(1))
    }

    fn conditional(&mut self, id: u64, operands: [&Expression; 3]) -> Judged {
        let [condition, then, other] = operands.map(|operand| self.node(operand));
        let is_bool = condition.of.is_open() || condition.of == Type::Bool;
        if !is_bool || !then.of.agrees(&other.of) {
            return self.no_overload(id, operators::CONDITIONAL, &[&condition.of, &then.of, &other.of]);
        }
        let cost = condition.cost.saturating_add(then.cost.max(other.cost));
        let size = then.size.max(other.size);
        Judged::made(then.of.join(other.of), cost).sized(size)
    }

    fn unary(&mut self, id: u64, name: &str, operand: &Expression) -> Judged {
        let operand = self.node(operand);
        let fits = match &operand.of {
            of if of.is_open() => true,
            Type::Bool => name == operators::LOGICAL_NOT,
            Type::Int | Type::Double => name == operators::NEGATE,
            _ => false,
        };
        if !fits {
            return self.no_overload(id, name, &[&operand.of]);
        }
        Judged::made(operand.of, operand.cost.saturating_add(1))
    }

    fn binary(&mut self, id: u64, name: &str, left: &Judged, right: &Judged) -> Judged {
        let Some(of) = result(name, &left.of, &right.of) else {
            return self.no_overload(id, name, &[&left.of, &right.of]);
        };
        let (operands, both) = (
            left.cost.saturating_add(right.cost),
            left.size.saturating_add(right.size),
        );
        let is_text = |of: &Type| matches!(of, Type::String(_) | Type::Bytes(_)) || of.is_open();
        let texts = is_text(&left.of) && is_text(&right.of);
        let own = match name {
            operators::LOGICAL_AND | operators::LOGICAL_OR => 0,
            operators::EQUALS | operators::NOT_EQUALS if matches!(left.of, Type::Named(_)) => 1,
            operators::EQUALS | operators::NOT_EQUALS => traversal(left.size.min(right.size)),
            operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS if texts => {
                traversal(left.size.min(right.size)).max(1)
            }
            operators::ADD if texts => traversal(both).max(1),
            operators::IN if matches!(right.of, Type::List(..)) || right.of.is_open() => right.size.max(1),
            _ => 1,
        };
        let cost = operands.saturating_add(own);
        match name {
            operators::INDEX | operators::OPT_INDEX => Judged::declared(of, cost),
            operators::ADD if matches!(of, Type::String(_) | Type::Bytes(_) | Type::List(..)) => {
                Judged::made(of, cost).sized(both)
            }
            _ => Judged::made(of, cost),
        }
    }

    fn function(&mut self, id: u64, name: &str, target: Option<&Expression>, args: &[Expression]) -> Judged {
        let library = target.and_then(|target| match &target.expr {
            Expr::Ident(library) if LIBRARIES.contains(&library.as_str()) && !self.is_declared(library) => {
                Some(library)
            }
            _ => None,
        });
        let (name, target) = match library {
            Some(library) => (format!("{library}.{name}"), None),
            None => (name.to_owned(), target.map(|target| self.node(target))),
        };
        if NOT_FOLLOWED.contains(&name.as_str()) {
            let cost = target.map_or(0, |target| target.cost);
            return Judged::made(Type::Unknown, cost.saturating_add(1));
        }
        let args: Vec<Judged> = args.iter().map(|arg| self.node(arg)).collect();
        let known = functions::overloads(&name);
        if known.is_empty() {
            self.refuse(id, format!("undeclared reference to '{name}' (in container '')"));
            return Judged::made(Type::Unknown, 0);
        }
        let Some(overload) = known.iter().find(|overload| fits(overload, target.as_ref(), &args)) else {
            let shown: Vec<String> = args.iter().map(|arg| arg.of.to_string()).collect();
            let shown = format!("({})", shown.join(", "));
            let shown = target.map_or_else(|| shown.clone(), |target| format!("{}.{shown}", target.of));
            self.refuse(
                id,
                format!("found no matching overload for '{name}' applied to '{shown}'"),
            );
            return Judged::made(Type::Unknown, 0);
        };
        let operands = target.iter().chain(&args).map(|operand| operand.cost);
        let (own, size) = cost_of_call(&name, target.as_ref(), &args);
        let first = target.as_ref().or(args.first()).map(|first| &first.of);
        let of = overload.gives.result(first, size);
        let cost = sum(operands).saturating_add(own);
        if overload.gives == Gives::Inner {
            return Judged::declared(of, cost);
        }
        let judged = Judged::made(of, cost);
        match &judged.of {
            Type::String(_) | Type::Bytes(_) | Type::List(..) => judged.sized(size),
            Type::Unknown if name == "dyn" => judged.sized(args[0].size),
            _ => judged,
        }
    }
}

fn is_operator(name: &str) -> bool {
    name == operators::IN || (name.starts_with('_') && name.ends_with(['_', ']']))
}

fn fits(overload: &Overload, target: Option<&Judged>, args: &[Judged]) -> bool {
    let target_fits = match (overload.target, target) {
        (Some(takes), Some(target)) => takes.accepts(&target.of),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    target_fits
        && overload.args.len() == args.len()
        && overload
            .args
            .iter()
            .zip(args)
            .all(|(takes, arg)| takes.accepts(&arg.of))
}

/// The type of an operator's result; `None` if it does not take the operands.
fn result(name: &str, left: &Type, right: &Type) -> Option<Type> {
    let open = left.is_open() || right.is_open();
    match name {
        operators::LOGICAL_AND | operators::LOGICAL_OR => {
            let fits = |of: &Type| of.is_open() || *of == Type::Bool;
            (fits(left) && fits(right)).then_some(Type::Bool)
        }
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
