//! Which structs and fields there are below a type of k8s-openapi, found by deserializing it from nothing: each struct says
//! the names of its fields, and is then given one value for each.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::{self, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// By name of a struct its fields, and by field the structs it is made of.
pub(crate) type Structs = BTreeMap<&'static str, BTreeMap<&'static str, BTreeSet<&'static str>>>;

/// All structs that `T` is made of.
pub(crate) fn structs<T: de::DeserializeOwned>() -> Structs {
    let mut found = Structs::new();
    let walker = Walker {
        found: &mut found,
        here: &mut BTreeSet::new(),
    };
    if let Err(error) = T::deserialize(walker) {
        panic!("a type that this walk does not know: {error}");
    }
    found
}

type Error = de::value::Error;

struct Walker<'a> {
    found: &'a mut Structs,
    /// Structs met directly below the field that is being looked at.
    here: &'a mut BTreeSet<&'static str>,
}

impl Walker<'_> {
    fn again(&mut self) -> Walker<'_> {
        Walker {
            found: self.found,
            here: self.here,
        }
    }
}

impl<'de> Deserializer<'de> for Walker<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // What takes several forms (quantities, ports) takes text among them.
        self.deserialize_string(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Once {
            walker: self,
            done: false,
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Once {
            walker: self,
            done: false,
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.here.insert(name);
        self.found.entry(name).or_default();
        visitor.visit_map(Fields {
            walker: self,
            of: name,
            rest: fields.iter(),
            current: None,
        })
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // A time, which Kubernetes' timestamps want; any other text takes it too.
        visitor.visit_str("2026-01-01T00:00:00Z")
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(true)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i32(1)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(1)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_f64(1.0)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        Err(Error::custom(format!("enum {name}")))
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// A list of one item, or a map of one entry.
struct Once<'a> {
    walker: Walker<'a>,
    done: bool,
}

impl<'de> SeqAccess<'de> for Once<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        seed.deserialize(self.walker.again()).map(Some)
    }
}

impl<'de> MapAccess<'de> for Once<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(None);
        }
        seed.deserialize("key".into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.walker.again())
    }
}

/// Every field of a struct, one after the other.
struct Fields<'a> {
    walker: Walker<'a>,
    of: &'static str,
    rest: std::slice::Iter<'static, &'static str>,
    current: Option<&'static str>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.current = self.rest.next().copied();
        match self.current {
            Some(field) => seed.deserialize(field.into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let mut here = BTreeSet::new();
        let value = seed.deserialize(Walker {
            found: self.walker.found,
            here: &mut here,
        });
        if let (Some(field), Some(of)) = (self.current, self.walker.found.get_mut(self.of)) {
            of.entry(field).or_default().extend(here);
        }
        value
    }
}
