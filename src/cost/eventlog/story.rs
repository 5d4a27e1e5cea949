//! (pure) What an event log tells, put together.

use std::collections::{BTreeMap, HashMap};

use super::event::{Event, Properties, StageEvent, StageInfo, TaskEvent, TaskMetrics};

/// Tasks that are kept; the log of an application with more counts as broken off there.
const MOST_TASKS: usize = 4_000_000;
/// With adaptive execution Spark names stages of SQL after its own line that submits them, which says nothing.
const SUBMITTED_BY_SPARK: &str = "$anonfun$withThreadLocalCaptured$";
/// Of names and reasons, so much is kept.
const LONGEST_TEXT: usize = 200;

/// An application's life. Times are milliseconds since 1970, by the driver's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Spark's id of the application.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it began: its SparkContext, which is some time after its driver's container.
    pub started: Option<i64>,
    /// When it ended.
    pub ended: Option<i64>,
    /// The latest time that the log speaks of.
    pub last: i64,
    /// Executors, in the order in which they registered.
    pub executors: Vec<Executor>,
    /// Attempts of stages, in the order in which they were submitted.
    pub stages: Vec<Stage>,
    /// Tasks, in the order in which they ended.
    pub tasks: Vec<Task>,
    /// Settings that decide about sizes.
    pub settings: Settings,
    /// Why it is not whole.
    pub broken_off: Option<String>,
    /// Lines that could not be read.
    pub unreadable: u64,
}

/// An executor's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executor {
    /// Spark's number of it.
    pub id: String,
    /// Tasks' cores that it offers.
    pub cores: u32,
    /// When it registered with the driver.
    pub added: i64,
    /// When the driver gave it up.
    pub removed: Option<i64>,
    /// Why, in Spark's words.
    pub reason: String,
}

impl Executor {
    /// Whether it went as one that was told to go: Spark decommissioned it.
    pub fn is_decommissioned(&self) -> bool {
        self.reason.to_ascii_lowercase().contains("decommission")
    }
}

/// An attempt of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// Number of the stage.
    pub id: u32,
    /// Number of the attempt.
    pub attempt: u32,
    /// What Spark calls it; of its statement where that names no line of the application's.
    pub name: String,
    /// Job group of its job; empty = none.
    pub group: String,
    /// Description of its job; empty = none.
    pub description: String,
    /// When it was submitted.
    pub submitted: Option<i64>,
    /// When it was over.
    pub completed: Option<i64>,
    /// Whether it failed.
    pub failed: bool,
    /// Milliseconds that its tasks ran, as executors measured them.
    pub run_ms: i64,
}

/// A run of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its stage: index in [`Story::stages`].
    pub stage: u32,
    /// Its executor: index in [`Story::executors`].
    pub executor: u32,
    /// When the driver launched it.
    pub launched: i64,
    /// When the driver knew that it was over.
    pub finished: i64,
    /// Whether it did what it was to do.
    pub succeeded: bool,
    /// Bytes that it read from storage and of what other stages left; 0 = it did not say.
    pub read: u64,
}

/// Settings of the application that decide about sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Settings that are kept.
    const KEPT: [&'static str; 12] = [
        "spark.executor.memory",
        "spark.executor.memoryOverhead",
        "spark.executor.memoryOverheadFactor",
        "spark.executor.pyspark.memory",
        "spark.executor.cores",
        "spark.executor.instances",
        "spark.kubernetes.memoryOverheadFactor",
        "spark.kubernetes.resource.type",
        "spark.kubernetes.allocation.batch.size",
        "spark.kubernetes.allocation.batch.delay",
        "spark.task.cpus",
        "spark.dynamicAllocation.enabled",
    ];

    /// What a setting was set to.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Of these settings, those that are kept.
    pub fn of(mut properties: BTreeMap<String, String>) -> Self {
        properties.retain(|key, _| Self::KEPT.contains(&key.as_str()));
        Self(properties)
    }

    /// Cores that a task takes.
    pub fn task_cpus(&self) -> u32 {
        let cpus = self.get("spark.task.cpus").and_then(|text| text.parse().ok());
        cpus.unwrap_or(1).max(1)
    }
}

/// Puts a story together, event by event.
#[derive(Debug, Default)]
pub(super) struct Builder {
    story: Story,
    executors: HashMap<String, u32>,
    stages: HashMap<(u32, u32), u32>,
    /// What jobs said of the stages they may run.
    jobs: HashMap<u32, Properties>,
    /// What actions on DataFrames and statements of SQL are called, by their number.
    statements: HashMap<String, String>,
    /// Tasks that run, by their number.
    running: HashMap<u64, Task>,
    full: bool,
}

impl Builder {
    /// Whether there was anything to read.
    pub(super) fn is_empty(&self) -> bool {
        self.story.started.is_none() && self.story.executors.is_empty() && self.story.stages.is_empty()
    }

