//! Types and costs of the nodes of a tree.

use super::source::Problem;
use super::types::{Type, reserved};
use ::kube_cel::cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, LiteralValue, SelectExpr};
use ::kube_cel::cel::parser::Expression;

/// What a list costs to make, apart from its items.
const LIST: u64 = 10;
const MAP: u64 = 30;
const MESSAGE: u64 = 40;

/// What is known of an expression.
#[derive(Debug, Clone)]
pub(super) struct Judged {
    pub(super) of: Type,
    /// How many characters, items or members its value has at most, as costs count them.
    pub(super) size: u64,
    pub(super) cost: u64,
}

impl Judged {
    /// A value that an expression makes.
    pub(super) fn made(of: Type, cost: u64) -> Self {
        let size = of.made_size();
        Self { of, size, cost }
    }

    /// A value that the schema declares.
    pub(super) fn declared(of: Type, cost: u64) -> Self {
        let size = of.declared_size();
        Self { of, size, cost }
    }

    pub(super) fn sized(self, size: u64) -> Self {
        Self { size, ..self }
    }
}

/// A walk over an expression.
#[derive(Debug)]
pub(super) struct Checker {
    /// What names mean, the innermost last.
    names: Vec<(String, Judged)>,
    pub(super) problems: Vec<Problem>,
    /// Those of texts that only functions read, which count where nothing else is wrong.
    pub(super) literal_problems: Vec<Problem>,
    pub(super) uses_old: bool,
}

impl Checker {
    pub(super) fn new<const N: usize>(variables: [(&str, Type); N]) -> Self {
        let names = variables.into_iter();
        Self {
            names: names
                .map(|(name, of)| (name.to_owned(), Judged::declared(of, 1)))
                .collect(),
            problems: Vec::new(),
            literal_problems: Vec::new(),
            uses_old: false,
        }
    }

    pub(super) fn refuse(&mut self, id: u64, message: String) {
        self.problems.push((id, message));
    }

    /// Makes a name known as long as `judge` goes on.
    pub(super) fn with<T>(&mut self, names: Vec<(String, Judged)>, judge: impl FnOnce(&mut Self) -> T) -> T {
        let depth = self.names.len();
        self.names.extend(names);
        let result = judge(self);
        self.names.truncate(depth);
        result
    }

    pub(super) fn is_declared(&self, name: &str) -> bool {
        self.names.iter().any(|(known, _)| known == name)
    }

    pub(super) fn node(&mut self, node: &Expression) -> Judged {
        match &node.expr {
            Expr::Unspecified => Judged::made(Type::Unknown, 0),
            Expr::Literal(literal) => constant(literal),
            Expr::Ident(name) => self.ident(node.id, name),
            Expr::Select(select) => self.select(node.id, select),
            Expr::Call(call) => self.call(node.id, call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => self.list(&list.elements),
            Expr::Map(map) => {
                let (mut key, mut value, mut cost) = (Type::Unknown, Type::Unknown, MAP);
                for (index, entry) in map.entries.iter().enumerate() {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        continue;
                    };
                    cost = cost.saturating_add(self.member(&entry.key, &mut key, index));
                    cost = cost.saturating_add(self.member(&entry.value, &mut value, index));
                }
                let size = map.entries.len() as u64;
                Judged::made(Type::Map(Box::new(key), Box::new(value), size), cost).sized(size)
            }
            Expr::Struct(message) => {
                let values = message.entries.iter().map(|entry| match &entry.expr {
                    EntryExpr::StructField(field) => self.node(&field.value).cost,
                    EntryExpr::MapEntry(entry) => self.node(&entry.value).cost,
                });
                let cost = values.fold(MESSAGE, u64::saturating_add);
                Judged::made(Type::Unknown, cost)
            }
        }
    }

    fn ident(&mut self, id: u64, name: &str) -> Judged {
        const TYPES: [&str; 12] = [
            "bool",
            "bytes",
            "double",
            "duration",
            "dyn",
            "int",
            "list",
            "map",
            "null_type",
            "string",
            "timestamp",
            "uint",
        ];
        if let Some((_, known)) = self.names.iter().rev().find(|(known, _)| known == name) {
            self.uses_old |= name == "oldSelf";
            return Judged {
                cost: 1,
                ..known.clone()
            };
        }
        if reserved(name).is_some() {
            self.refuse(id, format!("reserved identifier: {name}"));
            return Judged::made(Type::Unknown, 1);
        }
        if TYPES.contains(&name) || matches!(name, "optional_type" | "type") {
            // The real server takes any name for a path that starts at `self`.
            let size = self.names.first().map_or(u64::MAX, |(_, own)| own.size);
            return Judged::made(Type::Meta, 1).sized(size);
        }
        self.refuse(id, format!("undeclared reference to '{name}' (in container '')"));
        Judged::made(Type::Unknown, 1)
    }

