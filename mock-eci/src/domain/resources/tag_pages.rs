//! Pages of tags (`ListTagResources`): one entry per resource and tag, in the order of the resources' creation and of the
//! keys, so that a page goes on where the last one ended whatever was tagged meanwhile.

use super::tags;

/// Where a page begins: behind this tag of the resource at this place. On the wire it is opaque text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagToken {
    /// The resource's place in the order of creation.
    pub seq: u64,
    /// The key.
    pub key: String,
}

impl TagToken {
    /// As text.
    pub fn encode(&self) -> String {
        let key: String = self.key.bytes().map(|b| format!("{b:02x}")).collect();
        format!("{:x}-{key}", self.seq)
    }

    /// From text; none when this server never made it.
    pub fn decode(text: &str) -> Option<Self> {
        let (seq, hex) = text.split_once('-')?;
        if !hex.is_ascii() || hex.len() % 2 != 0 || hex.len() > 1_024 {
            return None;
        }
        let bytes: Option<Vec<u8>> = (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok())
            .collect();
        Some(Self {
            seq: u64::from_str_radix(seq, 16).ok()?,
            key: String::from_utf8(bytes?).ok()?,
        })
    }
}

/// A resource with its tags.
#[derive(Clone, Copy, Debug)]
pub struct Tagged<'a> {
    /// Its place in the order of creation.
    pub seq: u64,
    /// Its id.
    pub id: &'a str,
    /// Its tags.
    pub tags: &'a [(String, String)],
}

/// Which resources are asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only these; empty = any.
    pub ids: Vec<String>,
    /// Tags that must be there; an empty value matches any.
    pub tags: Vec<(String, String)>,
}

/// One entry: id, key and value.
pub type Entry = (String, String, String);

/// At most `limit` entries, and where the next page begins. A resource that is asked for by a tag is shown with all of its
/// tags.
pub fn page<'a>(
    resources: impl Iterator<Item = Tagged<'a>>,
    wanted: &Wanted,
    limit: usize,
    from: Option<&TagToken>,
) -> (Vec<Entry>, Option<TagToken>) {
    let mut entries = Vec::new();
    let mut last = None;
    for resource in resources {
        let asked = wanted.ids.is_empty() || wanted.ids.iter().any(|id| id == resource.id);
        if !asked || !tags::has_all(resource.tags, &wanted.tags) {
            continue;
        }
        let mut sorted: Vec<_> = resource.tags.iter().collect();
        sorted.sort();
        for (key, value) in sorted {
            if from.is_some_and(|t| (resource.seq, key.as_str()) <= (t.seq, t.key.as_str())) {
                continue;
            }
            if entries.len() >= limit {
                return (entries, last);
            }
            entries.push((resource.id.to_owned(), key.clone(), value.clone()));
            last = Some(TagToken {
                seq: resource.seq,
                key: key.clone(),
            });
        }
    }
    (entries, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Pages put together are all entries in order, whatever the limit.
        #[test]
        fn pages_are_the_whole_list(
            resources in prop::collection::vec(prop::collection::btree_map("[a-c]{1,2}", "[xy]", 0..5), 0..8),
            limit in 1..7_usize,
        ) {
            let named: Vec<(String, Vec<(String, String)>)> = resources.into_iter().enumerate()
                .map(|(n, tags)| (format!("id-{n}"), tags.into_iter().rev().collect())).collect();
            let all = || named.iter().zip(1..).map(|((id, tags), seq)| Tagged { seq, id, tags });
            let (expected, none) = page(all(), &Wanted::default(), usize::MAX, None);
            prop_assert_eq!(none, None);
            let (mut seen, mut token) = (Vec::new(), None);
            loop {
                let (entries, next) = page(all(), &Wanted::default(), limit, token.as_ref());
                prop_assert!(entries.len() <= limit);
                seen.extend(entries);
                match next {
                    Some(next) => token = TagToken::decode(&next.encode()),
                    None => break,
                }
                prop_assert!(token.is_some());
            }
            prop_assert_eq!(seen, expected);
        }
    }

    #[test]
    fn ids_and_tags_combine() {
        let tags = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
        let resources = |wanted: &Wanted| {
            let all = [("x", &tags[..]), ("y", &tags[..1])].into_iter().zip(1..);
            let all = all.map(|((id, tags), seq)| Tagged { seq, id, tags });
            page(all, wanted, 9, None).0.len()
        };
        assert_eq!(resources(&Wanted::default()), 3);
        let b = vec![("b".to_owned(), String::new())];
        let by_tag = Wanted {
            tags: b.clone(),
            ids: Vec::new(),
        };
        assert_eq!(resources(&by_tag), 2, "with all its tags");
        let by_both = Wanted {
            tags: b,
            ids: vec!["y".to_owned()],
        };
        assert_eq!(resources(&by_both), 0);
    }

    #[test]
    fn tokens_of_others_are_none() {
        for bad in ["", "1", "x-61", "1-6", "1-zz", "1-ff"] {
            assert_eq!(TagToken::decode(bad), None, "{bad:?}");
        }
    }
}
