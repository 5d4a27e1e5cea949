//! Deserialisers that take what real answers hold where a value is unset: absence, `null`, `""` or `{}`.
//!
//! Numbers and booleans are also read from text (`"2"`, `"True"`), because answers composed by different services
//! differ. What cannot be read at all becomes the default: one odd field of one record must not blind us to its group.

use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A JSON scalar, read without copying text where the input allows it.
trait Scalar: Sized {
    fn none() -> Self;
    fn text(text: &str) -> Self;
    fn owned(text: String) -> Self {
        Self::text(&text)
    }
    fn number(number: f64) -> Self;
    fn whole(number: u64) -> Self {
        Self::number(number as f64)
    }
    fn flag(flag: bool) -> Self;
}

struct ScalarVisitor<T>(PhantomData<T>);

impl<'de, T: Scalar> Visitor<'de> for ScalarVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::text(text))
    }
    fn visit_string<E: Error>(self, text: String) -> Result<T, E> {
        Ok(T::owned(text))
    }
    fn visit_bool<E: Error>(self, flag: bool) -> Result<T, E> {
        Ok(T::flag(flag))
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Ok(T::number(number as f64))
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Ok(T::whole(number))
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Ok(T::number(number))
    }
    fn visit_unit<E: Error>(self) -> Result<T, E> {
        Ok(T::none())
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        skip_map(map).map(|()| T::none())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(T::none())
    }
}

fn skip_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

impl Scalar for String {
    fn none() -> Self {
        Self::new()
    }
    fn text(text: &str) -> Self {
        text.to_owned()
    }
    fn owned(text: String) -> Self {
        text
    }
    fn number(number: f64) -> Self {
        number.to_string()
    }
    fn flag(flag: bool) -> Self {
        flag.to_string()
    }
}

impl Scalar for Option<f64> {
    fn none() -> Self {
        None
    }
    fn text(text: &str) -> Self {
        text.trim().parse().ok()
    }
    fn number(number: f64) -> Self {
        Some(number)
    }
    fn flag(_: bool) -> Self {
        None
    }
}

impl Scalar for Option<u64> {
    fn none() -> Self {
        None
    }
    fn text(text: &str) -> Self {
        text.trim().parse().ok()
    }
    fn number(number: f64) -> Self {
        // Counters are not negative; a fraction or an exponent is only another way to write them.
        (number >= 0.0).then_some(number as u64)
    }
    fn whole(number: u64) -> Self {
        Some(number)
    }
    fn flag(_: bool) -> Self {
        None
    }
}

impl Scalar for Option<bool> {
    fn none() -> Self {
        None
    }
    fn text(text: &str) -> Self {
        if text.eq_ignore_ascii_case("true") {
            Some(true)
        } else if text.eq_ignore_ascii_case("false") {
            Some(false)
        } else {
            None
        }
    }
    fn number(_: f64) -> Self {
        None
    }
    fn flag(flag: bool) -> Self {
        Some(flag)
    }
}

impl Scalar for Option<Timestamp> {
    fn none() -> Self {
        None
    }
    fn text(text: &str) -> Self {
        text.parse().ok()
    }
    fn number(_: f64) -> Self {
        None
    }
    fn flag(_: bool) -> Self {
        None
    }
}

fn scalar<'de, T: Scalar, D: Deserializer<'de>>(d: D) -> Result<T, D::Error> {
    d.deserialize_any(ScalarVisitor(PhantomData))
}

/// Text; unset is empty.
pub(super) fn text<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    scalar(d)
}

/// A number, if there is one.
pub(super) fn number<'de, D: Deserializer<'de>>(d: D) -> Result<Option<f64>, D::Error> {
    scalar(d)
}

/// A whole number, if there is one; out of range is clamped.
pub(super) fn integer<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i32>, D::Error> {
    Ok(number(d)?.map(|number| number as i32))
}

/// A count, if there is one: exact, and never negative.
pub(super) fn count<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    scalar(d)
}

/// A boolean, if there is one.
pub(super) fn flag<'de, D: Deserializer<'de>>(d: D) -> Result<Option<bool>, D::Error> {
    scalar(d)
}

/// An RFC 3339 time, if there is one.
pub(super) fn time<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Timestamp>, D::Error> {
    scalar(d)
}

/// A list; anything else is an empty one.
pub(super) fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    struct ListVisitor<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = seq.next_element()? {
                items.push(item);
            }
            Ok(items)
        }
        fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
        fn visit_str<E: Error>(self, _: &str) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
        fn visit_bool<E: Error>(self, _: bool) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
        fn visit_i64<E: Error>(self, _: i64) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
        fn visit_u64<E: Error>(self, _: u64) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
        fn visit_f64<E: Error>(self, _: f64) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<T>, A::Error> {
            skip_map(map).map(|()| Vec::new())
        }
    }
    d.deserialize_any(ListVisitor(PhantomData))
}

