//! (pure) Which files make up the event log of an application.

use super::decode::Codec;

const ROLLING_FOLDER: &str = "eventlog_v2_";
const ROLLING_FILE: &str = "events_";
const COMPACT: &str = ".compact";
const IN_PROGRESS: &str = ".inprogress";

/// The application's id as it is part of names (Spark's `sanitizeDirName`).
fn sanitized(application: &str) -> String {
    let safe = |c: char| match c {
        ' ' | ':' | '/' => '-',
        '.' | '$' | '{' | '}' | '\'' | '"' => '_',
        c => c.to_ascii_lowercase(),
    };
    application.chars().map(safe).collect()
}

/// What names of files of that log can begin with, in a folder of logs or in the log's own folder.
pub(super) fn beginnings(application: &str) -> [String; 3] {
    let id = sanitized(application);
    [ROLLING_FILE.to_owned(), format!("{ROLLING_FOLDER}{id}/"), id]
}

/// Of `names`, relative to a folder, those of the application's log, in order; empty where there is none.
pub(super) fn of_log(names: &[String], application: &str) -> Vec<String> {
    let id = sanitized(application);
    let folder = format!("{ROLLING_FOLDER}{id}/");
    let inside: Vec<&String> = names.iter().filter(|name| name.starts_with(&folder)).collect();
    let own = if inside.is_empty() {
        rolled(names.iter().filter(|name| !name.contains('/')), "")
    } else {
        rolled(inside.into_iter(), &folder)
    };
    if !own.is_empty() {
        return own;
    }
    let single = |name: &&String| {
        let rest = name.strip_prefix(&id);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') && !rest.ends_with(".crc"))
    };
    // One that is complete beats one that is not.
    let best = names
        .iter()
        .filter(single)
        .min_by_key(|name| name.ends_with(IN_PROGRESS));
    best.cloned().into_iter().collect()
}

/// Files of a rolling log by number; a compact one stands for all before it.
fn rolled<'a>(names: impl Iterator<Item = &'a String>, folder: &str) -> Vec<String> {
    let mut files: Vec<(u64, bool, &String)> = names
        .filter_map(|name| {
            let rest = name.strip_prefix(folder)?.strip_prefix(ROLLING_FILE)?;
            let (number, rest) = rest.split_once('_')?;
            Some((number.parse().ok()?, rest.contains(COMPACT), name))
        })
        .collect();
    files.sort();
    let compact = files.iter().filter(|file| file.1).map(|file| file.0).max();
    let counts = |(number, is_compact, _): &(u64, bool, &String)| match compact {
        Some(compact) => *number > compact || (*number == compact && *is_compact),
        None => true,
    };
    files.into_iter().filter(counts).map(|file| file.2.clone()).collect()
}

/// How the file called `name` is packed.
pub(super) fn codec(name: &str) -> Codec {
    let name = name.strip_suffix(IN_PROGRESS).unwrap_or(name);
    Codec::of(name.strip_suffix(COMPACT).unwrap_or(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        of_log(&names, "spark-1")
    }

    #[test]
    fn a_rolling_log_is_read_in_order() {
        let names = [
            "eventlog_v2_spark-1/appstatus_spark-1",
            "eventlog_v2_spark-1/events_10_spark-1.zstd",
            "eventlog_v2_spark-1/events_9_spark-1.zstd",
            "eventlog_v2_spark-11/events_1_spark-11.zstd",
            "spark-1",
        ];
        assert_eq!(log(&names), [names[2], names[1]]);
        let own = ["appstatus_spark-1", "events_2_spark-1", "events_1_spark-1"];
        assert_eq!(log(&own), [own[2], own[1]]);
    }

    #[test]
    fn a_compact_file_stands_for_all_before_it() {
        let names = [
            "events_1_x.zstd",
            "events_2_x.zstd",
            "events_2_x.zstd.compact",
            "events_3_x.zstd",
        ];
        assert_eq!(log(&names), [names[2], names[3]]);
        assert_eq!(codec(names[2]), Codec::Zstd);
    }

    #[test]
    fn a_single_file_may_be_packed_or_in_progress() {
        assert_eq!(
            log(&["spark-1.zstd.inprogress", "spark-11", ".spark-1.crc"]),
            ["spark-1.zstd.inprogress"]
        );
        assert_eq!(log(&["spark-1.inprogress", "spark-1", "spark-1.crc"]), ["spark-1"]);
        assert!(log(&["spark-12", "other"]).is_empty());
        assert_eq!(codec("spark-1.zstd.inprogress"), Codec::Zstd);
        assert_eq!(codec("spark-1.lz4"), Codec::Other("lz4"));
        assert_eq!(codec("spark-1"), Codec::Plain);
    }
}
