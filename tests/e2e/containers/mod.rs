//! kubectl's streams with real containers: what simulated programs cannot show. `make kubectl` runs these, and no other suite does.

mod copy;
mod exec;
mod forward;
mod left;
mod logs;
mod serverless;
mod terminal;

use serde_json::Value;

use crate::kubectl::Raw;
use crate::namespace::{Namespace, pod};

/// A pod whose container runs a script.
fn scripted(name: &str, script: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["terminationGracePeriodSeconds"] = 1.into();
    pod["spec"]["containers"][0]["command"] = ["sh", "-c", script].into();
    pod
}

/// One that waits for commands.
fn idle(name: &str) -> Value {
    scripted(name, "exec sleep 100000")
}

impl Namespace<'_> {
    /// kubectl with this namespace and protocol (see [`crate::exec::PROTOCOLS`]), with bytes in and out.
    async fn raw(&self, protocol: &str, arguments: &[&str], input: &[u8]) -> Raw {
        let mut all = vec![protocol, "kubectl", "--namespace", &self.name];
        all.extend(arguments);
        crate::kubectl::raw("env", &all, input).await
    }

    /// What a shell in the container prints.
    async fn shell(&self, pod: &str, script: &str) -> String {
        self.kubectl(&["exec", pod, "--", "sh", "-c", script]).await.ok()
    }
}