/// A list of structures; members that are none are passed over.
pub(super) fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    struct Member<T>(Option<T>);
    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Member<T> {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            object(d).map(Self)
        }
    }
    Ok(list::<Member<T>, D>(d)?
        .into_iter()
        .filter_map(|member| member.0)
        .collect())
}

/// A list of texts.
pub(super) fn texts<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    struct Member(String);
    impl<'de> Deserialize<'de> for Member {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            text(d).map(Self)
        }
    }
    Ok(list::<Member, D>(d)?.into_iter().map(|member| member.0).collect())
}

/// A structure, if there is one (`{}` is one, with nothing set).
pub(super) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(d: D) -> Result<Option<T>, D::Error> {
    struct ObjectVisitor<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
        fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
            Ok(None)
        }
        fn visit_str<E: Error>(self, _: &str) -> Result<Option<T>, E> {
            Ok(None)
        }
        fn visit_bool<E: Error>(self, _: bool) -> Result<Option<T>, E> {
            Ok(None)
        }
        fn visit_i64<E: Error>(self, _: i64) -> Result<Option<T>, E> {
            Ok(None)
        }
        fn visit_u64<E: Error>(self, _: u64) -> Result<Option<T>, E> {
            Ok(None)
        }
        fn visit_f64<E: Error>(self, _: f64) -> Result<Option<T>, E> {
            Ok(None)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Option<T>, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(None)
        }
    }
    d.deserialize_any(ObjectVisitor(PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Debug, Default, PartialEq)]
    #[serde(default)]
    struct Inner {
        #[serde(deserialize_with = "text")]
        a: String,
    }

    #[derive(Deserialize, Debug, Default, PartialEq)]
    #[serde(default)]
    struct Outer {
        #[serde(deserialize_with = "text")]
        text: String,
        #[serde(deserialize_with = "number")]
        number: Option<f64>,
        #[serde(deserialize_with = "integer")]
        integer: Option<i32>,
        #[serde(deserialize_with = "count")]
        count: Option<u64>,
        #[serde(deserialize_with = "flag")]
        flag: Option<bool>,
        #[serde(deserialize_with = "time")]
        time: Option<Timestamp>,
        #[serde(deserialize_with = "list")]
        list: Vec<Inner>,
        #[serde(deserialize_with = "object")]
        object: Option<Inner>,
    }

    #[test]
    fn every_form_of_unset_is_unset() {
        let keys = ["text", "number", "integer", "count", "flag", "time", "list", "object"];
        for unset in ["null", "\"\"", "{}", "[]"] {
            let body: Vec<String> = keys.iter().map(|key| format!("\"{key}\":{unset}")).collect();
            let mut read: Outer = serde_json::from_str(&format!("{{{}}}", body.join(","))).expect(unset);
            if unset == "{}" {
                assert_eq!(read.object.take(), Some(Inner::default()));
            }
            assert_eq!(read, Outer::default(), "{unset}");
        }
        assert_eq!(serde_json::from_str::<Outer>("{}").expect("absent"), Outer::default());
    }

    #[test]
    fn values_are_read_from_their_type_and_from_text() {
        for body in [
            r#"{"text":"x","number":0.25,"integer":-7,"count":18446744073709551615,"flag":true,"time":"2026-01-01T00:00:00Z","list":[{"a":"1"}],"object":{"a":"2"}}"#,
            r#"{"text":"x","number":"0.25","integer":"-7","count":"18446744073709551615","flag":"True","time":"2026-01-01T00:00:00Z","list":[{"a":1}],"object":{"a":2}}"#,
        ] {
            let read: Outer = serde_json::from_str(body).expect(body);
            assert_eq!(
                read,
                Outer {
                    text: "x".into(),
                    number: Some(0.25),
                    integer: Some(-7),
                    count: Some(u64::MAX),
                    flag: Some(true),
                    time: "2026-01-01T00:00:00Z".parse().ok(),
                    list: vec![Inner { a: "1".into() }],
                    object: Some(Inner { a: "2".into() }),
                }
            );
        }
    }

    #[test]
    fn a_negative_count_is_none() {
        for (text, count) in [("-1", None), ("1.0", Some(1)), ("2e3", Some(2_000)), ("true", None)] {
            let read: Outer = serde_json::from_str(&format!(r#"{{"count":{text}}}"#)).expect("reads");
            assert_eq!(read.count, count, "{text}");
        }
    }

    #[test]
    fn an_unreadable_time_is_no_time() {
        assert_eq!(
            serde_json::from_str::<Outer>(r#"{"time":"yesterday"}"#)
                .expect("reads")
                .time,
            None
        );
    }
}
