//! Commands inside containers: which container can run one now.

use super::{cloud::Cloud, container::State as ContainerState};
use crate::{
    runtime::{
        RuntimeError,
        exec::{CommandLine, ExecRequest, ExecStreams},
    },
    spec::GroupId,
};

/// What is to be run, as the caller asked for it.
#[derive(Clone, Debug)]
pub struct Exec {
    /// The group.
    pub group: GroupId,
    /// The container's name.
    pub container: String,
    /// Program and arguments.
    pub command: CommandLine,
    /// Whether it gets a terminal.
    pub tty: bool,
    /// Whether it gets standard input.
    pub stdin: bool,
}

/// Why nothing can be run.
#[derive(Debug)]
pub enum NoExec {
    /// No such group.
    Group,
    /// No such container.
    Container,
    /// The container does not run, or its group is ending.
    NotRunning,
    /// The runtime failed.
    Runtime(RuntimeError),
}

impl Cloud {
    /// The instance of a container that can run a command now.
    ///
    /// # Errors
    /// [`NoExec`].
    pub fn exec_instance(&self, group: &str, container: &str) -> Result<u32, NoExec> {
        let state = self.state();
        let group = state.group(group).ok_or(NoExec::Group)?;
        let index = group.index_of(container).ok_or(NoExec::Container)?;
        match group.containers.get(index) {
            // A group that is ending takes no more commands, though its containers may still be in their grace.
            Some(record) if !group.is_ending() && matches!(record.state, ContainerState::Running { .. }) => {
                Ok(record.instance)
            }
            _ => Err(NoExec::NotRunning),
        }
    }

    /// Runs a command in a container as it is now.
    ///
    /// # Errors
    /// [`NoExec`].
    pub async fn exec(&self, exec: Exec) -> Result<ExecStreams, NoExec> {
        let instance = self.exec_instance(exec.group.as_str(), &exec.container)?;
        let request = ExecRequest {
            container: exec.container,
            instance,
            command: exec.command,
            tty: exec.tty,
            stdin: exec.stdin,
        };
        match self.runtime().exec(&exec.group, request).await {
            Ok(streams) => Ok(streams),
            // It ended a moment ago, and its report is still on the way.
            Err(RuntimeError::NotFound) => Err(NoExec::NotRunning),
            Err(error) => Err(NoExec::Runtime(error)),
        }
    }
}
