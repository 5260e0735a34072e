//! Calls of operators, macros and functions: whether they take their operands, and what carrying them out costs.

use super::check::{Checker, Judged};
use super::cost::{cost_of_call, traversal};
use super::functions::{self, Gives, LIBRARIES, Overload};
use super::operators::{is_operator, result};
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
            (name, Some(range), [key, value, bodies @ ..]) if has_two_variables(name, bodies) => {
                self.two_variables(name, range, [key, value], bodies)
            }
            ("optMap" | "optFlatMap", Some(target), [name, body]) => self.of_optional(func_name, target, name, body),
            ("sortBy", Some(target), [name, body]) => self.sort_by(target, name, body),
            (operators::OPT_SELECT, None, [holder, field]) => self.optional_field(id, holder, field),
            (operators::CONDITIONAL, None, [condition, then, other]) => self.conditional(id, [condition, then, other]),
            (operators::LOGICAL_AND | operators::LOGICAL_OR, None, operands) => self.logical(operands),
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

    fn logical(&mut self, operands: &[Expression]) -> Judged {
        let mut cost = 0_u64;
        for operand in operands {
            let judged = self.node(operand);
            if judged.of != Type::Bool && !judged.of.is_open() {
                self.refuse(operand.id, format!("expected type 'bool' but found '{}'", judged.of));
            }
            cost = cost.saturating_add(judged.cost);
        }
        Judged::made(Type::Bool, cost)
    }

    /// A list whose items need not be of one type.
    fn mixed(&mut self, elements: &[Expression]) -> Judged {
        const LIST: u64 = 10;
        let costs = elements.iter().map(|element| self.node(element).cost);
        let cost = costs.fold(LIST, u64::saturating_add);
        let size = elements.len() as u64;
        Judged::made(Type::List(Box::new(Type::Unknown), size), cost).sized(size)
    }

    /// A macro that names the key and the value of each item, and what it does with them.
    fn two_variables(
        &mut self,
        name: &str,
        range: &Expression,
        [key, value]: [&Expression; 2],
        bodies: &[Expression],
    ) -> Judged {
        let range = self.node(range);
        let (key_of, value_of) = match &range.of {
            Type::List(item, _) => (Type::Int, (**item).clone()),
            Type::Map(key, value, _) => ((**key).clone(), (**value).clone()),
            _ => (Type::Unknown, Type::Unknown),
        };
        let named = [(key, key_of), (value, value_of)];
        let named = named
            .into_iter()
            .filter_map(|(name, of)| Some((ident(name)?, Judged::declared(of, 1))));
        let each = self.with(named.collect(), |inner| {
            sum(bodies.iter().map(|body| inner.node(body).cost))
        });
        let cost = range
            .cost
            .saturating_add(range.size.saturating_mul(each.saturating_add(3)));
        match name {
            "transformList" | "transformMap" | "transformMapEntry" => Judged::made(Type::Unknown, cost),
            _ => Judged::made(Type::Bool, cost),
        }
    }

    /// `optMap` and `optFlatMap`: what becomes of the value, if there is one.
    fn of_optional(&mut self, macro_name: &str, target: &Expression, name: &Expression, body: &Expression) -> Judged {
        let target = self.node(target);
        let inner = match &target.of {
            Type::Optional(inner) => (**inner).clone(),
            _ => Type::Unknown,
        };
        let named = ident(name).map(|name| (name, Judged::declared(inner, 1)));
        let body = self.with(named.into_iter().collect(), |inner| inner.node(body));
        let cost = target.cost.saturating_add(body.cost).saturating_add(3);
        let of = if macro_name == "optMap" {
            Type::Optional(Box::new(body.of))
        } else {
            body.of
        };
        Judged::declared(of, cost)
    }

    /// A list in the order of what is said of its items.
    fn sort_by(&mut self, target: &Expression, name: &Expression, body: &Expression) -> Judged {
        let target = self.node(target);
        let item = match &target.of {
            Type::List(item, _) => (**item).clone(),
            _ => Type::Unknown,
        };
        let named = ident(name).map(|name| (name, Judged::declared(item, 1)));
        let each = self.with(named.into_iter().collect(), |inner| inner.node(body).cost);
        let cost = target.cost.saturating_add(target.size.saturating_mul(each));
        Judged::made(target.of, cost).sized(target.size)
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
        let written = args;
        let args: Vec<Judged> = match written {
            // Only what is formatted may be of several types.
            [
                Expression {
                    expr: Expr::List(list), ..
                },
            ] if name == "format" => vec![self.mixed(&list.elements)],
            written => written.iter().map(|arg| self.node(arg)).collect(),
        };
        let known = functions::overloads(&name);
        if known.is_empty() {
            self.refuse(id, format!("undeclared reference to '{name}' (in container '')"));
            return Judged::made(Type::Unknown, 0);
        }
        let Some(overload) = known.iter().find(|overload| fits(overload, target.as_ref(), &args)) else {
            let shown = signature(target.as_ref(), &args);
            let message = format!("found no matching overload for '{name}' applied to '{shown}'");
            self.refuse(id, message);
            return Judged::made(Type::Unknown, 0);
        };
        if let [
            ..,
            Expression {
                id,
                expr: Expr::Literal(LiteralValue::String(text)),
            },
        ] = written
            && let Some(why) = literal_problem(&name, text.inner())
        {
            self.literal_problems.push((*id, why));
        }
        called(&name, overload.gives, target.as_ref(), &args)
    }
}

