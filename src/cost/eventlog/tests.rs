use std::io::Read;
use std::path::{Path, PathBuf};

use super::source::consume;
use super::story::Builder;
use super::*;

const APPLICATION: &str = "app-20261126181408-0000";

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cost/testdata")
}

async fn golden() -> Story {
    let read = read(&Place::Local(testdata()), APPLICATION).await;
    read.unwrap_or_else(|error| panic!("{error}"))
}

/// The log as text.
fn text() -> Vec<u8> {
    let mut text = Vec::new();
    for number in 1..=2 {
        let name = format!("eventlog_v2_{APPLICATION}/events_{number}_{APPLICATION}.zstd");
        let file = std::fs::File::open(testdata().join(name)).expect("there");
        let mut reader = decode::unpack(file, decode::Codec::Zstd).expect("zstd");
        reader.read_to_end(&mut text).expect("unpacks");
    }
    text
}

/// The story of a log with this text.
pub(crate) fn story_of(text: &[u8]) -> Story {
    let reader = std::io::Cursor::new(text.to_vec());
    consume(Box::new(reader), decode::Codec::Plain, Builder::default())
        .0
        .finish()
}

/// The story of the golden log.
pub(crate) fn golden_story() -> Story {
    story_of(&text())
}

#[tokio::test]
async fn the_log_of_a_real_run() {
    let story = golden().await;
    assert_eq!((story.id.as_str(), story.name.as_str()), (APPLICATION, "golden.py"));
    assert_eq!((story.broken_off.as_deref(), story.unreadable), (None, 0));
    assert_eq!(story.ended.expect("ended") - story.started.expect("started"), 120_207);
    assert_eq!(story.settings.get("spark.executor.memory"), Some("512m"));
    let executors: Vec<_> = story.executors.iter().map(|one| (one.id.as_str(), one.cores)).collect();
    assert_eq!(executors, [("1", 1), ("0", 1)]);
    let stages: Vec<_> = story
        .stages
        .iter()
        .enumerate()
        .map(|(index, stage)| {
            let tasks = story.tasks.iter().filter(|task| task.stage as usize == index);
            (stage.id, stage.group.as_str(), tasks.count(), stage.run_ms)
        })
        .collect();
    let expected = [
        (0, "count", 4, 30_477),
        (1, "count", 3, 3_206),
        (2, "sum", 2, 18_293),
        (4, "sum", 1, 1_402),
        (5, "", 2, 1_599),
    ];
    assert_eq!(stages, expected);
    assert_eq!(story.stages[0].description, "Words counted");
    assert!(
        story
            .tasks
            .iter()
            .all(|task| task.succeeded && task.finished > task.launched)
    );
    assert_eq!(story, golden_story(), "files one after the other are the log");
}

/// A bucket with the golden log in the folder `events`; it answers lists, and gets of ranges.
fn bucket() -> Place {
    let service = tower::service_fn(|request: http::Request<axum::body::Body>| async move {
        let uri = request.uri().clone();
        let range = request.headers().get("range").and_then(|range| range.to_str().ok());
        let range = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let answer = http::Response::builder();
        let answer = match (uri.path().strip_prefix("/bucket/events/"), range) {
            (Some(key), Some((from, to))) => {
                let bytes = std::fs::read(testdata().join(key)).expect("there");
                let number = |text: &str| text.parse::<usize>().expect("a number");
                let (from, to) = (number(from), number(to).min(bytes.len() - 1));
                if from >= bytes.len() {
                    answer.status(416).body(axum::body::Body::empty())
                } else {
                    answer.status(206).body(bytes[from..=to].to_vec().into())
                }
            }
            _ => {
                let query: std::collections::BTreeMap<String, String> =
                    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
                        .into_owned()
                        .collect();
                let keys = (1..=2).map(|n| format!("events/eventlog_v2_{APPLICATION}/events_{n}_{APPLICATION}.zstd"));
                let contents: String = keys
                    .filter(|key| key.starts_with(&query["prefix"]))
                    .map(|key| {
                        format!(
                            "<Contents><Key>{key}</Key><LastModified>2026-11-26T18:16:06.000Z</LastModified><ETag>\"e\"</ETag>\
                             <Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>"
                        )
                    })
                    .collect();
                let list = format!(
                    "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name><Prefix></Prefix>\
                     <KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
                );
                answer.status(200).body(list.into())
            }
        };
        Ok::<_, std::convert::Infallible>(answer.expect("valid"))
    });
    let transport = std::sync::Arc::new(eci::TowerTransport::<_, axum::body::Body>::new(service));
    let mut location = crate::object_store::Location::parse("s3://bucket").expect("valid");
    location.endpoint = Some("http://127.0.0.1:1".to_owned());
    let environment = eci::credentials::Environment::of([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "s")]);
    let clock = std::sync::Arc::new(eci::clock::SystemClock);
    let store = crate::object_store::S3Store::new(&location, "r", &environment, clock, transport);
    Place::Store {
        store: std::sync::Arc::new(store.unwrap_or_else(|error| panic!("{error}"))),
        path: "events".to_owned(),
        shown: "s3a://bucket/events".to_owned(),
    }
}

