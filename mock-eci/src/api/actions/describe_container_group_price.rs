//! `DescribeContainerGroupPrice`: the list price of one size for one second.

use serde_json::json;

use crate::{
    api::{Context, Work, error::ApiError, response::answer},
    domain::{price::Rates, size},
    spec::Size,
};

/// What spot costs of the list price, in hundredths; ECI promises 10 to 70.
const SPOT_PERCENT: u64 = 30;

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let asked = match (scope.decimal("Cpu", 1_000)?, scope.decimal("Memory", 1_024)?) {
        (Some(milli_cpu), Some(memory_mib)) => Size { milli_cpu, memory_mib },
        (None, None) => size::DEFAULT,
        (None, _) => return Err(ApiError::missing("Cpu")),
        (_, None) => return Err(ApiError::missing("Memory")),
    };
    let spot = matches!(
        scope.filled("SpotStrategy"),
        Some("SpotAsPriceGo" | "SpotWithPriceLimit")
    );
    if size::round_up(asked, &context.offer.region, spot) != Some(asked) {
        return Err(ApiError::price_size(
            "The specified Cpu and Memory are not a pair that is on sale.",
        ));
    }
    let rates = Rates::of(context.offer.currency);
    let price = |size: Size, seconds: u64| rates.amount_nano(size, seconds) as f64 / 1e9;
    let detail = |resource: &str, size: Size| {
        let price = price(size, 1);
        json!({
            "Resource": resource, "OriginalPrice": price, "DiscountPrice": 0.0, "TradePrice": price,
            "Rules": { "Rule": [] },
        })
    };
    let total = price(asked, 1);
    let spot_prices: Vec<_> = context
        .offer
        .zones
        .iter()
        .filter(|zone| spot && scope.filled("ZoneId").is_none_or(|z| z == zone.as_str()))
        .map(|zone| {
            let nano = rates.amount_nano(asked, 3_600);
            json!({
                "ZoneId": zone, "InstanceType": "",
                "SpotPrice": (nano * SPOT_PERCENT / 100) as f64 / 1e9, "OriginPrice": nano as f64 / 1e9,
            })
        })
        .collect();
    answer(&json!({
        "RequestId": context.request_id,
        "PriceInfo": {
            "Price": {
                "OriginalPrice": total, "DiscountPrice": 0.0, "TradePrice": total,
                "Currency": context.offer.currency.as_str(),
                "DetailInfos": { "DetailInfo": [
                    detail("cpu", Size { memory_mib: 0, ..asked }),
                    detail("mem", Size { milli_cpu: 0, ..asked }),
                ] },
            },
            "SpotPrices": { "SpotPrice": spot_prices },
            "Rules": { "Rule": [] },
        },
    }))
    .map(Work::Done)
}
