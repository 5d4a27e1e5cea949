//! The binary: reads flags, starts the server, says where it is, ends it on SIGTERM or SIGINT.
#![forbid(unsafe_code)]

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    process::ExitCode,
};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use mock_eci::{
    Config, Server,
    config::{AccessKey, Currency, Limits, RuntimeKind},
    runtime::docker,
    scenario::Scenario,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// A fake Alibaba Cloud ECI.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where to listen. Whoever reaches it can have containers run here: keep it on this machine.
    #[arg(long, env = "MOCK_ECI_LISTEN", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// What runs containers.
    #[arg(long, env = "MOCK_ECI_RUNTIME", value_enum, default_value_t = RuntimeArg::Simulated)]
    runtime: RuntimeArg,
    /// Key pair that is accepted, ID:SECRET (or ID:SECRET:TOKEN for temporary credentials); several times for several
    /// [default: testid:testsecret].
    #[arg(
        long = "access-key",
        env = "MOCK_ECI_ACCESS_KEY",
        value_delimiter = ',',
        hide_env_values = true
    )]
    access_keys: Vec<AccessKey>,
    /// The region that is served.
    #[arg(long, env = "MOCK_ECI_REGION", default_value = "cn-hangzhou")]
    region: String,
    /// How simulated groups behave: fast, realistic, chaos, or a file.
    #[arg(long, env = "MOCK_ECI_SCENARIO", default_value = "fast")]
    scenario: String,
    /// Network of the container engine that groups join (runtime docker).
    #[arg(long, env = "MOCK_ECI_NETWORK", default_value = "bridge")]
    network: String,
    /// Route in each group, CIDR=GATEWAY; several times for several (runtime docker).
    #[arg(long = "route", env = "MOCK_ECI_ROUTE", value_delimiter = ',')]
    routes: Vec<docker::Route>,
    /// Image whose container holds a group's network (runtime docker).
    #[arg(long, env = "MOCK_ECI_PAUSE_IMAGE", default_value = docker::DEFAULT_PAUSE_IMAGE)]
    pause_image: String,
    /// Tells several servers on one container engine apart: each sees, adopts and resets its own groups only (runtime docker).
    #[arg(long, env = "MOCK_ECI_OWNER", default_value = "mock-eci")]
    owner: String,
    /// Call rates and quotas: documented or none.
    #[arg(long, env = "MOCK_ECI_LIMITS", default_value = "documented")]
    limits: Limits,
    /// Currency of the price list: CNY or USD.
    #[arg(long, env = "MOCK_ECI_CURRENCY", default_value = "CNY")]
    currency: Currency,
    /// Time moves by POST /mock/advance alone.
    #[arg(long, env = "MOCK_ECI_STEPPED")]
    stepped: bool,
    /// Seed of ids and of everything simulated [default: another one each time].
    #[arg(long, env = "MOCK_ECI_SEED")]
    seed: Option<u64>,
    /// Bearer token with which other machines may steer (/mock/).
    #[arg(long, env = "MOCK_ECI_STEERING_TOKEN", hide_env_values = true)]
    steering_token: Option<String>,
    /// How many calls the journal keeps.
    #[arg(long, env = "MOCK_ECI_JOURNAL", default_value_t = 1_000)]
    journal: usize,
    /// Whether an empty message on channel 0 ends the standard input of a command in a container.
    #[arg(long, env = "MOCK_ECI_EXEC_STDIN_END", default_value_t = true, action = clap::ArgAction::Set)]
    exec_stdin_end: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RuntimeArg {
    Simulated,
    Docker,
}

impl Args {
    fn config(self) -> anyhow::Result<Config> {
        let Self {
            listen,
            runtime,
            access_keys,
            region,
            scenario,
            network,
            routes,
            pause_image,
            owner,
            limits,
            currency,
            stepped,
            seed,
            steering_token,
            journal,
            exec_stdin_end,
        } = self;
        let defaults = Config::default();
        if runtime == RuntimeArg::Docker && !listen.ip().is_loopback() && access_keys.is_empty() {
            anyhow::bail!(
                "--runtime docker on {listen} lets other machines run containers here: it needs an --access-key of its own"
            );
        }
        Ok(Config {
            listen,
            access_keys: if access_keys.is_empty() {
                defaults.access_keys
            } else {
                access_keys
            },
            region,
            runtime: match runtime {
                RuntimeArg::Simulated => RuntimeKind::Simulated,
                RuntimeArg::Docker => RuntimeKind::Docker(docker::Config {
                    network,
                    routes,
                    pause_image,
                    owner,
                    ..docker::Config::default()
                }),
            },
            scenario: Scenario::load(&scenario)?,
            limits,
            currency,
            clock: if stepped {
                mock_eci::clock::Mode::Stepped
            } else {
                mock_eci::clock::Mode::Auto
            },
            seed: seed.unwrap_or_else(rand::random),
            steering_token,
            journal_entries: journal,
            exec_stdin_end,
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line with its causes, whatever RUST_BACKTRACE says. Nothing is left to do when even this cannot be written.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let config = args.config()?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let server = Server::start(config).await?;
    // The one line on standard output: whoever started this waits for it.
    writeln!(std::io::stdout(), "mock-eci is ready at {}", server.url()).context("cannot write to standard output")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("ending; groups of a real runtime keep running");
    server.shutdown().await;
    Ok(())
}
