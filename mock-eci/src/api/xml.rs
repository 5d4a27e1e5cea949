//! Answers as XML: the same values as in JSON, in the shapes RPC gateways of Alibaba Cloud give them.
//!
//! A list whose name is a plural holds its items under the singular (`ContainerGroups` of `ContainerGroup`); any other
//! list repeats its own name (`DetailInfo` below `DetailInfos`, `Data`, `Command`). ECI's definition names the items of
//! few lists only; this is the rule of those it does name. Pure.

use std::{borrow::Cow, io};

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event},
};
use serde_json::Value;

/// A document with this root.
///
/// # Errors
/// None that memory does not give.
pub fn document(root: &str, value: &Value) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::with_capacity(1024));
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    element(&mut writer, root, value)?;
    Ok(writer.into_inner())
}

fn element(writer: &mut Writer<Vec<u8>>, name: &str, value: &Value) -> io::Result<()> {
    let name = &*element_name(name);
    match value {
        Value::Null => return writer.write_event(Event::Empty(BytesStart::new(name))),
        Value::Array(items) => return list(writer, name, items),
        _ => writer.write_event(Event::Start(BytesStart::new(name)))?,
    }
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                element(writer, name, value)?;
            }
        }
        Value::String(text) => writer.write_event(Event::Text(BytesText::from_escaped(characters(text))))?,
        other => writer.write_event(Event::Text(BytesText::new(&other.to_string())))?,
    }
    writer.write_event(Event::End(BytesEnd::new(name)))
}

fn list(writer: &mut Writer<Vec<u8>>, name: &str, items: &[Value]) -> io::Result<()> {
    let Some(item_name) = singular(name) else {
        return items.iter().try_for_each(|item| element(writer, name, item));
    };
    writer.write_event(Event::Start(BytesStart::new(name)))?;
    items.iter().try_for_each(|item| element(writer, &item_name, item))?;
    writer.write_event(Event::End(BytesEnd::new(name)))
}

/// The singular of a plural; none = it is no plural.
fn singular(name: &str) -> Option<Cow<'_, str>> {
    for (plural, singular) in [("Searches", "Search"), ("Aliases", "Alias"), ("Statuses", "Status")] {
        if let Some(stem) = name.strip_suffix(plural) {
            return Some(format!("{stem}{singular}").into());
        }
    }
    if let Some(stem) = name.strip_suffix("ies").filter(|stem| !stem.is_empty()) {
        return Some(format!("{stem}y").into());
    }
    let stem = name.strip_suffix('s')?;
    (!stem.is_empty() && !stem.ends_with('s')).then_some(stem.into())
}

/// Names are ECI's and fit; only keys that callers chose (of maps) may not.
fn element_name(name: &str) -> Cow<'_, str> {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
    let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.starts_with(begins) && name.chars().all(goes_on) {
        return name.into();
    }
    let rest = name.chars().map(|c| if goes_on(c) { c } else { '_' });
    std::iter::once('_').chain(rest).collect::<String>().into()
}

/// Escaped text. XML has no way to say most control characters: they become U+FFFD. A carriage return must be escaped, or
/// readers make a line feed of it.
fn characters(text: &str) -> Cow<'_, str> {
    let allowed = |c: char| matches!(c, '\t' | '\n' | '\r') || (c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'));
    let escaped = quick_xml::escape::escape(text);
    if escaped.chars().all(|c| allowed(c) && c != '\r') {
        return escaped;
    }
    let mut clean = String::with_capacity(escaped.len() + 16);
    for c in escaped.chars() {
        match c {
            '\r' => clean.push_str("&#13;"),
            c if allowed(c) => clean.push(c),
            _ => clean.push('\u{fffd}'),
        }
    }
    clean.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use quick_xml::Reader;
    use serde_json::json;

    use super::*;

    fn text(root: &str, value: &Value) -> String {
        let document = String::from_utf8(document(root, value).expect("memory")).expect("UTF-8");
        document
            .strip_prefix(r#"<?xml version="1.0" encoding="UTF-8"?>"#)
            .expect("a declaration")
            .to_owned()
    }

    #[test]
    fn lists_of_plural_names_hold_items_of_the_singular() {
        let value = json!({"ContainerGroups": [{"Tags": [{"Key": "a"}], "Events": []}], "TotalCount": 1});
        assert_eq!(
            text("DescribeContainerGroupsResponse", &value),
            "<DescribeContainerGroupsResponse><ContainerGroups><ContainerGroup><Events></Events><Tags><Tag><Key>a</Key></Tag></Tags>\
             </ContainerGroup></ContainerGroups><TotalCount>1</TotalCount></DescribeContainerGroupsResponse>"
        );
    }

    #[test]
    fn other_lists_repeat_their_name() {
        let value = json!({"DetailInfos": {"DetailInfo": [{"Resource": "cpu"}, {"Resource": "mem"}]}, "Data": []});
        assert_eq!(
            text("R", &value),
            "<R><DetailInfos><DetailInfo><Resource>cpu</Resource></DetailInfo><DetailInfo><Resource>mem</Resource></DetailInfo></DetailInfos></R>"
        );
    }

    #[test]
    fn singulars() {
        for (plural, expected) in [
            ("ContainerGroups", Some("ContainerGroup")),
            ("HostAliases", Some("HostAlias")),
            ("Hostnames", Some("Hostname")),
            ("Searches", Some("Search")),
            ("ContainerStatuses", Some("ContainerStatus")),
            ("ImageCaches", Some("ImageCache")),
            ("Args", Some("Arg")),
            ("Policies", Some("Policy")),
            ("Data", None),
            ("Disk", None),
            ("Access", None),
            ("s", None),
        ] {
            assert_eq!(singular(plural).as_deref(), expected, "{plural}");
        }
    }

    #[test]
    fn scalars_and_what_must_be_escaped() {
        let value =
            json!({"A": "<&>\"'", "B": true, "C": 0.25, "D": null, "E": "a\u{1b}[1m\r\n\t\u{0}\u{ffff}", "1 x": ""});
        assert_eq!(
            text("R", &value),
            "<R><_1_x></_1_x><A>&lt;&amp;&gt;&quot;&apos;</A><B>true</B><C>0.25</C><D/><E>a\u{fffd}[1m&#13;\n\t\u{fffd}\u{fffd}</E></R>"
        );
    }

    proptest! {
        /// Whatever text and keys: a parser reads it to its end.
        #[test]
        fn every_document_is_well_formed(key: String, text: String) {
            let document = document("Root", &json!({key: [text.clone()], "T": text})).expect("memory");
            let mut reader = Reader::from_reader(&document[..]);
            reader.config_mut().check_end_names = true;
            let allowed = |c: char| matches!(c, '\t' | '\n' | '\r') || (c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}'));
            prop_assert!(std::str::from_utf8(&document).expect("UTF-8").chars().all(allowed));
            let mut buffer = Vec::new();
            let mut depth = 0_i32;
            loop {
                match reader.read_event_into(&mut buffer).expect("well-formed") {
                    Event::Start(_) => depth += 1,
                    Event::End(_) => depth -= 1,
                    Event::Eof => break,
                    _ => {}
                }
                buffer.clear();
            }
            prop_assert_eq!(depth, 0);
        }
    }
}
