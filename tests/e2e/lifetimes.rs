//! Notes of when agents began and ended: by them `tests/testbed/audit.py` knows what none of them can have seen.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::cluster::Cluster;

/// The testbed's file of them, to which `cluster.sh` writes, too.
#[derive(Clone)]
pub struct Lifetimes(PathBuf);

impl Lifetimes {
    /// Of the agents in `cluster`.
    pub fn of(cluster: &Cluster) -> Self {
        Self(cluster.file("run/lives"))
    }

    /// An agent with this process id has begun.
    pub fn start(&self, process: u32) {
        self.note("starts", process);
    }

    /// It has ended.
    pub fn end(&self, process: u32) {
        self.note("ends", process);
    }

    fn note(&self, what: &str, process: u32) {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let file = File::options().create(true).append(true).open(&self.0);
        let noted = file
            .and_then(|mut file| file.write_all(format!("{:.6}\t{what}\t{process}\n", now.as_secs_f64()).as_bytes()));
        noted.unwrap_or_else(|e| panic!("{}: {e}", self.0.display()));
    }
}
