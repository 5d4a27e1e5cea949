//! What container groups cost: asked of ECI (`DescribeContainerGroupPrice`), once an hour for each product that is in use and
//! once a minute for each on the spot market; by the list prices that this program knows where ECI does not say. What the user's own
//! table says ([`price_table`](super::price_table)) is not asked for.
//!
//! The spot market has no past that could be asked for: what it asked as an hour of a group began is known only if an agent
//! asked then. A price is taken to hold for [`HOLDS`] around the moment at which it was asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eci::{Client, ErrorClass, PriceQuery};
use jiff::{SignedDuration, Timestamp};
use provider::billing::Rate;
use provider::pricing::{Currency, PriceList};
use provider::sizes::Size;
use provider::units::NanoMoney;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::chain::chain;
use crate::clock;
use crate::cost::price_table::RegionPrices;
use crate::cost::record::PriceSource;

/// How often spot prices are asked for.
const SPOT_PERIOD: Duration = Duration::from_secs(60);
/// How long a list price is believed, and how long a refusal is.
const LIST_PERIOD: Duration = Duration::from_secs(3_600);
/// How far from the moment it was asked for a spot price still holds: a round of asking, and the time that takes.
const HOLDS: SignedDuration = SignedDuration::from_secs(90);
/// Changes of a spot price that are remembered: two weeks, if it moves every hour.
const MOST_SPANS: usize = 400;

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
    /// Whether it is on the spot market.
    pub spot: bool,
}

/// Prices; cheap to clone.
#[derive(Clone)]
pub struct Prices {
    list: PriceList,
    table: Arc<RegionPrices>,
    asked: Option<Asked>,
}

/// What was said, and where questions go.
type Asked = (Arc<Mutex<Known>>, mpsc::UnboundedSender<Arc<Product>>);

/// What ECI has said.
#[derive(Default)]
struct Known {
    /// Products that somebody had a use for; those that only this map holds are asked about no more.
    products: HashMap<Arc<Product>, Said>,
}

#[derive(Default)]
struct Said {
    /// When the list price was asked for.
    asked: Option<Instant>,
    quote: Option<Quote>,
    /// By zone.
    spot: HashMap<String, Vec<Span>>,
}

/// A spot price, and when it was the answer for the first and for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    per_hour: NanoMoney,
    first: Timestamp,
    last: Timestamp,
}

impl Prices {
    /// The list prices that this program knows, and no others.
    pub fn listed(list: PriceList) -> Self {
        Self {
            list,
            table: Arc::default(),
            asked: None,
        }
    }

    /// Prices that are in `table` or asked of ECI, and the task that asks: it ends when all handles are gone.
    pub fn asked(list: PriceList, table: RegionPrices, eci: Client) -> (Self, impl Future<Output = ()> + use<>) {
        let (wanted, products) = mpsc::unbounded_channel();
        let known = Arc::new(Mutex::new(Known::default()));
        let table = Arc::new(table);
        let asker = Asker {
            eci,
            list,
            table: table.clone(),
            known: known.clone(),
        };
        let prices = Self {
            list,
            table,
            asked: Some((known, wanted)),
        };
        (prices, asker.run(products))
    }

    /// The currency of what is not known otherwise.
    pub fn currency(&self) -> Currency {
        self.list.currency
    }

    /// Has prices of `product` asked for, as long as anybody holds what this returns.
    pub fn watch(&self, product: Product) -> Arc<Product> {
        let Some((known, wanted)) = &self.asked else {
            return Arc::new(product);
        };
        let mut known = lock(known);
        if let Some((shared, _)) = known.products.get_key_value(&product) {
            return shared.clone();
        }
        let shared = Arc::new(product);
        known.products.insert(shared.clone(), Said::default());
        if self.table.of(&shared).is_none() {
            // Without a task the process ends.
            let _ = wanted.send(shared.clone());
        }
        shared
    }

    /// What `product` costs; none = nobody knows.
    pub fn quote(&self, product: &Product) -> Option<Quote> {
        let own = |list| Quote {
            list,
            currency: self.list.currency,
            source: PriceSource::Table,
        };
        if let Some(list) = self.table.of(product) {
            return Some(own(list));
        }
        let quote = self.without_table(product)?;
        let less = self.table.discounted(product, quote.list);
        Some(less.map_or(quote, |list| Quote {
            currency: quote.currency,
            ..own(list)
        }))
    }

