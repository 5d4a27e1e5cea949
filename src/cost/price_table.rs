//! (pure) What container groups cost by a file of the user's own, in YAML or JSON: a contract's prices, or a discount that ECI's answers
//! do not know.
//!
//! Amounts are decimal text and are read exactly. Where the file has mistakes, each is told with the key it is at.

use std::collections::BTreeMap;

use provider::billing::Rate;
use provider::pricing::{Currency, PriceList};
use provider::units::NanoMoney;
use serde_json::{Map, Value};

use crate::cost::prices::Product;

/// Hundredths of a percent.
const WHOLE: u32 = 10_000;
/// No price is higher, in units of the currency.
const HIGHEST: i128 = 1_000_000;
const KEYS: &str = "discount, general, economy or instance-types";

/// What a file says that container groups cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceTable {
    /// Currency of all of its prices.
    pub currency: Currency,
    /// In regions that it does not name.
    elsewhere: RegionPrices,
    /// By region: what is said of one stands for itself.
    regions: BTreeMap<String, RegionPrices>,
}

/// What it says of one region. What it does not say is asked of ECI.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegionPrices {
    /// Off what ECI says of what is not in here, in hundredths of a percent.
    discount: u32,
    /// By size.
    general: Option<PriceList>,
    /// By size, of the economy category.
    economy: Option<PriceList>,
    /// For an hour.
    instance_types: BTreeMap<String, NanoMoney>,
}

impl PriceTable {
    /// Reads the text of such a file.
    ///
    /// # Errors
    /// All mistakes in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value: Value =
            serde_saphyr::from_str(text).map_err(|error| format!("it is neither YAML nor JSON: {error}"))?;
        let Value::Object(mut keys) = value else {
            return Err("it must have keys, of which `currency` is one".to_owned());
        };
        let mut reader = Reader::default();
        let currency = match keys.remove("currency") {
            Some(Value::String(code)) => PriceList::by_currency(&code).map(|list| list.currency),
            _ => None,
        };
        if currency.is_none() {
            reader.wrong::<()>("currency", "it must be CNY or USD");
        }
        let currency = currency.unwrap_or(Currency::Cny);
        let regions = match keys.remove("regions") {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(Value::Object(regions)) => regions
                .into_iter()
                .map(|(name, value)| {
                    let key = format!("regions.{name}");
                    let prices = match value {
                        Value::Object(keys) => reader.region(&format!("{key}."), keys, currency),
                        _ => reader.wrong(&key, format!("it must have keys: {KEYS}")),
                    };
                    (name, prices)
                })
                .collect(),
            Some(_) => reader.wrong("regions", "its keys must be regions, such as cn-hangzhou"),
        };
        let elsewhere = reader.region("", keys, currency);
        if reader.mistakes.is_empty() {
            Ok(Self {
                currency,
                elsewhere,
                regions,
            })
        } else {
            Err(reader.mistakes.join("; "))
        }
    }

    /// What it says of `region`.
    pub fn region(&self, region: &str) -> &RegionPrices {
        self.regions.get(region).unwrap_or(&self.elsewhere)
    }
}

impl RegionPrices {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The pay-as-you-go price of `product`; none = it does not say. What is bought on the spot market costs what that asks.
    pub fn of(&self, product: &Product) -> Option<Rate> {
        if product.spot {
            return None;
        }
        if !product.instance_type.is_empty() {
            return self.instance_type(&product.instance_type).map(Rate::per_hour);
        }
        let list = if product.economy { &self.economy } else { &self.general };
        list.as_ref().map(|list| Rate::of_size(list, product.size))
    }

    /// A price of ECI's for `product` less the discount; none = there is none on it.
    pub fn discounted(&self, product: &Product, rate: Rate) -> Option<Rate> {
        (self.discount > 0 && !product.spot).then(|| rate.times(WHOLE - self.discount, WHOLE))
    }
}

/// What else may be asked of it than what a group costs.
impl RegionPrices {
    /// Prices of sizes of the general category, by `list` where it does not say.
    pub fn list(&self, list: PriceList) -> PriceList {
        let less = |price: NanoMoney| NanoMoney(price.0 * i128::from(WHOLE - self.discount) / i128::from(WHOLE));
        self.general.unwrap_or(PriceList {
            vcpu_second: less(list.vcpu_second),
            gib_second: less(list.gib_second),
            ..list
        })
    }

    /// What an hour of an instance type costs; none = it does not say.
    pub fn instance_type(&self, name: &str) -> Option<NanoMoney> {
        self.instance_types.get(name).copied()
    }
}

/// Walks through the keys and collects what is wrong.
#[derive(Default)]
struct Reader {
    mistakes: Vec<String>,
}

impl Reader {
    fn wrong<T: Default>(&mut self, key: &str, what: impl std::fmt::Display) -> T {
        self.mistakes.push(format!("{key}: {what}"));
        T::default()
    }

