//! What happened to a group, for people: the newest 50 events, as `DescribeContainerGroupEvents` shows them.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

use crate::spec::GroupSpec;

/// ECI keeps the newest 50.
const KEPT: usize = 50;

/// Who saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `EciService`: the cloud.
    Service,
    /// `K8sAgent`: the agent inside the group.
    Agent,
}

impl Source {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "EciService",
            Self::Agent => "K8sAgent",
        }
    }
}

/// One event; the same one again counts up.
#[derive(Clone, Debug)]
pub struct GroupEvent {
    /// Who saw it.
    pub source: Source,
    /// `Warning`, otherwise `Normal`.
    pub warning: bool,
    /// CamelCase word.
    pub reason: &'static str,
    /// What it is about; with `reason` it makes the message.
    pub detail: Detail,
    /// How often.
    pub count: u32,
    /// The first time.
    pub first: Timestamp,
    /// The newest time.
    pub last: Timestamp,
}

/// What an event is about. Messages are made when somebody reads them: most are never read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detail {
    /// About this container of the group (index into init containers, then containers).
    Container(usize),
    /// This container's image is there, after a pull of this long (none = it was there before).
    Pulled(usize, Option<Duration>),
    /// A message as such.
    Text(Box<str>),
}

impl GroupEvent {
    /// Its message, in the kubelet's words.
    pub fn message(&self, spec: &GroupSpec, uid: &str) -> String {
        let index = match &self.detail {
            Detail::Text(text) => return text.to_string(),
            Detail::Container(index) | Detail::Pulled(index, _) => *index,
        };
        let mut containers = spec.init_containers.iter().chain(&spec.containers);
        let Some(container) = containers.nth(index) else {
            return String::new();
        };
        let (name, image) = (&container.name, &container.image);
        match self.reason {
            "Pulling" => format!("Pulling image \"{image}\""),
            "Pulled" => match self.detail {
                Detail::Pulled(_, Some(took)) => {
                    format!("Successfully pulled image \"{image}\" in {:.3}s", took.as_secs_f64())
                }
                _ => format!("Container image \"{image}\" already present on machine"),
            },
            "Created" => format!("Created container: {name}"),
            "Started" => format!("Started container {name}"),
            "BackOff" => format!(
                "Back-off restarting failed container {name} in pod {}_default({uid})",
                spec.name
            ),
            "Killing" => format!("Stopping container {name}"),
            reason => format!("{reason}: container {name}"),
        }
    }
}

/// The newest events of one group.
#[derive(Clone, Debug, Default)]
pub struct GroupEvents(VecDeque<GroupEvent>);

impl GroupEvents {
    /// Adds one.
    pub fn add(&mut self, source: Source, warning: bool, reason: &'static str, detail: Detail, at: Timestamp) {
        if let Some(same) = self
            .0
            .iter_mut()
            .rev()
            .find(|e| e.reason == reason && e.detail == detail)
        {
            same.count = same.count.saturating_add(1);
            same.last = at;
            return;
        }
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(GroupEvent {
            source,
            warning,
            reason,
            detail,
            count: 1,
            first: at,
            last: at,
        });
    }

    /// Writes out what the events say of containers, before those get other places.
    pub fn write_out(&mut self, spec: &GroupSpec, uid: &str) {
        for event in &mut self.0 {
            if !matches!(event.detail, Detail::Text(_)) {
                event.detail = Detail::Text(event.message(spec, uid).into());
            }
        }
    }

    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &GroupEvent> {
        self.0.iter()
    }
}
