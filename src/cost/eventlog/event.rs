//! (pure) Spark's events, so far as they say when who did what.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// The last millisecond of the year 9999: no sum of such times is too large for what holds it.
const LATEST: i64 = 253_402_300_799_999;
/// More cores than any machine has.
const MOST_CORES: u32 = 4_096;

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    i64::deserialize(from).map(|time| time.clamp(0, LATEST))
}

fn maybe_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    Option::<i64>::deserialize(from).map(|time| time.map(|time| time.clamp(0, LATEST)))
}

fn cores<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    u32::deserialize(from).map(|cores| cores.min(MOST_CORES))
}

/// An event that matters here.
#[derive(Debug, PartialEq)]
pub(super) enum Event {
    ApplicationStart(ApplicationStart),
    ApplicationEnd(ApplicationEnd),
    Environment(Environment),
    ExecutorAdded(ExecutorAdded),
    ExecutorRemoved(ExecutorRemoved),
    SqlStart(SqlStart),
    JobStart(JobStart),
    StageSubmitted(StageEvent),
    StageCompleted(StageEvent),
    TaskStart(TaskEvent),
    TaskEnd(TaskEvent),
}

#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct ApplicationStart {
    #[serde(rename = "App Name", default)]
    pub(super) name: String,
    #[serde(rename = "App ID", default)]
    pub(super) id: Option<String>,
    #[serde(rename = "Timestamp", deserialize_with = "time")]
    pub(super) at: i64,
}

#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct ApplicationEnd {
    #[serde(rename = "Timestamp", deserialize_with = "time")]
    pub(super) at: i64,
}

#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct Environment {
    #[serde(rename = "Spark Properties", default)]
    pub(super) properties: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct ExecutorAdded {
    #[serde(rename = "Timestamp", deserialize_with = "time")]
    pub(super) at: i64,
    #[serde(rename = "Executor ID")]
    pub(super) id: String,
    #[serde(rename = "Executor Info")]
    pub(super) info: ExecutorInfo,
}

#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct ExecutorInfo {
    #[serde(rename = "Total Cores", default, deserialize_with = "cores")]
    pub(super) cores: u32,
}

#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct ExecutorRemoved {
    #[serde(rename = "Timestamp", deserialize_with = "time")]
    pub(super) at: i64,
    #[serde(rename = "Executor ID")]
    pub(super) id: String,
    #[serde(rename = "Removed Reason", default)]
    pub(super) reason: String,
}

/// An action on a DataFrame, or a statement of SQL, begins.
#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct SqlStart {
    #[serde(rename = "executionId")]
    pub(super) id: u64,
    #[serde(default)]
    pub(super) description: String,
}

#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct JobStart {
    #[serde(rename = "Stage IDs", default)]
    pub(super) stages: Vec<u32>,
    #[serde(rename = "Properties", default)]
    pub(super) properties: Option<Properties>,
}

/// What a job's thread said of itself.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Properties {
    #[serde(rename = "spark.jobGroup.id", default)]
    pub(super) group: Option<String>,
    #[serde(rename = "spark.job.description", default)]
    pub(super) description: Option<String>,
    #[serde(rename = "spark.sql.execution.id", default)]
    pub(super) execution: Option<String>,
}

/// A stage is submitted, or over, when nothing is said of its job.
#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct StageEvent {
    #[serde(rename = "Stage Info")]
    pub(super) info: StageInfo,
    #[serde(rename = "Properties", default)]
    pub(super) properties: Option<Properties>,
}

#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct StageInfo {
    #[serde(rename = "Stage ID")]
    pub(super) id: u32,
    #[serde(rename = "Stage Attempt ID", default)]
    pub(super) attempt: u32,
    #[serde(rename = "Stage Name", default)]
    pub(super) name: String,
    #[serde(rename = "Submission Time", default, deserialize_with = "maybe_time")]
    pub(super) submitted: Option<i64>,
    #[serde(rename = "Completion Time", default, deserialize_with = "maybe_time")]
    pub(super) completed: Option<i64>,
    #[serde(rename = "Failure Reason", default)]
    pub(super) failure: Option<String>,
}

/// A task is launched, when nothing is measured of it yet, or over.
#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct TaskEvent {
    #[serde(rename = "Stage ID")]
    pub(super) stage: u32,
    #[serde(rename = "Stage Attempt ID", default)]
    pub(super) attempt: u32,
    #[serde(rename = "Task Info")]
    pub(super) info: TaskInfo,
    #[serde(rename = "Task Metrics", default)]
    pub(super) metrics: Option<TaskMetrics>,
}

#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct TaskInfo {
    #[serde(rename = "Task ID")]
    pub(super) id: u64,
    #[serde(rename = "Launch Time", deserialize_with = "time")]
    pub(super) launched: i64,
    #[serde(rename = "Finish Time", default, deserialize_with = "time")]
    pub(super) finished: i64,
    #[serde(rename = "Executor ID")]
    pub(super) executor: String,
    #[serde(rename = "Failed", default)]
    pub(super) failed: bool,
    #[serde(rename = "Killed", default)]
    pub(super) killed: bool,
}

#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct TaskMetrics {
    #[serde(rename = "Executor Run Time", default)]
    pub(super) run_ms: i64,
    #[serde(rename = "Input Metrics", default)]
    pub(super) input: InputMetrics,
    #[serde(rename = "Shuffle Read Metrics", default)]
    pub(super) shuffle: ShuffleReadMetrics,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
pub(super) struct InputMetrics {
    #[serde(rename = "Bytes Read", default)]
    pub(super) bytes: i64,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
pub(super) struct ShuffleReadMetrics {
    #[serde(rename = "Remote Bytes Read", default)]
    pub(super) remote: i64,
    #[serde(rename = "Local Bytes Read", default)]
    pub(super) local: i64,
}

impl TaskMetrics {
    /// All that it read.
    pub(super) fn read(&self) -> u64 {
        [self.input.bytes, self.shuffle.remote, self.shuffle.local]
            .into_iter()
            .fold(0, |sum, bytes| sum.saturating_add_signed(bytes.max(0)))
    }
}

/// Reads one line of a log; `Ok(None)` is an event that does not matter here.
pub(super) fn parse(line: &[u8]) -> Result<Option<Event>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(rename = "Event", borrow)]
        name: Cow<'a, str>,
    }
    fn whole<T: DeserializeOwned>(line: &[u8], event: fn(T) -> Event) -> Result<Option<Event>, serde_json::Error> {
        serde_json::from_slice(line).map(event).map(Some)
    }
    let Named { name } = serde_json::from_slice(line)?;
    match name.as_ref() {
        "SparkListenerApplicationStart" => whole(line, Event::ApplicationStart),
        "SparkListenerApplicationEnd" => whole(line, Event::ApplicationEnd),
        "SparkListenerEnvironmentUpdate" => whole(line, Event::Environment),
        "SparkListenerExecutorAdded" => whole(line, Event::ExecutorAdded),
        "SparkListenerExecutorRemoved" => whole(line, Event::ExecutorRemoved),
        "org.apache.spark.sql.execution.ui.SparkListenerSQLExecutionStart" => whole(line, Event::SqlStart),
        "SparkListenerJobStart" => whole(line, Event::JobStart),
        "SparkListenerStageSubmitted" => whole(line, Event::StageSubmitted),
        "SparkListenerStageCompleted" => whole(line, Event::StageCompleted),
        "SparkListenerTaskStart" => whole(line, Event::TaskStart),
        "SparkListenerTaskEnd" => whole(line, Event::TaskEnd),
        _ => Ok(None),
    }
}
