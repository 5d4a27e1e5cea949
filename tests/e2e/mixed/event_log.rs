//! What Spark says of a job in its event log: which executor wrote shuffle data, and how much of it each fetched from where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A task that ended.
#[derive(Debug)]
struct Task {
    stage: u64,
    /// Address of its executor.
    host: String,
    /// Whether it wrote shuffle data: a block for each task that reads.
    wrote: bool,
    /// Blocks that it read, from its own executor and from others.
    blocks: u64,
    /// Bytes that came from other executors.
    remote_bytes: u64,
}

/// The log of an application.
#[derive(Debug, Default)]
pub struct EventLog {
    executors: BTreeMap<String, String>,
    parents: BTreeMap<u64, Vec<u64>>,
    tasks: Vec<Task>,
}

/// The traffic between two sides.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Tasks of one side that read more blocks than their side holds.
    pub tasks: usize,
    /// Bytes that tasks of that side read from other executors.
    pub remote_bytes: u64,
}

impl EventLog {
    /// Reads the files of the only application in a folder, which end up in it in any order.
    pub fn read(folder: &Path) -> Self {
        let mut files = Vec::new();
        collect(folder, &mut files);
        let mut log = Self::default();
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            for line in text.lines() {
                log.take(&serde_json::from_str(line).unwrap_or_else(|e| panic!("{}: {e}: {line}", file.display())));
            }
        }
        log
    }

    fn take(&mut self, event: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        match event["Event"].as_str() {
            Some("SparkListenerExecutorAdded") => {
                let host = text(&event["Executor Info"]["Host"]);
                self.executors.insert(text(&event["Executor ID"]), host);
            }
            Some("SparkListenerStageSubmitted") => {
                let parents = event["Stage Info"]["Parent IDs"].as_array().into_iter().flatten();
                let parents = parents.filter_map(Value::as_u64).collect();
                self.parents.insert(number(&event["Stage Info"]["Stage ID"]), parents);
            }
            Some("SparkListenerTaskEnd") if event["Task End Reason"]["Reason"] == "Success" => {
                let metrics = &event["Task Metrics"];
                let read = &metrics["Shuffle Read Metrics"];
                self.tasks.push(Task {
                    stage: number(&event["Stage ID"]),
                    host: text(&event["Task Info"]["Host"]),
                    wrote: number(&metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"]) > 0,
                    blocks: number(&read["Local Blocks Fetched"]) + number(&read["Remote Blocks Fetched"]),
                    remote_bytes: number(&read["Remote Bytes Read"]),
                });
            }
            _ => {}
        }
    }

    /// Addresses of all executors that registered.
    pub fn executors(&self) -> BTreeSet<&str> {
        self.executors.values().map(String::as_str).collect()
    }

    /// Addresses of executors that ran tasks.
    pub fn at_work(&self) -> BTreeSet<&str> {
        self.tasks.iter().map(|task| task.host.as_str()).collect()
    }

    /// What tasks on hosts of one side fetched that was written on the other. A task reads one block of each task that wrote; who reads
    /// more of them than its own side wrote has read the rest from the other side.
    pub fn fetched_by(&self, side: impl Fn(&str) -> bool) -> Exchange {
        let mut exchange = Exchange::default();
        for task in self.tasks.iter().filter(|task| side(&task.host)) {
            let parents = self.parents.get(&task.stage).map_or(&[][..], Vec::as_slice);
            let wrote = self.tasks.iter().filter(|t| t.wrote && parents.contains(&t.stage));
            let own = wrote.filter(|t| side(&t.host)).count() as u64;
            if task.blocks > own && task.remote_bytes > 0 {
                exchange.tasks += 1;
                exchange.remote_bytes += task.remote_bytes;
            }
        }
        exchange
    }
}

/// Event files under `folder`. Those of the store's own begin with a dot.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        } else if path.is_dir() {
            collect(&path, files);
        } else if name.starts_with("events_") {
            files.push(path);
        }
    }
}