    /// A line that cannot be read.
    pub(super) fn unreadable(&mut self) {
        self.story.unreadable += 1;
    }

    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::ApplicationStart(start) => {
                self.story.id = start.id.unwrap_or_default();
                self.story.name = short(start.name);
                self.story.started = Some(start.at);
                self.see(start.at);
            }
            Event::ApplicationEnd(end) => {
                self.story.ended = Some(end.at);
                self.see(end.at);
            }
            Event::Environment(environment) => self.story.settings = Settings::of(environment.properties),
            Event::ExecutorAdded(added) => {
                self.executor(&added.id, added.info.cores, added.at);
                self.see(added.at);
            }
            Event::ExecutorRemoved(removed) => {
                self.see(removed.at);
                let index = self.executors.get(&removed.id);
                if let Some(executor) = index.and_then(|index| self.story.executors.get_mut(*index as usize)) {
                    executor.removed = Some(removed.at);
                    executor.reason = short(removed.reason);
                }
            }
            Event::SqlStart(sql) => {
                self.statements.insert(sql.id.to_string(), short(sql.description));
            }
            Event::JobStart(job) => {
                if let Some(properties) = job.properties {
                    self.jobs
                        .extend(job.stages.into_iter().map(|stage| (stage, properties.clone())));
                }
            }
            Event::StageSubmitted(stage) => {
                self.stage_event(stage);
            }
            Event::StageCompleted(stage) => {
                let failed = stage.info.failure.is_some();
                let index = self.stage_event(stage);
                if let Some(stage) = self.story.stages.get_mut(index as usize) {
                    stage.failed = failed;
                }
            }
            Event::TaskStart(start) => {
                self.see(start.info.launched);
                if self.running.len() < MOST_TASKS {
                    let task = self.task(&start);
                    self.running.insert(start.info.id, task);
                }
            }
            Event::TaskEnd(end) => self.task_end(&end),
        }
    }

    /// What has come together; tasks that still run end with what they run on, or where the log ends.
    pub(super) fn finish(mut self) -> Story {
        let last = self.story.ended.unwrap_or(self.story.last);
        let mut running: Vec<(u64, Task)> = self.running.into_iter().collect();
        running.sort_unstable_by_key(|(id, _)| *id);
        for (_, mut task) in running {
            let executor = self.story.executors.get(task.executor as usize);
            let end = executor.and_then(|executor| executor.removed).unwrap_or(last);
            task.finished = end.max(task.launched);
            self.story.tasks.push(task);
        }
        if self.full {
            self.story.broken_off = Some(format!("it has more than {MOST_TASKS} tasks"));
        }
        self.story
    }

    fn see(&mut self, at: i64) {
        self.story.last = self.story.last.max(at);
    }

    fn task_end(&mut self, end: &TaskEvent) {
        self.see(end.info.finished);
        self.running.remove(&end.info.id);
        let mut task = self.task(end);
        task.finished = end.info.finished.max(task.launched);
        task.succeeded = !end.info.failed && !end.info.killed;
        let run = end.metrics.as_ref().map_or(0, |metrics| metrics.run_ms.max(0));
        task.read = end.metrics.as_ref().map_or(0, TaskMetrics::read);
        if let Some(stage) = self.story.stages.get_mut(task.stage as usize) {
            stage.run_ms = stage.run_ms.saturating_add(run);
        }
        if self.story.tasks.len() < MOST_TASKS {
            self.story.tasks.push(task);
        } else {
            self.full = true;
        }
    }

    fn task(
        &mut self,
        TaskEvent {
            stage, attempt, info, ..
        }: &TaskEvent,
    ) -> Task {
        // A compact log may lack what came before the task.
        let stage = match self.stages.get(&(*stage, *attempt)) {
            Some(index) => *index,
            None => self.stage(unknown(*stage, *attempt), None),
        };
        let executor = self.executor(&info.executor, 1, info.launched);
        Task {
            stage,
            executor,
            launched: info.launched,
            finished: info.launched,
            succeeded: false,
            read: 0,
        }
    }

    fn executor(&mut self, id: &str, cores: u32, added: i64) -> u32 {
        if let Some(index) = self.executors.get(id) {
            return *index;
        }
        let index = index(self.story.executors.len());
        self.executors.insert(id.to_owned(), index);
        self.story.executors.push(Executor {
            id: id.to_owned(),
            cores: cores.max(1),
            added,
            removed: None,
            reason: String::new(),
        });
        index
    }

    fn stage_event(&mut self, event: StageEvent) -> u32 {
        let properties = event.properties.or_else(|| self.jobs.get(&event.info.id).cloned());
        self.stage(event.info, properties)
    }

    fn stage(&mut self, info: StageInfo, properties: Option<Properties>) -> u32 {
        for at in [info.submitted, info.completed].into_iter().flatten() {
            self.see(at);
        }
        let index = *self.stages.entry((info.id, info.attempt)).or_insert_with(|| {
            let properties = properties.unwrap_or_default();
            let statement = properties
                .execution
                .filter(|_| info.name.starts_with(SUBMITTED_BY_SPARK));
            let statement = statement.and_then(|id| Some(format!("SQL {id}: {}", self.statements.get(&id)?)));
            self.story.stages.push(Stage {
                id: info.id,
                attempt: info.attempt,
                name: short(statement.unwrap_or(info.name)),
                group: short(properties.group.unwrap_or_default()),
                description: short(properties.description.unwrap_or_default()),
                ..Stage::default()
            });
            index(self.story.stages.len() - 1)
        });
        if let Some(stage) = self.story.stages.get_mut(index as usize) {
            stage.submitted = info.submitted.or(stage.submitted);
            stage.completed = info.completed.or(stage.completed);
        }
        index
    }
}

fn unknown(id: u32, attempt: u32) -> StageInfo {
    StageInfo {
        id,
        attempt,
        name: String::new(),
        submitted: None,
        completed: None,
        failure: None,
    }
}

/// No log has four thousand million of anything.
fn index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn short(text: String) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
