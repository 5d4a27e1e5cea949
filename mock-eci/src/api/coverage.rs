//! `docs/coverage.md`: what of ECI is here, written from the dispatch table and the catalogue of parameters.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    catalogue::{CATALOGUE, Parameter, Status},
    table::{ACTIONS, Action},
};

/// How many operations there are today; the rest of the table only old SDKs know.
const CURRENT: usize = 36;

const HEAD: &str = "# What of ECI is in mock-eci

<!-- Written from mock-eci/src/api/table.rs and mock-eci/src/api/parameters.txt:
     UPDATE_GOLDEN=1 cargo test -p mock-eci --test sim coverage -->

Every operation of ECI 2018-08-08 and each of its parameters.

- **done**: it does what ECI does; what ECI only keeps and shows again, is validated, kept and shown again. A remark says what is less than at ECI.
- **ignored**: accepted without any effect.
- **refused**: given a value it is answered `UnsupportedParameter` (400), which names it.

An operation that is not supported answers `UnsupportedOperation` (400), one that ECI does not have `InvalidAction.NotFound` (404). A parameter that
ECI does not have is accepted without effect; the journal (`/mock/journal`) names it as `Unknown`.
";

/// The whole document.
pub fn document() -> String {
    let mut out = HEAD.to_owned();
    let (current, old) = ACTIONS.split_at(CURRENT);
    let supported = |actions: &[Action]| actions.iter().filter(|a| a.handler.is_some()).count();
    let parameters = |status: fn(&Status) -> bool| {
        let actions = ACTIONS.iter().filter(|a| a.handler.is_some());
        let all = actions.flat_map(|a| CATALOGUE.action(a.name).unwrap_or_default());
        all.filter(|p| status(&p.status)).count()
    };
    let _ = write!(
        out,
        "\n**{} of {CURRENT} operations** are supported, and {} of {} that only old SDKs have. Of the parameters of these: {} done, {} ignored, {} \
         refused.\n\n| operation | supported | parameters done | ignored | refused |\n|---|---|---|---|---|\n",
        supported(current),
        supported(old),
        old.len(),
        parameters(|s| *s == Status::Done),
        parameters(|s| *s == Status::Ignored),
        parameters(|s| *s == Status::Refused),
    );
    for action in current.iter().chain(old) {
        row(&mut out, action);
    }
    out.push_str("\nCounted by name, whatever the index. All operations also take, and ignore: ");
    out.push_str(&names(CATALOGUE.everywhere(), |_| true));
    out.push_str(".\n");
    for action in ACTIONS.iter().filter(|a| a.handler.is_some()) {
        section(&mut out, action);
    }
    out
}

fn row(out: &mut String, action: &Action) {
    let parameters = CATALOGUE.action(action.name).unwrap_or_default();
    let count = |status: fn(&Status) -> bool| parameters.iter().filter(|p| status(&p.status)).count();
    let _ = match action.handler {
        None => writeln!(out, "| {} | no | – of {} | | |", action.name, parameters.len()),
        Some(_) => writeln!(
            out,
            "| [{}](#{}) | yes | {} of {} | {} | {} |",
            action.name,
            action.name.to_ascii_lowercase(),
            count(|s| *s == Status::Done),
            parameters.len(),
            count(|s| *s == Status::Ignored),
            count(|s| *s == Status::Refused),
        ),
    };
}

fn section(out: &mut String, action: &Action) {
    let parameters = CATALOGUE.action(action.name).unwrap_or_default();
    let _ = writeln!(out, "\n## {}\n", action.name);
    if action.post_only {
        out.push_str("POST only.\n\n");
    }
    let plain = names(parameters, |p| p.status == Status::Done && p.why.is_empty());
    let _ = writeln!(out, "Done: {plain}.");
    let mut notes: Vec<(Status, &str, &str)> = Vec::new();
    for (status, word) in [
        (Status::Done, "done"),
        (Status::Ignored, "ignored"),
        (Status::Refused, "refused"),
    ] {
        for p in parameters.iter().filter(|p| p.status == status && !p.why.is_empty()) {
            if !notes.contains(&(status, word, p.why)) {
                notes.push((status, word, p.why));
            }
        }
    }
    if !notes.is_empty() {
        out.push('\n');
    }
    for (status, word, why) in notes {
        let names = names(parameters, |p| p.status == status && p.why == why);
        let _ = writeln!(out, "- {word} ({why}): {names}");
    }
}

/// Names with what they have in common said once: `Port.N.{Port, Protocol}`.
fn names(parameters: &[Parameter], wanted: impl Fn(&&Parameter) -> bool) -> String {
    let mut root = Node::default();
    for parameter in parameters.iter().filter(wanted) {
        let mut node = &mut root;
        for segment in parameter.name.split('.') {
            node = node.children.entry(segment).or_default();
        }
        node.ends = true;
    }
    let tops = root.children.iter().flat_map(|(name, node)| node.render(name));
    tops.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[derive(Default)]
struct Node<'a> {
    /// Whether a parameter ends here.
    ends: bool,
    children: BTreeMap<&'a str, Node<'a>>,
}

impl Node<'_> {
    fn render(&self, name: &str) -> Vec<String> {
        let mut rendered = Vec::new();
        if self.ends {
            rendered.push(name.to_owned());
        }
        let below: Vec<String> = self.children.iter().flat_map(|(n, child)| child.render(n)).collect();
        match &below[..] {
            [] => {}
            [only] => rendered.push(format!("{name}.{only}")),
            several => rendered.push(format!("{name}.{{{}}}", several.join(", "))),
        }
        rendered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_have_in_common_is_said_once() {
        let parameters = ["A", "B.N", "C.N.X", "C.N.Y.N", "C.N.Z.P", "C.N.Z.Q"].map(|name| Parameter {
            name,
            status: Status::Done,
            why: "",
        });
        let text = names(&parameters, |_| true);
        assert_eq!(text, "`A`, `B.N`, `C.N.{X, Y.N, Z.{P, Q}}`");
    }

    #[test]
    fn current_operations_come_first() {
        assert_eq!(ACTIONS[CURRENT].name, "DeleteContainerGroups");
        assert_eq!(ACTIONS.len(), CURRENT + 4);
    }
}
