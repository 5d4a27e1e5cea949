//! What the account has and pays: usage, prices, regions; and the log of a container.

use serde::Deserialize;

use crate::units::NanoMoney;

use super::lenient;

/// Answer of `DescribeContainerLog`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct LogAnswer {
    /// `Content`: the text, at most 1 MiB.
    #[serde(deserialize_with = "lenient::text")]
    pub content: String,
}

/// Answer of `ListUsage`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct UsageAnswer {
    #[serde(deserialize_with = "lenient::object")]
    attributes: Option<Attributes>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Attributes {
    #[serde(deserialize_with = "lenient::number")]
    max_cpu: Option<f64>,
    #[serde(deserialize_with = "lenient::number")]
    used_cpu: Option<f64>,
    #[serde(deserialize_with = "lenient::number")]
    max_image_cache_count: Option<f64>,
    #[serde(deserialize_with = "lenient::number")]
    used_image_cache_count: Option<f64>,
}

/// Quotas and use of the account in a region; `None` = not reported.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// vCPU that may be in use at once.
    pub max_cpu: Option<f64>,
    /// vCPU in use, by anybody in the account.
    pub used_cpu: Option<f64>,
    /// Image caches that may exist.
    pub max_image_caches: Option<f64>,
    /// Image caches that exist.
    pub used_image_caches: Option<f64>,
}

impl From<UsageAnswer> for Usage {
    fn from(answer: UsageAnswer) -> Self {
        let attributes = answer.attributes.unwrap_or_default();
        Self {
            max_cpu: attributes.max_cpu,
            used_cpu: attributes.used_cpu,
            max_image_caches: attributes.max_image_cache_count,
            used_image_caches: attributes.used_image_cache_count,
        }
    }
}

/// Answer of `DescribeRegions`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RegionsAnswer {
    /// `Regions`.
    #[serde(deserialize_with = "lenient::objects")]
    pub regions: Vec<Region>,
}

/// A region ECI is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Region {
    /// `RegionId`.
    #[serde(rename = "RegionId", deserialize_with = "lenient::text")]
    pub id: String,
    /// `RegionEndpoint`: a host name.
    #[serde(rename = "RegionEndpoint", deserialize_with = "lenient::text")]
    pub endpoint: String,
    /// `Zones`.
    #[serde(rename = "Zones", deserialize_with = "lenient::texts")]
    pub zones: Vec<String>,
}

/// Answer of `DescribeContainerGroupPrice`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct PriceAnswer {
    #[serde(deserialize_with = "lenient::object")]
    price_info: Option<PriceInfo>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct PriceInfo {
    #[serde(deserialize_with = "lenient::object")]
    price: Option<WirePrice>,
    #[serde(deserialize_with = "lenient::object")]
    spot_prices: Option<SpotPrices>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct WirePrice {
    #[serde(deserialize_with = "lenient::number")]
    original_price: Option<f64>,
    #[serde(deserialize_with = "lenient::number")]
    trade_price: Option<f64>,
    #[serde(deserialize_with = "lenient::text")]
    currency: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct SpotPrices {
    #[serde(deserialize_with = "lenient::objects")]
    spot_price: Vec<WireSpotPrice>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct WireSpotPrice {
    #[serde(deserialize_with = "lenient::text")]
    zone_id: String,
    #[serde(deserialize_with = "lenient::number")]
    spot_price: Option<f64>,
    #[serde(deserialize_with = "lenient::number")]
    origin_price: Option<f64>,
}

/// Price of a size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Per second, before discounts.
    pub original_per_second: NanoMoney,
    /// Per second, what is charged.
    pub trade_per_second: NanoMoney,
    /// `CNY`, `USD`.
    pub currency: String,
    /// Spot prices by zone, if asked for.
    pub spot: Vec<SpotPrice>,
}

/// Spot price in one zone. Unlike the price of a size these are per *hour*.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpotPrice {
    /// Zone.
    pub zone_id: String,
    /// Per hour, as spot.
    pub spot_per_hour: NanoMoney,
    /// Per hour, pay-as-you-go.
    pub original_per_hour: NanoMoney,
}

/// Fails if the answer names no price: a price of 0 would be an invention.
impl TryFrom<PriceAnswer> for Price {
    type Error = MissingPrice;

    fn try_from(answer: PriceAnswer) -> Result<Self, MissingPrice> {
        let PriceInfo { price, spot_prices } = answer.price_info.unwrap_or_default();
        let price = price.ok_or(MissingPrice)?;
        let trade = price.trade_price.or(price.original_price).ok_or(MissingPrice)?;
        let spot = spot_prices
            .unwrap_or_default()
            .spot_price
            .into_iter()
            .map(|spot| SpotPrice {
                zone_id: spot.zone_id,
                spot_per_hour: nano(spot.spot_price.unwrap_or_default()),
                original_per_hour: nano(spot.origin_price.unwrap_or_default()),
            });
        Ok(Self {
            original_per_second: nano(price.original_price.unwrap_or(trade)),
            trade_per_second: nano(trade),
            currency: price.currency,
            spot: spot.collect(),
        })
    }
}

/// An answer to a question for a price that names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer names no price")]
pub struct MissingPrice;

fn nano(price: f64) -> NanoMoney {
    NanoMoney((price * 1e9).round() as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_of_the_official_sample_is_exact() {
        let body = r#"{"RequestId":"r","PriceInfo":{"Price":{"OriginalPrice":0.00012252,"DiscountPrice":0,
            "TradePrice":0.00012252,"Currency":"CNY","DetailInfos":{"DetailInfo":[]}},
            "SpotPrices":{"SpotPrice":[{"ZoneId":"z","InstanceType":"t","SpotPrice":0.056,"OriginPrice":0.622}]}}}"#;
        let price = Price::try_from(serde_json::from_str::<PriceAnswer>(body).expect("reads")).expect("a price");
        assert_eq!(price.trade_per_second, NanoMoney(2 * 49_000 + 4 * 6_130));
        assert_eq!(price.currency, "CNY");
        assert_eq!(price.spot[0].spot_per_hour, NanoMoney(56_000_000));
    }

    #[test]
    fn no_price_is_not_a_price_of_zero() {
        for body in [
            "{}",
            r#"{"PriceInfo":{}}"#,
            r#"{"PriceInfo":{"Price":{}}}"#,
            r#"{"PriceInfo":null}"#,
        ] {
            let answer: PriceAnswer = serde_json::from_str(body).expect(body);
            assert_eq!(Price::try_from(answer), Err(MissingPrice), "{body}");
        }
    }

    #[test]
    fn usage_says_what_is_not_reported() {
        let body = r#"{"RequestId":"r","Attributes":{"UsedCpu":16.5,"MaxCpu":"1000"}}"#;
        let usage = Usage::from(serde_json::from_str::<UsageAnswer>(body).expect("reads"));
        assert_eq!(
            (usage.max_cpu, usage.used_cpu, usage.max_image_caches),
            (Some(1000.0), Some(16.5), None)
        );
        assert_eq!(Usage::from(UsageAnswer::default()), Usage::default());
    }
}
