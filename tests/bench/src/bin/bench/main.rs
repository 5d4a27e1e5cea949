//! Measures the agent beside the floor and kwok, one after the other on one control plane, and prints a table.
//!
//! It runs inside the testbed's namespaces (`run.sh` sees to that) and asserts nothing about times: figures come out as
//! they are. What makes a figure void (a subject that ends, pods that never run) is an error.

mod apiserver;
mod census;
mod figures;
mod load;
mod run;
mod shape;
mod subject;
mod table;

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use bench::kube_client;
use clap::Parser;
use jiff::Timestamp;
use serde::Serialize;

use figures::Figures;
use measure::machine::Machine;
use run::Plan;
use shape::Shape;
use subject::{Places, Subject};

/// Measures the agent beside the floor and kwok
#[derive(Debug, Parser)]
struct Args {
    /// Pods made in each run
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pods: u32,
    /// Times everything is repeated; the table shows medians
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// What is measured, in the order of the first round; each further run begins with the next
    #[arg(long, value_enum, value_delimiter = ',', default_value = "floor,kwok,virtual-node")]
    subjects: Vec<Subject>,
    /// Kinds of pods
    #[arg(long, value_enum, value_delimiter = ',', default_value = "small,spark")]
    shapes: Vec<Shape>,
    /// The kwok program
    #[arg(long, default_value = "kwok")]
    kwok: PathBuf,
    /// kwok's folder of stages (kustomize/stage of its source)
    #[arg(long, default_value = "stage")]
    kwok_stages: PathBuf,
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
    runs: &'a [Figures],
}

#[tokio::main]
async fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    match bench(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn bench(args: Args) -> Result<()> {
    let began = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let machine = Machine::describe();
    if machine.load_average > 1.0 {
        say(&format!(
            "note: the machine is busy (load average {}): compare ratios, not figures",
            machine.load_average
        ));
    }
    let places = places(&args)?;
    places.check(&args.subjects)?;
    let client = kube_client::connect(&places.admin()).await?;
    let http = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .build()
        .context("making an HTTP client")?;
    load::prepare(&client).await?;

    let file = args.out.join(format!("bench-{}.json", args.pods));
    let mut runs = Vec::new();
    for round in 0..args.rounds as usize {
        for (nth, shape) in args.shapes.iter().enumerate() {
            for place in 0..args.subjects.len() {
                let turn = (round + nth + place) % args.subjects.len();
                let plan = Plan {
                    subject: args.subjects[turn],
                    shape: *shape,
                    round: round + 1,
                    place: place + 1,
                    pods: args.pods as usize,
                    client: &client,
                    http: &http,
                    places: &places,
                };
                runs.push(plan.run().await?);
                // After each run, so that a failure leaves what there was.
                write(
                    &file,
                    &Record {
                        began: began.clone(),
                        revision: &args.revision,
                        machine: &machine,
                        runs: &runs,
                    },
                )?;
            }
        }
    }
    let mut out = std::io::stdout().lock();
    for shape in args.shapes {
        writeln!(out, "\n{}", table::render(&machine, shape, &runs).trim_end()).context("printing the table")?;
    }
    Ok(())
}

fn places(args: &Args) -> Result<Places> {
    let variable = |name: &str| env::var(name).with_context(|| format!("{name} is not set: run this by run.sh"));
    let own = env::current_exe().context("finding this program's folder")?;
    let logs = args.out.join("logs");
    // The logs of an earlier bench would only confuse.
    if logs.exists() {
        fs::remove_dir_all(&logs).context("removing old logs")?;
    }
    fs::create_dir_all(&logs).with_context(|| format!("making {}", logs.display()))?;
    Ok(Places {
        programs: own.parent().context("this program is in no folder")?.to_owned(),
        kwok: args.kwok.clone(),
        kwok_stages: args.kwok_stages.clone(),
        testbed: variable("VN_STATE")?.into(),
        logs,
        access_key: format!(
            "{}:{}",
            variable("ALIBABA_CLOUD_ACCESS_KEY_ID")?,
            variable("ALIBABA_CLOUD_ACCESS_KEY_SECRET")?
        ),
    })
}

fn write(file: &PathBuf, record: &Record<'_>) -> Result<()> {
    let json = serde_json::to_vec_pretty(record).context("encoding the figures")?;
    fs::write(file, json).with_context(|| format!("writing {}", file.display()))
}

/// Tells the person who waits; the table alone goes to stdout.
fn say(text: &str) {
    // There is nobody to tell that nobody can be told.
    let _ = writeln!(std::io::stderr(), "{text}");
}
