//! Parameters of one request: a sorted list of names and values, read through scopes (`Container.1.` and so on).
//!
//! The wire flattens lists and structures: `Container.1.EnvironmentVar.2.Key=A`. Sorted bytewise, everything below one
//! prefix is one contiguous slice, so a [`Scope`] is a slice and the length of its prefix, and reading allocates nothing.
//! Lists are ordered by their index, never by the order of the request.

use std::{cell::Cell, cmp::Ordering, collections::BTreeMap};

use super::{bounds::Bounds, error::ApiError};
use crate::config::ParameterBounds;

/// Most parameters one request may have: far above the largest legal one (20 containers of 240 variables).
pub const MAX_PARAMETERS: usize = 20_000;

/// Bytes that an item of a JSON array in a parameter may have; ids have 24.
const MAX_JSON_TEXT: usize = 512;

/// All parameters of one request, sorted by name.
#[derive(Clone, Debug, Default)]
pub struct Params {
    pairs: Vec<(Box<str>, Box<str>)>,
}

impl Params {
    /// Adds the pairs of a query string or form body.
    ///
    /// # Errors
    /// More than [`MAX_PARAMETERS`].
    pub fn extend_encoded(&mut self, encoded: &[u8]) -> Result<(), ApiError> {
        for (name, value) in form_urlencoded::parse(encoded) {
            if self.pairs.len() >= MAX_PARAMETERS {
                return Err(ApiError::too_many_parameters(MAX_PARAMETERS));
            }
            self.pairs.push((name.into(), value.into()));
        }
        Ok(())
    }

    /// Adds one pair.
    ///
    /// # Errors
    /// More than [`MAX_PARAMETERS`].
    pub fn push(&mut self, name: impl Into<Box<str>>, value: &str) -> Result<(), ApiError> {
        if self.pairs.len() >= MAX_PARAMETERS {
            return Err(ApiError::too_many_parameters(MAX_PARAMETERS));
        }
        self.pairs.push((name.into(), value.into()));
        Ok(())
    }

    /// Sorts by name; call it once after the last addition.
    pub fn sort(&mut self) {
        self.pairs.sort();
    }

    /// All pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.pairs.binary_search_by(|(n, _)| (**n).cmp(name)).ok()?;
        Some(&self.pairs[at].1)
    }

    /// The first name that occurs twice; which of the values counts would be a guess.
    pub fn duplicate(&self) -> Option<&str> {
        self.pairs.windows(2).find(|w| w[0].0 == w[1].0).map(|w| &*w[0].0)
    }
}

/// Marks which parameters were read, to hold that against the catalogue.
#[derive(Debug)]
pub struct Reader<'a> {
    params: &'a Params,
    read: Vec<Cell<bool>>,
    bounds: &'static Bounds,
}

impl<'a> Reader<'a> {
    /// Nothing read yet.
    pub fn new(params: &'a Params) -> Self {
        Self {
            params,
            read: vec![Cell::new(false); params.pairs.len()],
            bounds: Bounds::of(ParameterBounds::Gateway),
        }
    }

    /// The same, held to these bounds.
    pub fn within(self, bounds: &'static Bounds) -> Self {
        Self { bounds, ..self }
    }

    /// Everything.
    pub fn root(&self) -> Scope<'_> {
        Scope {
            pairs: &self.params.pairs,
            read: &self.read,
            bounds: self.bounds,
            prefix: 0,
        }
    }

    /// Every parameter's name and whether anybody asked for it.
    pub fn reads(&self) -> impl Iterator<Item = (&str, bool)> {
        let read = self.read.iter().map(Cell::get);
        self.params.pairs.iter().map(|(name, _)| &**name).zip(read)
    }
}

/// The parameters below one prefix.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    pairs: &'a [(Box<str>, Box<str>)],
    read: &'a [Cell<bool>],
    bounds: &'static Bounds,
    /// Bytes of every name that belong to the prefix.
    prefix: usize,
}

