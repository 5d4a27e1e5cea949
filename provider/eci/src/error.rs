//! What a call reports when it failed for good.

use std::error::Error as StdError;
use std::fmt;

use provider::error::ErrorClass;

use crate::Action;

/// A failed call.
///
/// `Display` is fit for users and logs: it names the action, ECI's code and request id and a scrubbed message, never a
/// parameter or a secret, and it does not repeat [`StdError::source`]. Decide by [`Self::class`], never by text.
pub struct Error(Box<Parts>);

struct Parts {
    class: ErrorClass,
    action: Action,
    code: String,
    request_id: String,
    status: Option<u16>,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(action: Action, class: ErrorClass, message: impl Into<String>) -> Self {
        let class = match class {
            ErrorClass::UnknownOutcome if !action.has_effect() => ErrorClass::Transient,
            class => class,
        };
        Self(Box::new(Parts {
            class,
            action,
            code: String::new(),
            request_id: String::new(),
            status: None,
            message: message.into(),
            source: None,
        }))
    }

    pub(crate) fn answered(mut self, status: u16, code: String, request_id: String) -> Self {
        self.0.status = Some(status);
        self.0.code = code;
        self.0.request_id = request_id;
        self
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn of_unknown_outcome(mut self) -> Self {
        self.0.class = ErrorClass::UnknownOutcome;
        self
    }

    /// What it means and what to do about it. `UnknownOutcome` is for creates and deletes only: a call that reads and
    /// did not get through is `Transient`.
    pub fn class(&self) -> ErrorClass {
        self.0.class
    }

    /// ECI's `Code`, if it gave one.
    pub fn code(&self) -> Option<&str> {
        (!self.0.code.is_empty()).then_some(self.0.code.as_str())
    }

    /// The action that failed.
    pub fn action(&self) -> Action {
        self.0.action
    }

    /// ECI's `RequestId`, if it gave one: what its support asks for.
    pub fn request_id(&self) -> Option<&str> {
        (!self.0.request_id.is_empty()).then_some(self.0.request_id.as_str())
    }

    /// HTTP status, if there was an answer.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// What happened, for people: ECI's scrubbed message, or ours if there was no answer.
    pub fn message(&self) -> &str {
        &self.0.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.0.action)?;
        if !self.0.code.is_empty() {
            write!(f, "{}: ", self.0.code)?;
        }
        f.write_str(&self.0.message)?;
        if !self.0.request_id.is_empty() {
            write!(f, " (request {})", self.0.request_id)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts {
            class,
            action,
            code,
            request_id,
            status,
            message,
            source,
        } = &*self.0;
        f.debug_struct("Error")
            .field("class", class)
            .field("action", action)
            .field("code", code)
            .field("request_id", request_id)
            .field("status", status)
            .field("message", message)
            .field("source", source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}