#[tokio::test]
async fn a_log_in_a_bucket_is_read_piece_by_piece() {
    let story = read(&bucket(), APPLICATION).await;
    assert_eq!(story.unwrap_or_else(|error| panic!("{error}")), golden_story());
}

#[tokio::test]
async fn a_log_that_breaks_off_anywhere_is_read_as_far_as_it_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = format!("events_1_{APPLICATION}.zstd");
    let whole = std::fs::read(testdata().join(format!("eventlog_v2_{APPLICATION}/{name}"))).expect("there");
    for end in (0..whole.len()).step_by(97) {
        std::fs::write(folder.path().join(&name), &whole[..end]).expect("writes");
        match read(&Place::Local(folder.path().to_owned()), APPLICATION).await {
            Ok(story) => assert!(story.broken_off.is_some() && story.executors.len() <= 2),
            Err(EventLogError::Unreadable { why, .. }) => assert!(!why.is_empty()),
            Err(error) => panic!("{error}"),
        }
    }
    let text = text();
    for end in (0..text.len()).step_by(997) {
        let story = story_of(&text[..end]);
        assert!(
            story
                .tasks
                .iter()
                .all(|task| task.finished >= task.launched && task.finished <= story.last)
        );
    }
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let said = async |path: &Path, application: &str| {
        let error = read(&Place::Local(path.to_owned()), application).await;
        error.expect_err("no log").to_string()
    };
    let error = said(&testdata(), "spark-1").await;
    assert!(
        error.contains("spark-1") && error.contains("spark.eventLog.dir"),
        "{error}"
    );
    let file = testdata().join(format!("eventlog_v2_{APPLICATION}/events_1_{APPLICATION}.zstd"));
    let error = said(&file, "spark-1").await;
    assert!(
        error.contains(&format!("is that of application {APPLICATION}, not of spark-1")),
        "{error}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("spark-1.lz4"), "LZ4Block").expect("writes");
    let error = said(folder.path(), "spark-1").await;
    assert!(error.contains("spark.eventLog.compression.codec to zstd"), "{error}");
}

#[test]
fn stages_of_sql_are_called_after_its_statement_where_spark_names_its_own_line() {
    let submitted = |id, name| {
        format!(
            r#"{{"Event":"SparkListenerStageSubmitted","Stage Info":{{"Stage ID":{id},"Stage Name":"{name}"}},"Properties":{{"spark.sql.execution.id":"7"}}}}"#
        )
    };
    let inner = "$anonfun$withThreadLocalCaptured$1 at CompletableFuture.java:1768";
    let statement = r#"{"Event":"org.apache.spark.sql.execution.ui.SparkListenerSQLExecutionStart","executionId":7,"description":"text at job.py:3"}"#;
    let log = [
        &submitted(0, inner),
        statement,
        &submitted(1, inner),
        &submitted(2, "count at job.py:9"),
    ];
    let story = story_of((log.join("\n") + "\n").as_bytes());
    let names: Vec<&str> = story.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(names, [inner, "SQL 7: text at job.py:3", "count at job.py:9"]);
}

