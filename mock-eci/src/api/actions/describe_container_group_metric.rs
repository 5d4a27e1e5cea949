//! `DescribeContainerGroupMetric`: what one group used over a time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::{
    api::{
        Context, Work,
        error::ApiError,
        params::Scope,
        response::answer,
        view::metric::{Operation, records},
    },
    domain::metrics::{MAX_SAMPLES, NoSamples},
};

/// Periods there are, in seconds.
const PERIODS: [u64; 4] = [15, 30, 60, 600];
const DEFAULT_PERIOD: u64 = 60;
/// Period where no times are given.
const NEWEST_PERIOD: u64 = 15;
/// From `StartTime` to `EndTime` where it is not given.
const DEFAULT_RANGE: SignedDuration = SignedDuration::from_mins(5);
/// How far back `StartTime` may lie.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    request_id: &'a str,
    container_group_id: &'a str,
    records: Vec<Value>,
}

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let id = scope.required("ContainerGroupId")?;
    let now = context.cloud.clock().now();
    let (from, to, period) = range(scope, now)?;
    let used = context.cloud.used(id, from, to, period).map_err(|error| match error {
        NoSamples::Group => ApiError::group_not_found(id),
        NoSamples::TooMany => ApiError::invalid(
            "StartTime",
            format_args!("the times and Period must give at most {MAX_SAMPLES} records"),
        ),
    })?;
    answer(&Response {
        request_id: context.request_id,
        container_group_id: id,
        records: records(&used, Operation::Single),
    })
    .map(Work::Done)
}

fn range(scope: Scope<'_>, now: Timestamp) -> Result<(Timestamp, Timestamp, Duration), ApiError> {
    let (start, end) = (time(scope, "StartTime")?, time(scope, "EndTime")?);
    let period = match scope.integer("Period", 0..=i64::MAX)? {
        None => DEFAULT_PERIOD,
        Some(period) => u64::try_from(period)
            .ok()
            .filter(|period| PERIODS.contains(period))
            .ok_or_else(|| ApiError::invalid("Period", "it must be 15, 30, 60 or 600"))?,
    };
    let period = if start.is_none() && end.is_none() {
        NEWEST_PERIOD
    } else {
        period
    };
    let to = end.unwrap_or(now);
    let before = |at: Timestamp, by| at.saturating_sub(by).unwrap_or(Timestamp::MIN);
    let from = start.unwrap_or_else(|| before(to, DEFAULT_RANGE));
    if from > to {
        return Err(ApiError::invalid("StartTime", "it must not be after EndTime"));
    }
    if from < before(now, KEPT) {
        return Err(ApiError::invalid("StartTime", "it must be within the last 30 days"));
    }
    Ok((from, to, Duration::from_secs(period)))
}

fn time(scope: Scope<'_>, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = scope.filled(name) else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|_| ApiError::invalid(name, "it must be a time such as 2026-01-01T00:00:00Z"))
}