impl<'a> Scope<'a> {
    /// How long lists and texts may be.
    pub fn bounds(&self) -> &'static Bounds {
        self.bounds
    }

    /// The full wire name of a member, for messages.
    pub fn name(&self, member: &str) -> String {
        match self.pairs.first() {
            // A scalar item (`Arg.1`) lacks the dot its prefix counts.
            Some((name, _)) => match name.get(..self.prefix) {
                Some(prefix) => format!("{prefix}{member}"),
                None => format!("{name}.{member}"),
            },
            None => member.to_owned(),
        }
    }

    /// Whether nothing is below this prefix.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Everything below `member.`.
    pub fn sub(&self, member: &str) -> Scope<'a> {
        // Names below the prefix `member.` lie between `member.` and `member/` ('/' follows '.').
        let member_bytes = member.as_bytes();
        let below = |name: &str, last: u8| {
            let rest = name.as_bytes().get(self.prefix..).unwrap_or_default();
            match rest.split_at_checked(member_bytes.len()) {
                None => rest < member_bytes,
                Some((head, tail)) => match head.cmp(member_bytes) {
                    Ordering::Equal => tail.first().is_none_or(|&next| next < last),
                    order => order == Ordering::Less,
                },
            }
        };
        let from = self.pairs.partition_point(|(name, _)| below(name, b'.'));
        let to = from + self.pairs[from..].partition_point(|(name, _)| below(name, b'/'));
        Scope {
            pairs: &self.pairs[from..to],
            read: &self.read[from..to],
            bounds: self.bounds,
            prefix: self.prefix + member.len() + 1,
        }
    }

    fn find(&self, member: &str) -> Option<&'a str> {
        let at = self
            .pairs
            .binary_search_by(|(name, _)| name.get(self.prefix..).unwrap_or_default().cmp(member))
            .ok()?;
        self.read[at].set(true);
        Some(&self.pairs[at].1)
    }

    /// Text as given, the empty one included.
    pub fn text(&self, member: &str) -> Option<&'a str> {
        self.find(member)
    }

    /// Text that is not empty: an empty value counts as not given.
    pub fn filled(&self, member: &str) -> Option<&'a str> {
        self.find(member).filter(|v| !v.is_empty())
    }

    /// Text that must be there and not empty.
    ///
    /// # Errors
    /// `MissingParameter`.
    pub fn required(&self, member: &str) -> Result<&'a str, ApiError> {
        self.filled(member).ok_or_else(|| ApiError::missing(&self.name(member)))
    }

    /// `true` or `false` in any case of letters (Python's SDKs send `True`).
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn boolean(&self, member: &str) -> Result<Option<bool>, ApiError> {
        match self.filled(member) {
            None => Ok(None),
            // The old Python SDK sends this for a VolumeMount whose ReadOnly its user left out.
            Some("None") => Ok(None),
            Some(v) if v.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(v) if v.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(ApiError::invalid(&self.name(member), "it must be true or false")),
        }
    }

    /// An integer within bounds.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn integer(&self, member: &str, bounds: std::ops::RangeInclusive<i64>) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.filled(member) else {
            return Ok(None);
        };
        match text.parse::<i64>() {
            Ok(v) if bounds.contains(&v) => Ok(Some(v)),
            _ => Err(ApiError::invalid(
                &self.name(member),
                format_args!("it must be an integer from {} to {}", bounds.start(), bounds.end()),
            )),
        }
    }

    /// A non-negative decimal number times `scale`, rounded up to whole units: `0.25` vCPU at scale 1000 is 250.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn decimal(&self, member: &str, scale: u32) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.filled(member) else {
            return Ok(None);
        };
        match text.parse::<f64>() {
            // The subtrahend keeps binary noise (0.1 × 1000 = 100.00000000000001) from adding a unit.
            Ok(v) if v.is_finite() && (0.0..=1e6).contains(&v) => {
                Ok(Some((v * f64::from(scale) - 1e-6).ceil().max(0.0) as u64))
            }
            _ => Err(ApiError::invalid(
                &self.name(member),
                "it must be a number that is not negative",
            )),
        }
    }

    /// The items of the list `member.N`, in the order of N, at most `limit` of them.
    ///
    /// # Errors
    /// `InvalidParameter` for an index that is no number from 1 on, or a list that is too long.
    pub fn list(&self, member: &str, limit: usize) -> Result<Vec<Scope<'a>>, ApiError> {
        let all = self.sub(member);
        let mut items: Vec<(u32, Scope<'a>)> = Vec::new();
        let mut at = 0;
        while at < all.pairs.len() {
            let rest = all.pairs[at].0.get(all.prefix..).unwrap_or_default();
            let segment = rest.split('.').next().unwrap_or(rest);
            let index = match segment.parse::<u32>() {
                Ok(n) if n >= 1 && !segment.starts_with('+') => n,
                _ => return Err(ApiError::invalid(&all.pairs[at].0, "list indexes count from 1")),
            };
            let len = all.pairs[at..]
                .iter()
                .take_while(|(name, _)| {
                    let rest = name.get(all.prefix..).unwrap_or_default();
                    rest.strip_prefix(segment)
                        .is_some_and(|r| r.is_empty() || r.starts_with('.'))
                })
                .count();
            let scope = Scope {
                pairs: &all.pairs[at..at + len],
                read: &all.read[at..at + len],
                bounds: self.bounds,
                prefix: all.prefix + segment.len() + 1,
            };
            items.push((index, scope));
            at += len;
        }
        if items.len() > limit {
            return Err(ApiError::value_exceeded(
                &self.name(member),
                format_args!("at most {limit} items are allowed"),
            ));
        }
        items.sort_by_key(|(index, _)| *index);
        Ok(items.into_iter().map(|(_, scope)| scope).collect())
    }

    /// A list of scalars, `member.N=value`.
    ///
    /// # Errors
    /// As [`Scope::list`].
    pub fn texts(&self, member: &str, limit: usize) -> Result<Vec<&'a str>, ApiError> {
        let items = self.list(member, limit)?;
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match item.pairs {
                [(name, value)] if name.len() + 1 == item.prefix => {
                    item.read[0].set(true);
                    texts.push(&**value);
                }
                _ => return Err(ApiError::invalid(&self.name(member), "its items must be plain values")),
            }
        }
        Ok(texts)
    }

    /// A map, `member.name=value`; some SDKs write names with their length in front (`#10#repoSource`).
    ///
    /// # Errors
    /// `InvalidParameter` when there are more than `limit`.
    pub fn map(&self, member: &str, limit: usize) -> Result<BTreeMap<String, String>, ApiError> {
        let all = self.sub(member);
        let mut map = BTreeMap::new();
        for ((name, value), read) in all.pairs.iter().zip(all.read) {
            let name = name.get(all.prefix..).unwrap_or_default();
            let name = name
                .strip_prefix('#')
                .and_then(|rest| rest.split_once('#'))
                .filter(|(length, rest)| length.parse() == Ok(rest.chars().count()))
                .map_or(name, |(_, rest)| rest);
            read.set(true);
            map.insert(name.to_owned(), value.to_string());
        }
        if map.len() > limit {
            return Err(ApiError::invalid(
                &self.name(member),
                format_args!("at most {limit} members are allowed"),
            ));
        }
        Ok(map)
    }

    /// The same where each item may have so many characters.
    ///
    /// # Errors
    /// As [`Scope::list`], and `InvalidParameter.ValueExceeded`.
    pub fn short_texts(&self, member: &str, limit: usize, chars: usize) -> Result<Vec<String>, ApiError> {
        let texts = self.texts(member, limit)?;
        match texts.iter().any(|text| longer(text, chars)) {
            true => Err(ApiError::value_exceeded(
                &self.name(member),
                format_args!("each item may have {chars} characters"),
            )),
            false => Ok(texts.into_iter().map(str::to_owned).collect()),
        }
    }

    /// A list of text pairs, `member.N.Key` and `member.N.Value` (or other names).
    ///
    /// # Errors
    /// As [`Scope::list`]; a key must not be empty.
    pub fn text_pairs(
        &self,
        member: &str,
        (key, value): (&str, &str),
        limit: usize,
    ) -> Result<Vec<(String, String)>, ApiError> {
        self.list(member, limit)?
            .into_iter()
            .map(|item| {
                Ok((
                    item.required(key)?.to_owned(),
                    item.text(value).unwrap_or_default().to_owned(),
                ))
            })
            .collect()
    }

    /// A JSON array of strings in one value, such as `ContainerGroupIds`.
    ///
    /// # Errors
    /// `InvalidParameter`.
    pub fn json_texts(&self, member: &str, limit: usize) -> Result<Option<Vec<String>>, ApiError> {
        let Some(text) = self.filled(member) else {
            return Ok(None);
        };
        // Before it is decoded: eight megabytes of empty strings would take eight times that.
        if text.len() > limit.saturating_mul(MAX_JSON_TEXT) {
            return Err(ApiError::invalid(
                &self.name(member),
                format_args!("at most {limit} items are allowed, of {MAX_JSON_TEXT} bytes each"),
            ));
        }
        let items: Vec<String> = serde_json::from_str(text)
            .map_err(|_| ApiError::invalid(&self.name(member), "it must be a JSON array of strings"))?;
        if items.len() > limit {
            return Err(ApiError::invalid(
                &self.name(member),
                format_args!("at most {limit} items are allowed"),
            ));
        }
        Ok(Some(items))
    }
}