    fn region(&mut self, prefix: &str, keys: Map<String, Value>, currency: Currency) -> RegionPrices {
        let mut prices = RegionPrices::default();
        for (name, value) in keys {
            let key = format!("{prefix}{name}");
            match name.as_str() {
                "discount" => prices.discount = self.discount(&key, &value),
                "general" => prices.general = self.category(&key, value, currency),
                "economy" => prices.economy = self.category(&key, value, currency),
                "instance-types" => prices.instance_types = self.instance_types(&key, value),
                _ if prefix.is_empty() => self.wrong(&key, format!("the keys are currency, regions, {KEYS}")),
                _ => self.wrong(&key, format!("the keys are {KEYS}")),
            }
        }
        prices
    }

    fn category(&mut self, key: &str, value: Value, currency: Currency) -> Option<PriceList> {
        const BOTH: &str = "it must have vcpu-second and gib-second, and nothing else";
        let Value::Object(mut keys) = value else {
            return self.wrong(key, BOTH);
        };
        let (Some(vcpu), Some(gib), true) = (keys.remove("vcpu-second"), keys.remove("gib-second"), keys.is_empty())
        else {
            return self.wrong(key, BOTH);
        };
        Some(PriceList {
            currency,
            vcpu_second: self.amount(&format!("{key}.vcpu-second"), &vcpu),
            gib_second: self.amount(&format!("{key}.gib-second"), &gib),
        })
    }

    fn instance_types(&mut self, key: &str, value: Value) -> BTreeMap<String, NanoMoney> {
        let Value::Object(types) = value else {
            return self.wrong(key, "its keys must be instance types, such as ecs.g7.xlarge");
        };
        types
            .into_iter()
            .map(|(name, price)| {
                let price = self.amount(&format!("{key}.{name}"), &price);
                (name, price)
            })
            .collect()
    }

    fn amount(&mut self, key: &str, value: &Value) -> NanoMoney {
        let amount = decimal(value).filter(|amount| amount.0 > 0 && amount.0 <= HIGHEST * 1_000_000_000);
        match (amount, value) {
            (Some(amount), _) => amount,
            (None, Value::Number(number)) if number.is_f64() => self.wrong(
                key,
                "write it in quotes, such as \"0.000049\", so that it is read to the last digit",
            ),
            _ => self.wrong(
                key,
                "it must be an amount of more than 0 with at most nine decimals, in quotes, such as \"0.000049\"",
            ),
        }
    }

    fn discount(&mut self, key: &str, value: &Value) -> u32 {
        let percent = decimal(value).filter(|percent| percent.0 % 10_000_000 == 0);
        let hundredths = percent.and_then(|percent| u32::try_from(percent.0 / 10_000_000).ok());
        match hundredths.filter(|hundredths| *hundredths < WHOLE) {
            Some(hundredths) => hundredths,
            None => self.wrong(
                key,
                "it must be the percents that are taken off, less than 100 and with at most two decimals, such as 15 or \"12.5\"",
            ),
        }
    }
}

