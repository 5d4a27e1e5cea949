//! What container groups cost a second, and where that is known from.

use provider::billing::Rate;
use provider::pricing::{Currency, PriceList};
use provider::sizes::Size;

use crate::cost::record::PriceSource;

/// A price and where it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Pay-as-you-go.
    pub list: Rate,
    /// Its currency.
    pub currency: Currency,
    /// Where it is from.
    pub source: PriceSource,
}

/// What is bought.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    /// Size.
    pub size: Size,
    /// Instance type; empty = by size.
    pub instance_type: Box<str>,
    /// Whether it is of the economy category.
    pub economy: bool,
}

/// Prices.
#[derive(Clone, Debug)]
pub struct Prices {
    list: PriceList,
    source: PriceSource,
}

impl Prices {
    /// The list prices that this program knows.
    pub fn listed(list: PriceList) -> Self {
        Self {
            list,
            source: PriceSource::List,
        }
    }

    /// The currency of what is not known otherwise.
    pub fn currency(&self) -> Currency {
        self.list.currency
    }

    /// What `product` costs; none = nobody knows.
    pub fn quote(&self, product: &Product) -> Option<Quote> {
        if !product.instance_type.is_empty() {
            return None;
        }
        let list = if product.economy {
            self.list.economy()
        } else {
            self.list
        };
        Some(Quote {
            list: Rate::of_size(&list, product.size),
            currency: list.currency,
            source: self.source,
        })
    }
}