    /// What ECI says that `product` costs, else the list.
    fn without_table(&self, product: &Product) -> Option<Quote> {
        if let Some((known, _)) = &self.asked
            && let Some(quote) = lock(known).products.get(product).and_then(|said| said.quote)
        {
            return Some(quote);
        }
        let rate = listed(&self.list, product)?;
        Some(Quote {
            list: rate,
            currency: self.list.currency,
            source: PriceSource::List,
        })
    }

    /// What the spot market in `zone` asked for an hour of `product` at `at`; none = nobody asked it then.
    pub fn spot_at(&self, product: &Product, zone: &str, at: Timestamp) -> Option<NanoMoney> {
        let (known, _) = self.asked.as_ref()?;
        let known = lock(known);
        let spans = known.products.get(product)?.spot.get(zone)?;
        let distance = |span: &Span| {
            if at < span.first {
                span.first.duration_since(at)
            } else if at > span.last {
                at.duration_since(span.last)
            } else {
                SignedDuration::ZERO
            }
        };
        let nearest = spans.iter().min_by_key(|span| distance(span))?;
        (distance(nearest) <= HOLDS).then_some(nearest.per_hour)
    }
}

/// By the list prices that this program knows; none of instance types.
fn listed(list: &PriceList, product: &Product) -> Option<Rate> {
    let list = if product.economy { list.economy() } else { *list };
    product
        .instance_type
        .is_empty()
        .then(|| Rate::of_size(&list, product.size))
}

struct Asker {
    eci: Client,
    list: PriceList,
    table: Arc<RegionPrices>,
    known: Arc<Mutex<Known>>,
}

impl Asker {
    async fn run(self, mut products: mpsc::UnboundedReceiver<Arc<Product>>) {
        let mut ticks = interval(SPOT_PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                product = products.recv() => match product {
                    Some(product) => self.ask(&product).await,
                    None => return,
                },
                _ = ticks.tick() => {
                    for product in self.due() {
                        self.ask(&product).await;
                    }
                }
            }
        }
    }

    /// Products in use of which a price is due.
    fn due(&self) -> Vec<Arc<Product>> {
        let mut known = lock(&self.known);
        known.products.retain(|product, _| Arc::strong_count(product) > 1);
        let due = known.products.iter().filter(|(product, said)| {
            let old = || said.asked.is_none_or(|asked| asked.elapsed() >= LIST_PERIOD);
            product.spot || (self.table.of(product).is_none() && old())
        });
        due.map(|(product, _)| product.clone()).collect()
    }

    async fn ask(&self, product: &Arc<Product>) {
        let by_type = !product.instance_type.is_empty();
        let mut query = PriceQuery {
            cpu: product.size.cpu,
            memory: product.size.memory,
            instance_type: by_type.then(|| product.instance_type.to_string()),
            compute_category: product.economy.then(|| "economy".to_owned()),
            // Of an instance type only this answer has the price of an hour, which is exact.
            spot_strategy: (product.spot || by_type).then(|| "SpotAsPriceGo".to_owned()),
            ..PriceQuery::default()
        };
        let asked_at = clock::now();
        let mut answer = self.eci.describe_price(&query).await;
        if !product.spot
            && by_type
            && answer
                .as_ref()
                .is_err_and(|error| error.class() != ErrorClass::Throttle)
        {
            query.spot_strategy = None;
            answer = self.eci.describe_price(&query).await;
        }
        let mut known = lock(&self.known);
        let Some(said) = known.products.get_mut(product) else {
            return;
        };
        let first = said.asked.replace(clock::monotonic()).is_none();
        let price = match answer {
            Ok(price) => price,
            Err(error) => {
                if first {
                    tracing::warn!(
                        error = chain(&error),
                        size = %product.size,
                        instance_type = %product.instance_type,
                        "asking ECI for a price failed; the list prices that this program knows are used until it answers"
                    );
                }
                return;
            }
        };
        let currency = PriceList::by_currency(&price.currency).map_or(self.list.currency, |list| list.currency);
        let hour = price
            .spot
            .iter()
            .map(|spot| spot.original_per_hour)
            .find(|price| price.0 > 0);
        let list = match (hour, listed(&self.list, product)) {
            // A second's price is rounded; where the known list says the same, it says it exactly.
            (_, Some(rate)) if rate.cost(1) == price.trade_per_second && currency == self.list.currency => rate,
            (Some(hour), _) if by_type => Rate::per_hour(hour),
            _ => Rate::per_second(price.trade_per_second),
        };
        said.quote = Some(Quote {
            list,
            currency,
            source: PriceSource::Api,
        });
        for spot in price.spot.into_iter().filter(|_| product.spot) {
            said.take_spot(spot.zone_id, spot.spot_per_hour, asked_at);
        }
    }
}

