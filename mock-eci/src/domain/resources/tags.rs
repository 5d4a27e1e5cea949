//! Tags of anything that has some: groups, caches, virtual nodes.

/// Keys and values; keys are unique.
pub type Tags = Vec<(String, String)>;

/// Most tags a resource may have.
pub const MAX_TAGS: usize = 20;

/// The resource would have more than [`MAX_TAGS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// Whether these tags are all there; an empty value matches any.
pub fn has_all(tags: &[(String, String)], wanted: &[(String, String)]) -> bool {
    wanted
        .iter()
        .all(|(k, v)| tags.iter().any(|(key, value)| key == k && (v.is_empty() || value == v)))
}

/// Adds tags; one whose key is there already gets the new value.
///
/// # Errors
/// [`TooMany`]; then nothing is changed.
pub fn add(tags: &mut Tags, added: &[(String, String)]) -> Result<(), TooMany> {
    let new = |(key, _): &&(String, String)| !tags.iter().any(|(k, _)| k == key);
    if tags.len() + added.iter().filter(new).count() > MAX_TAGS {
        return Err(TooMany);
    }
    for (key, value) in added {
        match tags.iter_mut().find(|(k, _)| k == key) {
            Some(tag) => tag.1.clone_from(value),
            None => tags.push((key.clone(), value.clone())),
        }
    }
    Ok(())
}

/// Which tags are taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// Those of these keys.
    Keys(Vec<String>),
    /// All.
    All,
}

/// Takes tags away; those that are not there are no error.
pub fn remove(tags: &mut Tags, removed: &Removed) {
    match removed {
        Removed::All => tags.clear(),
        Removed::Keys(keys) => tags.retain(|(key, _)| !keys.contains(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_known_key_gets_a_new_value_and_a_new_key_its_place() {
        let mut some = tags(&[("a", "1"), ("b", "2")]);
        add(&mut some, &tags(&[("b", "3"), ("c", "4")])).expect("few");
        assert_eq!(some, tags(&[("a", "1"), ("b", "3"), ("c", "4")]));
        remove(&mut some, &Removed::Keys(vec!["a".to_owned(), "x".to_owned()]));
        assert_eq!(some, tags(&[("b", "3"), ("c", "4")]));
        remove(&mut some, &Removed::All);
        assert!(some.is_empty());
    }

    #[test]
    fn twenty_are_the_most() {
        let mut some: Tags = (0..19).map(|n| (n.to_string(), String::new())).collect();
        assert_eq!(add(&mut some, &tags(&[("x", ""), ("y", "")])), Err(TooMany));
        assert_eq!(some.len(), 19, "all or nothing");
        add(&mut some, &tags(&[("x", "")])).expect("the twentieth");
        add(&mut some, &tags(&[("0", "new"), ("x", "new")])).expect("no new key");
    }

    #[test]
    fn an_empty_value_asks_for_the_key_alone() {
        let some = tags(&[("a", "1"), ("b", "")]);
        assert!(has_all(&some, &tags(&[("a", ""), ("b", "")])));
        assert!(has_all(&some, &[]));
        assert!(!has_all(&some, &tags(&[("a", "2")])));
        assert!(!has_all(&some, &tags(&[("c", "")])));
    }
}
