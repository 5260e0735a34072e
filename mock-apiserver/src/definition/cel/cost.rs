//! What calls of functions cost at most.

use super::check::Judged;
use super::types::Type;

const UNKNOWN: u64 = u64::MAX;

/// The cost of going through a text, as a part of its length: a tenth.
pub(super) fn traversal(size: u64) -> u64 {
    size.div_ceil(10)
}

/// The cost of a regular expression of some length: a quarter.
fn regex(size: u64) -> u64 {
    size.div_ceil(4)
}

fn size(operand: Option<&Judged>) -> u64 {
    operand.map_or(UNKNOWN, |operand| operand.size)
}

/// What a call costs apart from its operands, and the size of its result.
pub(super) fn cost_of_call(name: &str, target: Option<&Judged>, args: &[Judged]) -> (u64, u64) {
    let (own, first) = (size(target), size(args.first()));
    let twice = |size: u64| size.saturating_mul(2).div_ceil(10);
    match name {
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => (each(target), UNKNOWN),
        "url" | "jsonpatch.escapeKey" => (traversal(first), first),
        "lowerAscii" | "upperAscii" | "substring" | "trim" => (traversal(own), own),
        "replace" => {
            let with = size(args.get(1));
            let size = own.saturating_add(1).saturating_mul(with).saturating_add(own);
            (twice(own), size)
        }
        "split" => (twice(own), own),
        "join" => {
            let joined = joined(target, args);
            (traversal(joined), joined)
        }
        "find" | "findAll" => (traversal(own.saturating_add(1)).saturating_mul(regex(first)), own),
        "matches" => {
            let (text, pattern) = if target.is_some() {
                (own, first)
            } else {
                (first, size(args.get(1)))
            };
            let cost = traversal(text.saturating_add(1)).saturating_mul(regex(pattern));
            (cost, UNKNOWN)
        }
        "contains" => (traversal(own).saturating_mul(traversal(first)), UNKNOWN),
        "startsWith" | "endsWith" | "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
            (traversal(first), UNKNOWN)
        }
        "ip" if target.is_none() => (traversal(first), UNKNOWN),
        "ip.isCanonical" => (twice(first), UNKNOWN),
        // Addresses have 16 bytes at most, which are compared with others.
        "containsIP" => (4, UNKNOWN),
        "containsCIDR" => (7, UNKNOWN),
        // A format stands for a regular expression of 128 letters.
        "validate" => (traversal(first).saturating_mul(32), UNKNOWN),
        "string" | "bytes" if matches!(args.first().map(|arg| &arg.of), Some(Type::Bytes(_) | Type::String(_))) => {
            (traversal(first), first.saturating_mul(4))
        }
        "format" => (traversal(own), UNKNOWN),
        _ => (1, UNKNOWN),
    }
}

/// Looking at each item of a list, or at each part of a text.
fn each(target: Option<&Judged>) -> u64 {
    match target.map(|target| &target.of) {
        Some(Type::List(item, _)) => {
            let compared = match &**item {
                Type::String(size) | Type::Bytes(size) => traversal(*size).saturating_add(1),
                _ => 1,
            };
            size(target).saturating_mul(compared)
        }
        Some(_) | None => traversal(size(target)),
    }
}

/// The length of the items of a list with separators between them.
fn joined(target: Option<&Judged>, args: &[Judged]) -> u64 {
    let items = size(target);
    let item = match target.map(|target| &target.of) {
        Some(Type::List(item, _)) => item.declared_size(),
        Some(_) | None => UNKNOWN,
    };
    let separators = |separator: &Judged| separator.size.saturating_mul(items.saturating_sub(1));
    items
        .saturating_mul(item)
        .saturating_add(args.first().map_or(0, separators))
}
