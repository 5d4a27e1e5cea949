//! `DescribeContainerLog`: the newest lines of one container. There is no follow.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::{
    api::{Answer, Context, Work, error::ApiError, response::answer, view},
    domain::cloud::NoLog,
    runtime::LogLine,
};

/// Lines without `Tail`.
const DEFAULT_TAIL: usize = 500;
/// Most lines.
const MAX_TAIL: i64 = 2_000;
/// Most bytes of `Content`.
const MAX_BYTES: usize = 1024 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    request_id: &'a str,
    container_name: &'a str,
    content: String,
}

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region_if_any()?;
    let scope = context.scope;
    let group = scope.required("ContainerGroupId")?.to_owned();
    let container = scope.required("ContainerName")?.to_owned();
    let tail = scope.integer("Tail", 0..=i64::MAX)?.map(|t| t.min(MAX_TAIL));
    let tail = tail.and_then(|t| usize::try_from(t).ok()).unwrap_or(DEFAULT_TAIL);
    let bytes = scope
        .integer("LimitBytes", 1..=MAX_BYTES as i64)?
        .and_then(|b| usize::try_from(b).ok());
    let timestamps = scope.boolean("Timestamps")?.unwrap_or(false);
    let previous = scope.boolean("LastTime")?.unwrap_or(false);
    let since = since(context)?;

    let (cloud, request_id) = (context.cloud.clone(), context.request_id.to_owned());
    Ok(Work::Later(Box::pin(async move {
        let lines = cloud
            .logs(&group, &container, previous, tail, since)
            .await
            .map_err(|error| match error {
                NoLog::Group => ApiError::group_not_found(&group),
                NoLog::Container => ApiError::container_not_found(&container),
                NoLog::Runtime(error) => ApiError::internal(error.to_string()),
            })?;
        respond(&request_id, &container, content(&lines, tail, bytes, timestamps))
    })))
}

fn respond(request_id: &str, container_name: &str, content: String) -> Result<Answer, ApiError> {
    answer(&Response {
        request_id,
        container_name,
        content,
    })
}

/// `SinceSeconds` or `StartTime`, whichever is later.
fn since(context: Context<'_>) -> Result<Option<Timestamp>, ApiError> {
    let scope = context.scope;
    let seconds = scope.integer("SinceSeconds", 0..=i64::from(i32::MAX))?;
    let by_seconds = seconds.map(|s| {
        context
            .cloud
            .clock()
            .now()
            .saturating_sub(SignedDuration::from_secs(s))
            .unwrap_or(Timestamp::MIN)
    });
    let by_time = match scope.filled("StartTime") {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| ApiError::invalid("StartTime", "it must be a time such as 2026-01-01T00:00:00Z"))?,
        ),
    };
    Ok(by_seconds.max(by_time))
}

/// The newest lines as text. `LimitBytes` cuts the beginning short as the kubelet does, where the fixed maximum of 1 MiB
/// keeps the newest lines.
fn content(lines: &[LogLine], tail: usize, bytes: Option<usize>, timestamps: bool) -> String {
    let lines = &lines[lines.len().saturating_sub(tail)..];
    let mut text: Vec<String> = Vec::with_capacity(lines.len());
    let mut length = 0;
    for line in lines.iter().rev() {
        let words = String::from_utf8_lossy(&line.text);
        let words = if timestamps {
            format!("{} {words}", view::nano_time(line.at))
        } else {
            words.into_owned()
        };
        if length + words.len() > MAX_BYTES {
            break;
        }
        length += words.len();
        text.push(words);
    }
    let mut content: String = text.into_iter().rev().collect();
    if let Some(limit) = bytes.filter(|limit| *limit < content.len()) {
        content.truncate(content.floor_char_boundary(limit));
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: i64, text: &str) -> LogLine {
        let at = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second);
        LogLine {
            at,
            text: text.to_owned().into(),
        }
    }

    #[test]
    fn tail_bytes_and_timestamps() {
        let lines = [line(1, "one\n"), line(2, "two\n"), line(3, "three")];
        assert_eq!(content(&lines, 500, None, false), "one\ntwo\nthree");
        assert_eq!(content(&lines, 2, None, false), "two\nthree");
        assert_eq!(content(&lines, 0, None, false), "");
        assert_eq!(content(&lines, 500, Some(5), false), "one\nt");
        assert_eq!(
            content(&lines[..1], 500, None, true),
            "1970-01-01T00:00:01.000000000Z one\n"
        );
    }

    #[test]
    fn a_mebibyte_holds_the_newest_lines() {
        let long = "x".repeat(600 * 1024);
        let lines = [line(1, &long), line(2, &long), line(3, "end")];
        assert_eq!(content(&lines, 2_000, None, false).len(), long.len() + 3);
    }
}
