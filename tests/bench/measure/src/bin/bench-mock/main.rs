//! Measures mock-eci with simulated groups: their whole life over loopback HTTP, with signed calls, first of a few groups
//! and then of many, so that what should cost the same shows whether it does. It asserts nothing about times.

mod client;
mod life;
mod table;

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use jiff::Timestamp;
use measure::machine::Machine;
use serde::Serialize;

use life::{Life, Plan};

/// Measures mock-eci with simulated groups
#[derive(Debug, Parser)]
struct Args {
    /// Groups of the run that counts
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(200..=200_000))]
    groups: u32,
    /// Groups of the run it is compared with
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(200..=200_000))]
    few: u32,
    /// Groups that change before it is asked what changed
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=200))]
    changed: u32,
    /// Times each of the smaller questions is asked
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    repeats: u32,
    /// Connections, each with one call at a time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    connections: u16,
    /// Seed of mock-eci
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The mock-eci program; the one beside this program where none is named
    #[arg(long)]
    program: Option<PathBuf>,
    /// Revision of the source, for the record
    #[arg(long, default_value = "")]
    revision: String,
    /// Folder for the JSON and the logs
    #[arg(long)]
    out: PathBuf,
}

/// The JSON.
#[derive(Debug, Serialize)]
struct Record<'a> {
    /// When the bench began, UTC.
    began: String,
    revision: &'a str,
    machine: &'a Machine,
    few: &'a Life,
    many: &'a Life,
}

#[tokio::main]
async fn main() -> ExitCode {
    match bench(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody to tell that nobody can be told.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn bench(args: Args) -> Result<()> {
    let began = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let machine = Machine::describe();
    let program = match args.program {
        Some(program) => program,
        None => env::current_exe()
            .context("finding this program's folder")?
            .with_file_name("mock-eci"),
    };
    let logs = args.out.join("logs");
    fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
    let run = async |groups: u32| {
        life::run(Plan {
            program: &program,
            logs: &logs,
            groups: groups as usize,
            changed: args.changed as usize,
            repeats: args.repeats as usize,
            connections: args.connections.into(),
            seed: args.seed,
        })
        .await
    };
    let few = run(args.few).await?;
    let many = run(args.groups).await?;

    let record = Record {
        began,
        revision: &args.revision,
        machine: &machine,
        few: &few,
        many: &many,
    };
    let file = args.out.join(format!("mock-{}.json", args.groups));
    let json = serde_json::to_vec_pretty(&record).context("encoding the figures")?;
    fs::write(&file, json).with_context(|| format!("writing {}", file.display()))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{}", table::render(&machine, &few, &many).trim_end()).context("printing the table")
}
