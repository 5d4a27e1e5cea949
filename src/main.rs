//! The `virtual-node` binary: settings, logging, run, exit code.

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use virtual_node::args::{Cli, Command, Output, as_called};
use virtual_node::chain::chain;
use virtual_node::config::{Config, ConfigErrors, RelayConfig};
use virtual_node::node::KUBERNETES_VERSION;
use virtual_node::shutdown::Shutdown;
use virtual_node::{agent, check, cost, relay, telemetry};

/// As for a command line that cannot be parsed.
const WRONG_SETTINGS: u8 = 2;

// One thread: nearly all of the agent's work is waiting, ten thousand pods keep a fraction of a core busy, and handing tasks
// from thread to thread, each with a heap of its own, would cost more than a second core brings.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // One crypto provider for all of the process; the first use of TLS panics without it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(Cli::parse_from(as_called(env::args_os()))).await {
        Ok(code) => code,
        Err(error) => {
            // Not as a log line: logging may not be set up, and this is the one thing to be read.
            let _ = writeln!(io::stderr(), "virtual-node: {}", chain(error.as_ref()));
            if error.is::<ConfigErrors>() {
                ExitCode::from(WRONG_SETTINGS)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.command {
        Command::Run(args) => {
            let config = Config::load(*args)?;
            telemetry::init(&config.log);
            agent::run(config, Shutdown::on_signals()?).await?;
        }
        Command::Check(args) => {
            let output = args.output;
            let report = check::run(*args).await;
            let text = match output {
                Output::Text => report.text(),
                Output::Json => format!("{}\n", serde_json::to_string_pretty(&report)?),
            };
            write!(io::stdout(), "{text}")?;
            return Ok(ExitCode::from(report.exit_code()));
        }
        Command::Cost(args) => {
            write!(io::stdout(), "{}", cost::command::run(*args).await?)?;
        }
        Command::Relay(args) => {
            let config = RelayConfig::resolve(*args)?;
            telemetry::init(&config.log);
            relay::run(config, Shutdown::on_signals()?).await?;
        }
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            writeln!(
                io::stdout(),
                "virtual-node {version} (Kubernetes {KUBERNETES_VERSION}, ECI 2018-08-08)"
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
