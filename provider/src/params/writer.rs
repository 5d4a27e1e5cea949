//! A cursor over the flat name space: one name buffer that grows and shrinks, instead of a `String` per name.

use std::fmt::{Display, Write as _};

/// Writes parameters below a prefix into a sink.
pub(super) struct Writer<'a> {
    name: String,
    number: String,
    sink: &'a mut dyn FnMut(&str, &str),
}

impl<'a> Writer<'a> {
    pub(super) fn new(sink: &'a mut dyn FnMut(&str, &str)) -> Self {
        Self {
            name: String::with_capacity(64),
            number: String::new(),
            sink,
        }
    }

    /// `<prefix>.key=value`.
    pub(super) fn put(&mut self, key: &str, value: &str) {
        let end = self.push(key);
        (self.sink)(&self.name, value);
        self.name.truncate(end);
    }

    /// As [`Self::put`], for values that print.
    pub(super) fn put_display(&mut self, key: &str, value: impl Display) {
        let mut number = std::mem::take(&mut self.number);
        number.clear();
        // Writing to a String cannot fail.
        let _ = write!(number, "{value}");
        self.put(key, &number);
        self.number = number;
    }

    pub(super) fn put_some<T: Display>(&mut self, key: &str, value: Option<&T>) {
        if let Some(value) = value {
            self.put_display(key, value);
        }
    }

    pub(super) fn put_unless_empty(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.put(key, value);
        }
    }

    /// `<prefix>.key=true`, or nothing: false is the API's default wherever this is used.
    pub(super) fn put_if(&mut self, key: &str, value: bool) {
        if value {
            self.put(key, "true");
        }
    }

    /// Writes the members of a structure called `key`.
    pub(super) fn within(&mut self, key: &str, write: impl FnOnce(&mut Self)) {
        let end = self.push(key);
        write(self);
        self.name.truncate(end);
    }

    /// Writes a list of structures: `<prefix>.key.1.…`.
    pub(super) fn list<T>(&mut self, key: &str, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        for (i, item) in items.iter().enumerate() {
            let end = self.push(key);
            let _ = write!(self.name, ".{}", i + 1);
            write(self, item);
            self.name.truncate(end);
        }
    }

    /// Writes a list of texts: `<prefix>.key.1=…`.
    pub(super) fn texts(&mut self, key: &str, items: &[String]) {
        for (i, item) in items.iter().enumerate() {
            let end = self.push(key);
            let _ = write!(self.name, ".{}", i + 1);
            (self.sink)(&self.name, item);
            self.name.truncate(end);
        }
    }

    fn push(&mut self, key: &str) -> usize {
        let end = self.name.len();
        if end > 0 {
            self.name.push('.');
        }
        self.name.push_str(key);
        end
    }
}

/// A decimal as the official SDKs write it: the shortest that reads back the same, with at least one digit after the
/// point.
pub(super) fn decimal(value: f64) -> String {
    format!("{value:?}")
}
