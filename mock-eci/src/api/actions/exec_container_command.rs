//! `ExecContainerCommand`: a command in a container that runs, over a WebSocket or, with `Sync`, in the answer.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    api::{Context, Work, error::ApiError, params::Scope, response::answer},
    domain::exec::{Exec, NoExec},
    exec,
    runtime::exec::{CommandLine, ExecOutput, ExecStreams},
    spec::GroupId,
};

/// Most words of a command.
const MAX_WORDS: usize = 20;
/// Most characters of a word.
const MAX_CHARACTERS: usize = 256;
/// Most output of a command that is answered synchronously: as much as a log call gives. The rest is not kept.
const MAX_OUTPUT: usize = 1024 * 1024;
/// How long such a command may take. ECI says nothing of it; the SDKs wait 10 s for an answer unless told otherwise.
const MAX_TIME: Duration = Duration::from_secs(60);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Response<'a> {
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    web_socket_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync_response: Option<String>,
}

pub(in crate::api) fn call(context: Context<'_>) -> Result<Work, ApiError> {
    context.check_region()?;
    let scope = context.scope;
    let group = GroupId::from(scope.required("ContainerGroupId")?);
    let container = scope.required("ContainerName")?.to_owned();
    let command = command(scope)?;
    let tty = scope.boolean("TTY")?.unwrap_or(false);
    let stdin = scope.boolean("Stdin")?.unwrap_or(true);
    let sync = scope.boolean("Sync")?.unwrap_or(false);
    if sync && tty {
        return Err(ApiError::invalid("Sync", "it must not be true where TTY is true"));
    }
    let exec = Exec {
        group: group.clone(),
        container: container.clone(),
        command,
        tty,
        // A synchronous command has nobody to feed it.
        stdin: stdin && !sync,
    };
    let cloud = context.cloud.clone();
    let refuse = move |error| refusal(error, group.as_str(), &container);
    // Looked at again when the command is started; but who calls is to be told now.
    cloud
        .exec_instance(exec.group.as_str(), &exec.container)
        .map_err(&refuse)?;
    if !sync {
        let token = context
            .exec
            .issue(exec, cloud.clock().now())
            .ok_or_else(ApiError::throttling)?;
        let (web_socket_uri, http_url) = exec::addresses(context.host, &token);
        return answer(&Response {
            request_id: context.request_id,
            web_socket_uri: Some(web_socket_uri),
            http_url: Some(http_url),
            sync_response: None,
        })
        .map(Work::Done);
    }
    let slot = context.exec.slot().ok_or_else(ApiError::throttling)?;
    let request_id = context.request_id.to_owned();
    Ok(Work::Later(Box::pin(async move {
        let _slot = slot;
        let deadline = Instant::now() + MAX_TIME;
        // Dropped with the call or at the deadline, which ends the command.
        let output = tokio::time::timeout_at(deadline, async {
            let streams = cloud.exec(exec).await.map_err(&refuse)?;
            collect(streams).await
        })
        .await
        .map_err(|_| ApiError::exec_timeout(MAX_TIME.as_secs()))??;
        answer(&Response {
            request_id: &request_id,
            web_socket_uri: None,
            http_url: None,
            sync_response: Some(String::from_utf8_lossy(&output).into_owned()),
        })
    })))
}

/// `Command`: a JSON array of strings. Errors never quote it.
fn command(scope: Scope<'_>) -> Result<CommandLine, ApiError> {
    scope.required("Command")?;
    let words = scope.json_texts("Command", usize::MAX)?.unwrap_or_default();
    if words.first().is_none_or(String::is_empty) {
        return Err(ApiError::invalid("Command", "it names no program"));
    }
    if words.len() > MAX_WORDS {
        return Err(ApiError::value_exceeded(
            "Command",
            format_args!("at most {MAX_WORDS} items are allowed"),
        ));
    }
    if words.iter().any(|word| word.chars().count() > MAX_CHARACTERS) {
        return Err(ApiError::value_exceeded(
            "Command",
            format_args!("at most {MAX_CHARACTERS} characters are allowed in each item"),
        ));
    }
    Ok(CommandLine(words))
}

/// Both streams of a command to its end.
async fn collect(mut streams: ExecStreams) -> Result<Vec<u8>, ApiError> {
    let mut output = Vec::new();
    loop {
        match streams.output.recv().await {
            Some(ExecOutput::Stdout(data) | ExecOutput::Stderr(data)) => {
                let room = MAX_OUTPUT - output.len();
                output.extend_from_slice(&data[..data.len().min(room)]);
            }
            // Its exit code is not part of the answer.
            Some(ExecOutput::Ended(Ok(_))) => return Ok(output),
            Some(ExecOutput::Ended(Err(message))) => return Err(ApiError::internal(message)),
            None => return Err(ApiError::internal("The command was lost.")),
        }
    }
}

fn refusal(error: NoExec, group: &str, container: &str) -> ApiError {
    match error {
        NoExec::Group => ApiError::group_not_found(group),
        NoExec::Container => ApiError::container_not_found(container),
        NoExec::NotRunning => ApiError::not_running(container),
        NoExec::Runtime(error) => ApiError::internal(error.to_string()),
    }
}