/// Whether a text has more characters than that.
pub fn longer(text: &str, chars: usize) -> bool {
    text.len() > chars && text.chars().count() > chars
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(encoded: &str) -> Params {
        let mut params = Params::default();
        params.extend_encoded(encoded.as_bytes()).expect("few parameters");
        params.sort();
        params
    }

    #[test]
    fn scopes_find_what_is_below_their_prefix_only() {
        let p = params(
            "Container.1.Name=a&Container.10.Name=j&Container.2.Name=b&ContainerGroupName=g&Container.1.Arg.1=x",
        );
        let reader = Reader::new(&p);
        let names: Vec<_> = reader
            .root()
            .list("Container", 20)
            .expect("list")
            .iter()
            .map(|c| c.text("Name").expect("name"))
            .collect();
        assert_eq!(names, ["a", "b", "j"]);
        assert_eq!(reader.root().text("ContainerGroupName"), Some("g"));
        let unread: Vec<_> = reader.reads().filter(|(_, read)| !read).collect();
        assert_eq!(unread, [("Container.1.Arg.1", false)]);
    }

    #[test]
    fn a_missing_member_is_named_in_full() {
        let p = params("Container.3.Image=i");
        let reader = Reader::new(&p);
        let container = reader.root().list("Container", 20).expect("list")[0];
        let error = container.required("Name").expect_err("no name");
        assert!(error.message.contains("\"Container.3.Name\""), "{}", error.message);
    }

    #[test]
    fn indexes_must_count_from_one() {
        for bad in [
            "Tag.0.Key=a",
            "Tag.x.Key=a",
            "Tag.-1.Key=a",
            "Tag..Key=a",
            "Tag.99999999999.Key=a",
        ] {
            let p = params(bad);
            let reader = Reader::new(&p);
            assert!(reader.root().list("Tag", 20).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_in_maps_may_have_their_length_in_front() {
        let p = params("O.a=1&O.%233%23b.c=2&O.%239%23d=3");
        let reader = Reader::new(&p);
        let map = reader.root().map("O", 9).expect("a map");
        let pairs: Vec<_> = map.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("#9#d", "3"), ("a", "1"), ("b.c", "2")]);
        assert!(reader.root().map("O", 2).is_err());
    }

    #[test]
    fn scalars_and_structures_are_not_confused() {
        let p = params("Arg.1=a&Arg.2.X=b");
        assert!(Reader::new(&p).root().texts("Arg", 9).is_err());
    }

    #[test]
    fn booleans_are_written_in_any_case_or_not_at_all() {
        let p = params("A=True&B=false&C=&D=None&E=yes");
        let reader = Reader::new(&p);
        let given = |name: &str| reader.root().boolean(name).map_err(|e| e.code);
        assert_eq!(given("A"), Ok(Some(true)));
        assert_eq!(given("B"), Ok(Some(false)));
        for unset in ["C", "D", "F"] {
            assert_eq!(given(unset), Ok(None), "{unset}");
        }
        assert_eq!(given("E"), Err("InvalidParameter".into()));
    }

    #[test]
    fn decimals_round_up_without_binary_noise() {
        let p = params("Cpu=0.1&Memory=0.0001&Bad=NaN&Worse=-1");
        let reader = Reader::new(&p);
        assert_eq!(reader.root().decimal("Cpu", 1000), Ok(Some(100)));
        assert_eq!(reader.root().decimal("Memory", 1024), Ok(Some(1)));
        assert!(reader.root().decimal("Bad", 1).is_err());
        assert!(reader.root().decimal("Worse", 1).is_err());
    }
}
