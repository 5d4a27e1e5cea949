//! (pure) What a request for logs asks for, decoded and checked as a kubelet does it.

use jiff::Timestamp;

/// Options of a request for logs (`v1.PodLogOptions`, the part a kubelet reads).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Go on with what is written later.
    pub follow: bool,
    /// The previous run of the container.
    pub previous: bool,
    /// A timestamp before each line.
    pub timestamps: bool,
    /// Only lines younger than so many seconds.
    pub since_seconds: Option<i64>,
    /// Only lines from then on.
    pub since_time: Option<Timestamp>,
    /// Only so many of the newest lines.
    pub tail_lines: Option<i64>,
    /// At most so many bytes.
    pub limit_bytes: Option<i64>,
    /// One of the two outputs alone, `Stdout` or `Stderr`.
    pub one_stream: Option<&'static str>,
}

/// A query that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryError {
    /// A value of the wrong type: 400.
    Undecodable,
    /// Values that make no sense: 422.
    Invalid,
}

impl QueryError {
    /// The HTTP status and body a kubelet answers with.
    pub fn answer(self) -> (u16, &'static str) {
        match self {
            Self::Undecodable => (400, r#"{"message": "Unable to decode query."}"#),
            Self::Invalid => (422, r#"{"message": "Invalid request."}"#),
        }
    }
}

impl LogOptions {
    /// Reads the query string. The first of several equal keys counts, unknown keys are ignored.
    ///
    /// # Errors
    /// As [`QueryError`] says.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let value = |key: &str| pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_ref());
        // Anything but "false" and "0" is true, an empty value included.
        let flag = |key: &str| value(key).is_some_and(|v| !v.eq_ignore_ascii_case("false") && v != "0");
        let number = |key: &str| {
            value(key)
                .map(|v| v.parse::<i64>().map_err(|_| QueryError::Undecodable))
                .transpose()
        };
        let time = |key: &str| match value(key) {
            None | Some("" | "null") => Ok(None),
            Some(text) => text.parse::<Timestamp>().map(Some).map_err(|_| QueryError::Undecodable),
        };
        // `tail` is the older name; `tail=all` is the same as no limit.
        let tail_lines = match value("tail") {
            None | Some("") => number("tailLines")?,
            Some("all") => None,
            Some(_) => number("tail")?,
        };
        let one_stream = match value("stream") {
            None | Some("" | "All") => Ok(None),
            Some("Stdout") => Ok(Some("Stdout")),
            Some("Stderr") => Ok(Some("Stderr")),
            Some(_) => Err(QueryError::Invalid),
        };
        let options = Self {
            follow: flag("follow"),
            previous: flag("previous"),
            timestamps: flag("timestamps"),
            since_seconds: number("sinceSeconds")?,
            since_time: time("sinceTime")?,
            tail_lines,
            limit_bytes: number("limitBytes")?,
            one_stream: one_stream?,
        };
        let invalid = options.tail_lines.is_some_and(|n| n < 0)
            || options.limit_bytes.is_some_and(|n| n < 1)
            || options.since_seconds.is_some_and(|n| n < 1)
            || (options.since_seconds.is_some() && options.since_time.is_some());
        if invalid { Err(QueryError::Invalid) } else { Ok(options) }
    }

    /// From when on lines are wanted.
    pub fn since(&self, now: Timestamp) -> Option<Timestamp> {
        let ago = self.since_seconds.map(|seconds| {
            now.checked_sub(jiff::SignedDuration::from_secs(seconds))
                .unwrap_or(Timestamp::MIN)
        });
        self.since_time.or(ago)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_options_are_read() {
        let query =
            "follow=true&previous=false&timestamps=1&tailLines=10&limitBytes=20&sinceTime=2026-01-02T03:04:05.5Z";
        let options = LogOptions::parse(query).expect("valid");
        let expected = LogOptions {
            follow: true,
            timestamps: true,
            tail_lines: Some(10),
            limit_bytes: Some(20),
            since_time: Some("2026-01-02T03:04:05.5Z".parse().expect("time")),
            ..LogOptions::default()
        };
        assert_eq!(options, expected);
        assert_eq!(LogOptions::parse(""), Ok(LogOptions::default()));
    }

    #[test]
    fn times_with_an_offset_come_percent_encoded() {
        let options = LogOptions::parse("sinceTime=2026-01-02T03%3A04%3A05%2B08%3A00").expect("valid");
        assert_eq!(options.since_time, Some("2026-01-01T19:04:05Z".parse().expect("time")));
    }

    #[test]
    fn flags_are_true_unless_said_otherwise() {
        assert!(LogOptions::parse("follow").expect("valid").follow);
        assert!(LogOptions::parse("follow=").expect("valid").follow);
        assert!(!LogOptions::parse("follow=False").expect("valid").follow);
        assert!(!LogOptions::parse("follow=0").expect("valid").follow);
    }

    #[test]
    fn the_old_name_of_tail_lines_is_understood() {
        assert_eq!(LogOptions::parse("tail=5").expect("valid").tail_lines, Some(5));
        assert_eq!(
            LogOptions::parse("tail=all&tailLines=5").expect("valid").tail_lines,
            None
        );
    }

    #[test]
    fn nonsense_is_refused_as_a_kubelet_refuses_it() {
        for query in ["tailLines=x", "limitBytes=", "sinceTime=yesterday", "sinceSeconds=1.5"] {
            assert_eq!(LogOptions::parse(query), Err(QueryError::Undecodable), "{query}");
        }
        let both = "sinceSeconds=1&sinceTime=2026-01-02T03:04:05Z";
        for query in ["tailLines=-1", "limitBytes=0", "sinceSeconds=0", "stream=Both", both] {
            assert_eq!(LogOptions::parse(query), Err(QueryError::Invalid), "{query}");
        }
        assert!(LogOptions::parse("tailLines=0&stream=All").is_ok());
    }

    #[test]
    fn seconds_count_back_from_now() {
        let options = LogOptions::parse("sinceSeconds=60").expect("valid");
        let now: Timestamp = "2026-01-02T03:05:05Z".parse().expect("time");
        assert_eq!(options.since(now), Some("2026-01-02T03:04:05Z".parse().expect("time")));
        let endless = LogOptions {
            since_seconds: Some(i64::MAX),
            ..LogOptions::default()
        };
        assert_eq!(endless.since(now), Some(Timestamp::MIN));
    }
}