/// What a call gives that takes its operands.
fn called(name: &str, gives: Gives, target: Option<&Judged>, args: &[Judged]) -> Judged {
    let operands = target.into_iter().chain(args).map(|operand| operand.cost);
    let (own, size) = cost_of_call(name, target, args);
    let first = target.or(args.first()).map(|first| &first.of);
    let of = gives.result(first, size);
    let cost = sum(operands).saturating_add(own);
    if gives == Gives::Inner {
        return Judged::declared(of, cost);
    }
    let judged = Judged::made(of, cost);
    match (&judged.of, args) {
        (Type::String(_) | Type::Bytes(_) | Type::List(..), _) => judged.sized(size),
        (Type::Unknown, [arg]) if name == "dyn" => judged.sized(arg.size),
        _ => judged,
    }
}

/// The types of operands as messages show them: `string.(int)`.
fn signature(target: Option<&Judged>, args: &[Judged]) -> String {
    let args: Vec<String> = args.iter().map(|arg| arg.of.to_string()).collect();
    let args = format!("({})", args.join(", "));
    match target {
        Some(target) => format!("{}.{args}", target.of),
        None => args,
    }
}

/// Whether a call is a macro over keys and values.
fn has_two_variables(name: &str, bodies: &[Expression]) -> bool {
    match name {
        "all" | "exists" | "existsOne" | "exists_one" => bodies.len() == 1,
        "transformList" | "transformMap" | "transformMapEntry" => matches!(bodies.len(), 1 | 2),
        _ => false,
    }
}

fn ident(node: &Expression) -> Option<String> {
    match &node.expr {
        Expr::Ident(name) => Some(name.clone()),
        _ => None,
    }
}

/// What is wrong with a text that a function is given as it is written.
fn literal_problem(function: &str, text: &str) -> Option<String> {
    let fits = match function {
        "duration" => is_duration(text),
        "timestamp" => text.parse::<jiff::Timestamp>().is_ok(),
        "matches" => regex::Regex::new(text).is_ok(),
        _ => true,
    };
    (!fits).then(|| format!("invalid {function} argument"))
}

/// Numbers with units, as `1h30m`.
fn is_duration(text: &str) -> bool {
    let mut rest = text.trim_start_matches(['-', '+']);
    if rest == "0" {
        return true;
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
            .unwrap_or(0);
        let units = ["ns", "us", "µs", "ms", "s", "m", "h"];
        let unit = units.into_iter().find(|unit| rest[digits..].starts_with(unit));
        match unit.filter(|_| rest[..digits].parse::<f64>().is_ok()) {
            Some(unit) => rest = &rest[digits + unit.len()..],
            None => return false,
        }
    }
    !text.is_empty()
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