/// A decimal number; none where it may have lost digits.
fn decimal(value: &Value) -> Option<NanoMoney> {
    match value {
        Value::String(text) => NanoMoney::parse(text),
        Value::Number(number) if !number.is_f64() => NanoMoney::parse(&number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use provider::sizes::Size;
    use provider::units::{MiB, MilliCpu};

    use super::*;

    const TABLE: &str = r#"
currency: USD
discount: "12.5"
general: {vcpu-second: "0.000006", gib-second: "0.000000775"}
instance-types:
  ecs.g7.xlarge: "0.123456789"
  ecs.c7.large: 1
regions:
  cn-beijing:
    discount: 20
    economy: {vcpu-second: "0.000000001", gib-second: "0.000000003"}
"#;

    fn product(instance_type: &str, economy: bool, spot: bool) -> Product {
        Product {
            size: Size {
                cpu: MilliCpu(2_000),
                memory: MiB(4_096),
            },
            instance_type: instance_type.into(),
            economy,
            spot,
        }
    }

    #[test]
    fn what_is_said_is_exact_and_what_is_not_said_is_nobodys_guess() {
        let table = PriceTable::parse(TABLE).expect("reads");
        assert_eq!(table.currency, Currency::Usd);
        let (here, beijing) = (table.region("cn-hangzhou"), table.region("cn-beijing"));
        let general = product("", false, false);
        // 2 × 6,000 + 4 × 775.
        assert_eq!(here.of(&general), Some(Rate::per_second(NanoMoney(15_100))));
        assert_eq!(here.of(&product("", true, false)), None);
        let hour = |name| here.of(&product(name, false, false)).map(|rate| rate.cost(3_600));
        assert_eq!(hour("ecs.g7.xlarge"), Some(NanoMoney(123_456_789)));
        assert_eq!(hour("ecs.c7.large"), Some(NanoMoney(1_000_000_000)));
        assert_eq!(hour("ecs.r7.large"), None);
        assert_eq!(beijing.of(&general), None, "a region's prices stand for themselves");
        assert_eq!(
            beijing.of(&product("", true, false)),
            Some(Rate::per_second(NanoMoney(14)))
        );
        assert_eq!(here.of(&product("", false, true)), None, "the market's");
        assert_eq!(here.list(PriceList::USD).vcpu_second, NanoMoney(6_000));
        assert_eq!(beijing.list(PriceList::USD).vcpu_second, NanoMoney(6_160), "20 % off");
    }

    #[test]
    fn a_discount_is_taken_off_what_eci_says_and_off_no_spot_price() {
        let table = PriceTable::parse(TABLE).expect("reads");
        let of = |region, spot| {
            let rate = Rate::per_second(NanoMoney(122_520));
            table.region(region).discounted(&product("", false, spot), rate)
        };
        assert_eq!(of("cn-beijing", false), Some(Rate::per_second(NanoMoney(98_016))));
        assert_eq!(of("cn-hangzhou", false), Some(Rate::per_second(NanoMoney(107_205))));
        assert_eq!(of("cn-hangzhou", true), None);
        let without = PriceTable::parse("currency: CNY").expect("reads");
        assert!(without.region("cn-hangzhou").is_empty());
        let rate = Rate::per_hour(NanoMoney(1));
        assert_eq!(
            without
                .region("cn-hangzhou")
                .discounted(&product("", false, false), rate),
            None
        );
    }

    #[test]
    fn json_is_read_as_well() {
        let json = r#"{"currency": "CNY", "instance-types": {"ecs.g7.xlarge": "1.06"}}"#;
        let table = PriceTable::parse(json).expect("reads");
        let price = table.region("cn-hangzhou").of(&product("ecs.g7.xlarge", false, false));
        assert_eq!(price, Some(Rate::per_hour(NanoMoney(1_060_000_000))));
    }

    #[test]
    fn the_example_is_one() {
        let example = include_str!("../../manifests/overlays/ack/prices.yaml");
        let table = PriceTable::parse(example).expect("reads");
        assert!(!table.region("cn-hangzhou").is_empty());
    }

    #[test]
    fn each_mistake_names_its_key_and_what_to_do() {
        for (text, expected) in [
            ("", "it must have keys, of which `currency` is one"),
            ("currency: [", "it is neither YAML nor JSON"),
            ("discount: 5", "currency: it must be CNY or USD"),
            ("currency: EUR", "currency: it must be CNY or USD"),
            (
                "{currency: CNY, general: {vcpu-second: 0.000049, gib-second: \"1\"}}",
                "general.vcpu-second: write it in quotes",
            ),
            (
                "{currency: CNY, general: {vcpu-second: \"0.0000000001\", gib-second: \"1\"}}",
                "general.vcpu-second: it must be an amount of more than 0 with at most nine decimals",
            ),
            (
                "{currency: CNY, general: {vcpu-second: \"0\", gib-second: \"1\"}}",
                "general.vcpu-second: it must be an amount of more than 0",
            ),
            (
                "{currency: CNY, general: {vcpu-second: \"1\"}}",
                "general: it must have vcpu-second and gib-second",
            ),
            (
                "{currency: CNY, general: \"1\"}",
                "general: it must have vcpu-second and gib-second",
            ),
            (
                "{currency: CNY, instance-types: {ecs.g7.xlarge: -1}}",
                "instance-types.ecs.g7.xlarge: it must be an amount",
            ),
            (
                "{currency: CNY, instance-types: {ecs.g7.xlarge: \"99999999999999999999\"}}",
                "instance-types.ecs.g7.xlarge: it must be an amount",
            ),
            (
                "{currency: CNY, instance-types: [ecs.g7.xlarge]}",
                "instance-types: its keys must be instance types",
            ),
            (
                "{currency: CNY, discount: 100}",
                "discount: it must be the percents that are taken off",
            ),
            (
                "{currency: CNY, discount: \"12.345\"}",
                "discount: it must be the percents",
            ),
            (
                "{currency: CNY, disount: 5}",
                "disount: the keys are currency, regions, discount, general",
            ),
            (
                "{currency: CNY, regions: {cn-beijing: {currency: CNY}}}",
                "regions.cn-beijing.currency: the keys are discount, general",
            ),
            (
                "{currency: CNY, regions: {cn-beijing: 5}}",
                "regions.cn-beijing: it must have keys: discount",
            ),
            (
                "{currency: CNY, regions: cn-beijing}",
                "regions: its keys must be regions",
            ),
        ] {
            let mistakes = PriceTable::parse(text).expect_err(text);
            assert!(mistakes.starts_with(expected), "{text}: {mistakes}");
        }
        let two = PriceTable::parse("{discount: 100, general: 1}").expect_err("three mistakes");
        assert_eq!(two.matches("; ").count(), 2, "all of them are told: {two}");
    }
}
