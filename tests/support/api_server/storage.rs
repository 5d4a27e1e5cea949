//! All objects, each change of one with its version, and what is forgotten of the past.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds::Kind;

/// Where an object is. Sorted as the API server lists: by kind, namespace, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    resource: String,
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(kind: &Kind, namespace: &str, name: &str) -> Self {
        Self {
            resource: kind.resource(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn of(kind: &Kind, object: &Value) -> Self {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default();
        Self::new(kind, text("namespace"), text("name"))
    }
}

/// An object's change.
#[derive(Debug)]
pub struct Change {
    pub version: u64,
    pub kind: &'static Kind,
    /// As it is since; of a deleted one, as it was at the end.
    pub object: Arc<Value>,
    pub before: Option<Arc<Value>>,
    pub deleted: bool,
}

/// Objects and their history.
#[derive(Debug, Default)]
pub struct Storage {
    version: u64,
    forgotten: u64,
    objects: BTreeMap<Key, Arc<Value>>,
    history: Vec<Change>,
}

impl Storage {
    /// The newest version.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Changes up to this version are forgotten.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    pub fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// Stores `object`, and gives it as it is then.
    pub fn put(&mut self, kind: &'static Kind, mut object: Value) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let key = Key::of(kind, &object);
        let object = Arc::new(kind.typed(object));
        let before = self.objects.insert(key, object.clone());
        self.history.push(Change {
            version: self.version,
            kind,
            object: object.clone(),
            before,
            deleted: false,
        });
        object
    }

    /// Removes an object.
    pub fn remove(&mut self, kind: &'static Kind, key: &Key) {
        let Some(before) = self.objects.remove(key) else { return };
        self.version += 1;
        let mut last = Value::clone(&before);
        last["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.history.push(Change {
            version: self.version,
            kind,
            object: Arc::new(last),
            before: Some(before),
            deleted: true,
        });
    }

    /// Forgets the past: who asks for it has to list anew.
    pub fn compact(&mut self) {
        self.forgotten = self.version;
        self.history.clear();
    }

    /// The first change after `version` of objects of `kind`.
    pub fn next(&self, kind: &Kind, version: u64) -> Option<&Change> {
        let from = self.history.partition_point(|change| change.version <= version);
        self.history[from..].iter().find(|c| std::ptr::eq(c.kind, kind))
    }

    /// Objects of `kind`, in one namespace or (empty) in all.
    pub fn list<'a>(&'a self, kind: &Kind, namespace: &'a str) -> impl Iterator<Item = &'a Arc<Value>> {
        let (first, resource) = (Key::new(kind, namespace, ""), kind.resource());
        self.objects
            .range(first..)
            .take_while(move |(key, _)| {
                key.resource == resource && (namespace.is_empty() || key.namespace == namespace)
            })
            .map(|(_, object)| object)
    }

    /// The same as it was at `version`; none if that is forgotten.
    pub fn list_at(&self, kind: &'static Kind, namespace: &str, version: u64) -> Option<Vec<Arc<Value>>> {
        if version < self.forgotten {
            return None;
        }
        let now = self.list(kind, namespace);
        let mut then: BTreeMap<Key, Arc<Value>> = now.map(|o| (Key::of(kind, o), o.clone())).collect();
        let undone = self.history.iter().rev().take_while(|c| c.version > version);
        for change in undone.filter(|c| std::ptr::eq(c.kind, kind)) {
            let key = Key::of(kind, &change.object);
            if !namespace.is_empty() && key.namespace != namespace {
                continue;
            }
            match &change.before {
                Some(before) => then.insert(key, before.clone()),
                None => then.remove(&key),
            };
        }
        Some(then.into_values().collect())
    }
}