impl Said {
    fn take_spot(&mut self, zone: String, per_hour: NanoMoney, at: Timestamp) {
        let spans = self.spot.entry(zone).or_default();
        match spans.last_mut() {
            // Whether it was another in between is not known, where nobody asked for long.
            Some(last) if last.per_hour == per_hour && at.duration_since(last.last) <= HOLDS => last.last = at,
            _ => spans.push(Span {
                per_hour,
                first: at,
                last: at,
            }),
        }
        if spans.len() > MOST_SPANS {
            spans.remove(0);
        }
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    // Nothing panics while it holds it.
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use provider::units::{MiB, MilliCpu};

    use super::*;
    use crate::cost::price_table::PriceTable;

    fn product(spot: bool) -> Product {
        Product {
            size: Size {
                cpu: MilliCpu(2_000),
                memory: MiB(4_096),
            },
            instance_type: "".into(),
            economy: false,
            spot,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn prices() -> (Prices, Arc<Product>, mpsc::UnboundedReceiver<Arc<Product>>) {
        let (wanted, products) = mpsc::unbounded_channel();
        let prices = Prices {
            list: PriceList::CNY,
            table: Arc::default(),
            asked: Some((Arc::default(), wanted)),
        };
        let watched = prices.watch(product(true));
        (prices, watched, products)
    }

    #[test]
    fn what_eci_does_not_say_costs_what_the_list_says() {
        let prices = Prices::listed(PriceList::CNY);
        let quote = prices.quote(&product(false)).expect("known");
        assert_eq!(
            (quote.list.cost(1), quote.source),
            (NanoMoney(122_520), PriceSource::List)
        );
        let by_type = Product {
            instance_type: "ecs.c6.large".into(),
            ..product(false)
        };
        assert_eq!(prices.quote(&by_type), None);
    }

    #[test]
    fn a_product_is_asked_about_once_while_somebody_has_it() {
        let (prices, watched, mut products) = prices();
        assert!(Arc::ptr_eq(&watched, &prices.watch(product(true))));
        assert!(products.try_recv().is_ok() && products.try_recv().is_err());
    }

    #[test]
    fn what_the_table_says_is_not_asked_for_and_its_discount_is_taken_off_the_rest() {
        let (mut prices, watched, mut products) = prices();
        assert!(products.try_recv().is_ok());
        let text =
            "{currency: CNY, discount: 50, economy: {vcpu-second: \"0.000000010\", gib-second: \"0.000000001\"}}";
        let table = PriceTable::parse(text).expect("reads");
        prices.table = Arc::new(table.region("cn-hangzhou").clone());
        let economy = Product {
            economy: true,
            ..product(false)
        };
        prices.watch(economy.clone());
        assert!(products.try_recv().is_err());
        let quote = |product: &Product| prices.quote(product).map(|quote| (quote.list.cost(1).0, quote.source));
        assert_eq!(quote(&economy), Some((24, PriceSource::Table)));
        assert_eq!(quote(&product(false)), Some((61_260, PriceSource::Table)));
        assert_eq!(
            quote(&watched),
            Some((122_520, PriceSource::List)),
            "spot is the market's"
        );
    }

    #[test]
    fn a_spot_price_holds_around_the_moments_at_which_it_was_asked_for() {
        let (prices, watched, _products) = prices();
        let take = |price, second| {
            let (known, _) = prices.asked.as_ref().expect("asked");
            let mut known = lock(known);
            let said = known.products.get_mut(&watched).expect("watched");
            said.take_spot("z".to_owned(), NanoMoney(price), at(second));
        };
        for second in (1_000..2_000).step_by(60) {
            take(5, second);
        }
        take(7, 2_020);
        take(7, 9_000);
        let asked = |second| prices.spot_at(&watched, "z", at(second)).map(|price| price.0);
        assert_eq!([asked(900), asked(920), asked(1_500)], [None, Some(5), Some(5)]);
        assert_eq!([asked(2_019), asked(2_110), asked(2_111)], [Some(7), Some(7), None]);
        assert_eq!([asked(8_000), asked(9_000)], [None, Some(7)], "nobody asked for hours");
        assert_eq!(prices.spot_at(&watched, "another", at(1_500)), None);
    }
}