    fn select(&mut self, id: u64, select: &SelectExpr) -> Judged {
        let holder = self.node(&select.operand);
        let found = self.field(id, &holder.of, &select.field).unwrap_or(Type::Unknown);
        if select.test {
            return Judged::made(Type::Bool, holder.cost);
        }
        let has_fields = matches!(holder.of, Type::Object(_) | Type::Map(..));
        Judged::declared(found, holder.cost.saturating_add(u64::from(has_fields)))
    }

    /// The type of a field; `None` if there is none, which is told.
    pub(super) fn field(&mut self, id: u64, holder: &Type, field: &str) -> Option<Type> {
        match holder {
            Type::Unknown | Type::Dyn(_) => Some(Type::Unknown),
            Type::Map(_, value, _) => Some((**value).clone()),
            Type::Object(fields) => {
                let escaped = || reserved(field).and_then(|name| fields.get(&name));
                let found = fields.get(field).or_else(escaped).cloned();
                if found.is_none() {
                    self.refuse(id, format!("undefined field '{field}'"));
                }
                found
            }
            Type::Optional(inner) => {
                let inner = inner.clone();
                self.field(id, &inner, field)
                    .map(|found| Type::Optional(Box::new(found)))
            }
            other => {
                self.refuse(id, format!("type '{other}' does not support field selection"));
                None
            }
        }
    }

    /// An item of a literal, which must be of the type of those before it; gives its cost.
    fn member(&mut self, node: &Expression, of: &mut Type, index: usize) -> u64 {
        let judged = self.node(node);
        if index == 0 {
            *of = judged.of;
        } else if of.agrees(&judged.of) {
            *of = std::mem::replace(of, Type::Unknown).join(judged.of);
        } else {
            self.refuse(node.id, format!("expected type '{of}' but found '{}'", judged.of));
        }
        judged.cost
    }

    fn list(&mut self, elements: &[Expression]) -> Judged {
        let (mut of, mut cost) = (Type::Unknown, LIST);
        for (index, element) in elements.iter().enumerate() {
            cost = cost.saturating_add(self.member(element, &mut of, index));
        }
        let size = elements.len() as u64;
        Judged::made(Type::List(Box::new(of), size), cost).sized(size)
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) -> Judged {
        let range = self.node(&comprehension.iter_range);
        let of = match &range.of {
            Type::List(item, _) => (**item).clone(),
            Type::Map(key, _, _) => (**key).clone(),
            Type::Unknown | Type::Dyn(_) => Type::Unknown,
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.refuse(comprehension.iter_range.id, message);
                Type::Unknown
            }
        };
        let start = self.node(&comprehension.accu_init);
        let depth = self.names.len();
        self.names.push((comprehension.accu_var.clone(), start.clone()));
        self.names
            .push((comprehension.iter_var.clone(), Judged::declared(of, 1)));
        let condition = self.node(&comprehension.loop_cond);
        let step = self.node(&comprehension.loop_step);
        self.names.truncate(depth);
        let makes_list = matches!(start.of, Type::List(..));
        let made = if makes_list { step.of.clone() } else { start.of };
        let made = Judged::made(made, 1).sized(if makes_list { range.size } else { 1 });
        self.names.push((comprehension.accu_var.clone(), made));
        let result = self.node(&comprehension.result);
        self.names.truncate(depth);
        let turns = range.size.saturating_mul(step.cost.saturating_add(condition.cost));
        let cost = [range.cost, start.cost, result.cost, turns]
            .into_iter()
            .fold(0, u64::saturating_add);
        Judged { cost, ..result }
    }
}

fn constant(literal: &LiteralValue) -> Judged {
    let of = match literal {
        LiteralValue::Boolean(_) => Type::Bool,
        LiteralValue::Bytes(bytes) => {
            let size = bytes.inner().len() as u64;
            return Judged::made(Type::Bytes(size), 0).sized(size);
        }
        LiteralValue::Double(_) => Type::Double,
        LiteralValue::Int(_) => Type::Int,
        LiteralValue::Null => Type::Null,
        LiteralValue::String(text) => {
            let size = text.inner().chars().count() as u64;
            return Judged::made(Type::String(size), 0).sized(size);
        }
        LiteralValue::UInt(_) => Type::Uint,
    };
    Judged::made(of, 0)
}
