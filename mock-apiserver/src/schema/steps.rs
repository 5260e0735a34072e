//! The steps of a path in a message: `spec.list[0].name`, `spec.map[a.b]`.

/// The steps, in order: names of members, and what stands in brackets (places in lists, keys of maps).
pub(super) fn steps(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches('.');
        if rest.is_empty() {
            return None;
        }
        if let Some(inner) = rest.strip_prefix('[') {
            let (step, after) = inner.split_once(']').unwrap_or((inner, ""));
            rest = after;
            return Some(step);
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (step, after) = rest.split_at(end);
        rest = after;
        Some(step)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_brackets_is_one_step() {
        let of = |path: &'static str| steps(path).collect::<Vec<_>>();
        assert_eq!(of("spec.list[0].name"), ["spec", "list", "0", "name"]);
        assert_eq!(of("spec.map[a.b][1]"), ["spec", "map", "a.b", "1"]);
        assert_eq!(of(".a[b"), ["a", "b"]);
        assert_eq!(of(""), Vec::<&str>::new());
    }
}
