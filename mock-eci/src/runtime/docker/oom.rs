//! Whether the kernel killed a container for its memory, where the engine does not know.
//!
//! On cgroup v1 podman says exit code 137 and `OOMKilled: false`, and the cgroup with its counter is gone by the time the
//! end is announced. What stays is the kernel's log, whose line names the container's cgroup and so its id. It can be read
//! where the engine runs on this machine and this process may; elsewhere the answer is no.

/// Kernel log, one record a read.
#[cfg(target_os = "linux")]
const KERNEL_LOG: &str = "/dev/kmsg";
/// `O_NONBLOCK`: a read at the end of the log must not wait for the next record.
#[cfg(target_os = "linux")]
const O_NONBLOCK: i32 = 0o4000;

/// Looks the container with this engine id up in the kernel's log.
#[cfg(target_os = "linux")]
pub(super) async fn killed(id: String) -> bool {
    if id.is_empty() {
        return false;
    }
    tokio::task::spawn_blocking(move || search(&id))
        .await
        .unwrap_or_default()
}

/// There is no log to look in.
#[cfg(not(target_os = "linux"))]
pub(super) async fn killed(_id: String) -> bool {
    false
}

#[cfg(target_os = "linux")]
fn search(id: &str) -> bool {
    use std::{
        fs::OpenOptions,
        io::{ErrorKind, Read},
        os::unix::fs::OpenOptionsExt,
    };
    let Ok(mut log) = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(KERNEL_LOG) else {
        return false;
    };
    let mut record = [0; 8192];
    loop {
        match log.read(&mut record) {
            Ok(0) => return false,
            Ok(length) if names(&String::from_utf8_lossy(&record[..length]), id) => return true,
            Ok(_) => {}
            // Records were overwritten while this read: go on with the oldest there is.
            Err(error) if error.kind() == ErrorKind::BrokenPipe || error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

/// Whether a record tells that a process of this container was killed for its memory.
#[cfg(target_os = "linux")]
fn names(record: &str, id: &str) -> bool {
    record.contains("oom-kill:")
        && record
            .split_once("task_memcg=")
            .is_some_and(|(_, rest)| rest.contains(id))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_killed_containers_cgroup_is_meant() {
        let line = "3,9,1;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=libpod-aa,mems_allowed=0,\
                    oom_memcg=/libpod_parent/libpod-aa,task_memcg=/libpod_parent/libpod-aa,task=tail,pid=1,uid=0";
        assert!(names(line, "aa"));
        assert!(!names(line, "bb"));
        assert!(!names("Memory cgroup out of memory: Killed process 1 (aa)", "aa"));
    }
}
