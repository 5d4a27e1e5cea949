//! (pure) One page with all that is known of what an application cost: no script, no font, nothing from elsewhere.
//!
//! [`svg`] draws, [`page`] puts it together. Whatever comes from elsewhere goes through [`escape::escaped`].

mod escape;
mod page;
mod svg;

pub use page::{Page, page};

#[cfg(test)]
mod tests;
