//! References to variables in what a container is given, as a kubelet replaces them.

use std::collections::BTreeMap;

/// `text` with every `$(NAME)` replaced that is one of `variables`, and every `$$` by `$`. A reference to anything else
/// stays as it is, and so does a `$` of no meaning.
pub(crate) fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = after;
        if let Some(escaped) = rest.strip_prefix('$') {
            expanded.push('$');
            rest = escaped;
            continue;
        }
        let reference = rest.strip_prefix('(').and_then(|reference| reference.split_once(')'));
        match reference {
            Some((name, after)) => {
                match variables.get(name) {
                    Some(value) => expanded.push_str(value),
                    None => expanded.extend(["$(", name, ")"]),
                }
                rest = after;
            }
            None => expanded.push('$'),
        }
    }
    expanded.push_str(rest);
    expanded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_as_a_kubelet_does() {
        let variables = BTreeMap::from([("X".to_owned(), "1".to_owned()), ("D".to_owned(), "$(X)$$".to_owned())]);
        for (text, expanded) in [
            ("", ""),
            ("plain", "plain"),
            ("$(X)", "1"),
            ("a$(X)b$(X)", "a1b1"),
            ("$$", "$"),
            ("$$(X)", "$(X)"),
            ("$$$(X)", "$1"),
            ("$$$$(X)", "$$(X)"),
            ("a$$b", "a$b"),
            ("$X", "$X"),
            ("$", "$"),
            ("a$", "a$"),
            ("$(NONE)", "$(NONE)"),
            ("$(NONE)$(X)", "$(NONE)1"),
            ("$()", "$()"),
            ("$(X", "$(X"),
            ("$(X$(X)", "$(X$(X)"),
            ("$(a$$(X)", "$(a$$(X)"),
            ("$(D)", "$(X)$$"),
        ] {
            assert_eq!(expand(text, &variables), expanded, "{text}");
        }
    }
}