#[test]
fn executors_that_go_are_known_with_the_reason() {
    let line = |event: serde_json::Value| format!("{event}\n");
    let text = [
        line(
            serde_json::json!({"Event": "SparkListenerExecutorAdded", "Timestamp": 10, "Executor ID": "1",
            "Executor Info": {"Host": "h", "Total Cores": 2}}),
        ),
        line(
            serde_json::json!({"Event": "SparkListenerTaskStart", "Stage ID": 7, "Stage Attempt ID": 1,
            "Task Info": {"Task ID": 3, "Launch Time": 20, "Executor ID": "1", "Finish Time": 0}}),
        ),
        "not an event\n".to_owned(),
        line(
            serde_json::json!({"Event": "SparkListenerExecutorRemoved", "Timestamp": 50, "Executor ID": "1",
            "Removed Reason": "Executor decommission: spot notice"}),
        ),
        line(serde_json::json!({"Event": "org.example.Other", "Timestamp": 70})),
    ];
    let story = story_of(text.concat().as_bytes());
    assert_eq!((story.executors[0].removed, story.executors[0].cores), (Some(50), 2));
    assert!(story.executors[0].is_decommissioned());
    // What it ran ended with it.
    assert_eq!((story.tasks[0].launched, story.tasks[0].finished), (20, 50));
    assert_eq!(
        (story.stages[0].id, story.stages[0].attempt, story.unreadable),
        (7, 1, 1)
    );
}

proptest::proptest! {
    #[test]
    fn whatever_a_log_says_it_is_a_story(numbers in proptest::collection::vec(proptest::prelude::any::<i64>(), 8), cores: u32, cut in 0_usize..900) {
        let n = |index: usize| numbers[index];
        let text = format!(
            "{{\"Event\":\"SparkListenerApplicationStart\",\"App Name\":\"a\",\"Timestamp\":{}}}\n\
             {{\"Event\":\"SparkListenerExecutorAdded\",\"Timestamp\":{},\"Executor ID\":\"1\",\"Executor Info\":{{\"Total Cores\":{cores}}}}}\n\
             {{\"Event\":\"SparkListenerStageSubmitted\",\"Stage Info\":{{\"Stage ID\":0,\"Submission Time\":{}}}}}\n\
             {{\"Event\":\"SparkListenerTaskEnd\",\"Stage ID\":0,\"Task Info\":{{\"Task ID\":1,\"Launch Time\":{},\"Finish Time\":{},\
             \"Executor ID\":\"1\"}},\"Task Metrics\":{{\"Executor Run Time\":{}}}}}\n\
             {{\"Event\":\"SparkListenerExecutorRemoved\",\"Timestamp\":{},\"Executor ID\":\"1\"}}\n\
             {{\"Event\":\"SparkListenerApplicationEnd\",\"Timestamp\":{}}}\n",
            n(0), n(1), n(2), n(3), n(4), n(5), n(6), n(7)
        );
        let story = story_of(&text.as_bytes()[..text.len().saturating_sub(cut)]);
        let mut record = crate::cost::record::tests::record("eci-1");
        record.executor = Some("1".to_owned());
        let mut driver = record.clone();
        (driver.role, driver.executor) = (crate::cost::application::Role::Driver, None);
        let analysis = crate::cost::split::analyse(&[&driver, &record], Some(&story));
        proptest::prop_assert_eq!(analysis.phases.values().map(|part| part.amount).sum::<provider::units::NanoMoney>(), analysis.total);
        let answers = crate::cost::whatif::scenarios(&[&driver, &record], Some(&story), &Default::default());
        proptest::prop_assert!(!answers.is_empty());
    }
}
