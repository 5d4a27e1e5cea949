//! `$(VAR)` in environment, command, arguments and `subPathExpr`, by the rules of a kubelet.

/// What a name stands for.
pub(super) enum Lookup<'a> {
    /// A value.
    Known(&'a str),
    /// The pod's IP, which nobody knows before ECI has placed the group.
    PodIp,
    /// Nothing.
    Unset,
}

/// The outcome of expanding a text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text.
    pub(super) text: String,
    /// Names it refers to whose value is the pod's IP; the text is then useless.
    pub(super) pod_ip: Vec<String>,
    /// Names without value; each stands in the text as it was written, as a kubelet leaves it.
    pub(super) unset: Vec<String>,
}

/// Replaces each `$(NAME)`. `$$` stands for `$`; an operator that begins no reference stays as it is.
pub(super) fn expand<'a>(input: &str, lookup: impl Fn(&str) -> Lookup<'a>) -> Expanded {
    let mut out = Expanded {
        text: String::with_capacity(input.len()),
        ..Expanded::default()
    };
    let mut rest = input;
    while let Some(at) = rest.find('$') {
        out.text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.text.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match lookup(name) {
                Lookup::Known(value) => out.text.push_str(value),
                Lookup::PodIp => out.pod_ip.push(name.to_owned()),
                Lookup::Unset => {
                    out.text.push_str("$(");
                    out.text.push_str(name);
                    out.text.push(')');
                    out.unset.push(name.to_owned());
                }
            }
            rest = after;
        } else {
            out.text.push('$');
        }
    }
    out.text.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(input: &str) -> Expanded {
        expand(input, |name| match name {
            "A" => Lookup::Known("1"),
            "DOLLAR" => Lookup::Known("$(A)"),
            "EMPTY" => Lookup::Known(""),
            "IP" => Lookup::PodIp,
            _ => Lookup::Unset,
        })
    }

    /// Cases of Kubernetes' own `expansion` tests, with its results.
    #[test]
    fn as_a_kubelet() {
        for (input, output) in [
            ("$(A)", "1"),
            ("___$(A)___$(A)", "___1___1"),
            ("$(DOLLAR)", "$(A)"),
            ("$(EMPTY)x", "x"),
            ("$(NONE)", "$(NONE)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$$$$(A)", "$$(A)"),
            ("$$$$$(A)", "$$1"),
            ("$", "$"),
            ("$$", "$"),
            ("$$$", "$$"),
            ("$(A", "$(A"),
            ("$(A$(A)", "$(A$(A)"),
            ("$A", "$A"),
            ("A)$(", "A)$("),
            ("$()", "$()"),
            ("ü$(A)$ü", "ü1$ü"),
        ] {
            assert_eq!(expanded(input).text, output, "{input}");
        }
    }

    #[test]
    fn unknown_names_are_reported() {
        let out = expanded("$(IP):$(NONE)");
        assert_eq!(
            (out.pod_ip, out.unset),
            (vec!["IP".to_owned()], vec!["NONE".to_owned()])
        );
    }
}
