//! The binary: reads flags, starts the server, says where it is, ends it on SIGTERM or SIGINT.
#![forbid(unsafe_code)]

use std::{
    convert::Infallible,
    fmt,
    io::{IsTerminal, Write},
    net::SocketAddr,
    process::ExitCode,
    str::FromStr,
};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use mock_eci::{
    Config, Server,
    clock::Mode,
    config::{AccessKey, ConfigUpdate, Currency, Limits, ParameterBounds, RuntimeKind},
    runtime::docker,
    scenario::Scenario,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// The ECI emulator: Alibaba Cloud ECI (OpenAPI 2018-08-08) on your machine.
///
/// Point any ECI client at it (the official SDKs: endpoint 127.0.0.1:8090, protocol HTTP, access key testid, secret
/// testsecret, region cn-hangzhou). Container groups are simulated, or real containers of Docker or podman. Open
/// http://127.0.0.1:8090/mock/ in a browser to watch them.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110, after_help = EXAMPLES, after_long_help = EXAMPLES)]
struct Args {
    /// Where to listen; port 0 = any free one. Whoever reaches it and has a key can have containers run here.
    #[arg(long, env = "MOCK_ECI_LISTEN", value_name = "ADDR:PORT", default_value = "127.0.0.1:8090", help_heading = REACH)]
    listen: SocketAddr,
    /// Where to serve steering and the status page (/mock/) instead of beside the API; off loopback it needs --steering-token.
    #[arg(long, env = "MOCK_ECI_STEERING_LISTEN", value_name = "ADDR:PORT", help_heading = REACH)]
    steering_listen: Option<SocketAddr>,
    /// Bearer token with which other machines may steer; without one only this machine may.
    #[arg(long, env = "MOCK_ECI_STEERING_TOKEN", value_name = "TOKEN", hide_env_values = true, help_heading = REACH)]
    steering_token: Option<Hidden>,

    /// Key pair that is accepted, or ID:SECRET:TOKEN for temporary credentials; give it several times, or several with
    /// commas, for several [default: testid:testsecret].
    #[arg(
        long = "access-key",
        env = "MOCK_ECI_ACCESS_KEY",
        value_name = "ID:SECRET",
        value_delimiter = ',',
        hide_env_values = true,
        help_heading = ACCOUNT
    )]
    access_keys: Vec<Hidden>,
    /// The region that is served.
    #[arg(long, env = "MOCK_ECI_REGION", value_name = "ID", default_value = "cn-hangzhou", help_heading = ACCOUNT)]
    region: String,
    /// Currency of the price list: CNY (China site) or USD (international site).
    #[arg(long, env = "MOCK_ECI_CURRENCY", default_value = "CNY", help_heading = ACCOUNT)]
    currency: Currency,
    /// Limits in force: documented (all that ECI documents), none, or a list of: rates, vcpu, caches.
    #[arg(long, env = "MOCK_ECI_LIMITS", default_value = "documented", help_heading = ACCOUNT)]
    limits: Limits,
    /// How long lists and texts in parameters may be: gateway (as ECI's gateway checks), documented (as its documents say) or
    /// none.
    #[arg(long, env = "MOCK_ECI_BOUNDS", default_value = "gateway", help_heading = ACCOUNT)]
    bounds: ParameterBounds,

    /// What runs containers: nothing (their life is simulated), or Docker or podman at DOCKER_HOST.
    #[arg(long, env = "MOCK_ECI_RUNTIME", value_enum, default_value_t = RuntimeArg::Simulated, help_heading = GROUPS)]
    runtime: RuntimeArg,
    /// How simulated groups behave: fast, realistic, chaos, or the path of a TOML file.
    #[arg(long, env = "MOCK_ECI_SCENARIO", value_name = "NAME|FILE", default_value = "fast", help_heading = GROUPS)]
    scenario: String,
    /// Seed of ids and of everything simulated: the same calls get the same answers [default: another one each time].
    #[arg(long, env = "MOCK_ECI_SEED", value_name = "N", help_heading = GROUPS)]
    seed: Option<u64>,
    /// Network of the container engine that groups join.
    #[arg(long, env = "MOCK_ECI_NETWORK", value_name = "NAME", default_value = "bridge", help_heading = DOCKER)]
    network: String,
    /// Route in each group, such as 10.96.0.0/16=172.18.0.2; several times, or with commas, for several.
    #[arg(
        long = "route",
        env = "MOCK_ECI_ROUTE",
        value_name = "CIDR=GATEWAY",
        value_delimiter = ',',
        help_heading = DOCKER
    )]
    routes: Vec<docker::Route>,
    /// Image whose container holds a group's network.
    #[arg(
        long,
        env = "MOCK_ECI_PAUSE_IMAGE",
        value_name = "IMAGE",
        default_value = docker::DEFAULT_PAUSE_IMAGE,
        help_heading = DOCKER
    )]
    pause_image: String,
    /// Tells several servers on one container engine apart: each sees, adopts and resets its own groups only.
    #[arg(long, env = "MOCK_ECI_OWNER", value_name = "NAME", default_value = "mock-eci", help_heading = DOCKER)]
    owner: String,

    /// Whether an empty message on channel 0 ends the standard input of a command in a container: what ECI does is unconfirmed.
    #[arg(
        long,
        env = "MOCK_ECI_EXEC_STDIN_END",
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set,
        help_heading = GROUPS
    )]
    exec_stdin_end: bool,

    /// What an update of a ConfigFile volume's files does to the containers that mount it, restart or refresh: what ECI does is
    /// unconfirmed.
    #[arg(long, env = "MOCK_ECI_CONFIG_UPDATE", value_name = "WHAT", default_value = "restart", help_heading = GROUPS)]
    config_update: ConfigUpdate,

    /// Time stands still and moves only by steering (POST /mock/advance).
    #[arg(long, env = "MOCK_ECI_STEPPED", help_heading = RECORDS)]
    stepped: bool,
    /// How many calls the journal keeps.
    #[arg(long, env = "MOCK_ECI_JOURNAL", value_name = "N", default_value_t = 1_000, help_heading = RECORDS)]
    journal: usize,
}

const REACH: &str = "Who reaches it";
const ACCOUNT: &str = "The account";
const GROUPS: &str = "Container groups";
const DOCKER: &str = "Container groups, with --runtime docker";
const RECORDS: &str = "Time and records";

const EXAMPLES: &str = "\
Examples:
  mock-eci                                        simulated groups at http://127.0.0.1:8090
  mock-eci --scenario realistic --seed 7          as slow as ECI is, the same way each time
  mock-eci --runtime docker                       groups are real containers of DOCKER_HOST
  mock-eci --listen 0.0.0.0:8090 --access-key me:my-secret --steering-listen 127.0.0.1:8091
                                                  for other machines, steering for this one alone

When it serves it prints one line: mock-eci is ready at URL. SIGTERM and SIGINT end it; real containers keep running and
are taken over at the next start. RUST_LOG=debug logs more. Steering: docs/steering.md, or GET /mock/.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RuntimeArg {
    Simulated,
    Docker,
}

/// A text that no error message may quote.
#[derive(Clone)]
struct Hidden(String);

impl FromStr for Hidden {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

impl Args {
    fn config(self) -> anyhow::Result<Config> {
        let Self {
            listen,
            steering_listen,
            steering_token,
            access_keys,
            region,
            currency,
            limits,
            bounds,
            runtime,
            scenario,
            seed,
            network,
            routes,
            pause_image,
            owner,
            exec_stdin_end,
            config_update,
            stepped,
            journal,
        } = self;
        let defaults = Config::default();
        let access_keys = access_keys
            .iter()
            .map(|key| key.0.parse::<AccessKey>())
            .collect::<Result<Vec<_>, _>>()
            .context("--access-key (MOCK_ECI_ACCESS_KEY) cannot be read")?;
        let config = Config {
            listen,
            steering_listen,
            steering_token: steering_token.map(|token| token.0),
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
            scenario: Scenario::load(&scenario).context("--scenario (MOCK_ECI_SCENARIO) cannot be read")?,
            limits,
            config_update,
            bounds,
            currency,
            clock: if stepped { Mode::Stepped } else { Mode::Auto },
            seed: seed.unwrap_or_else(rand::random),
            journal_entries: journal,
            exec_stdin_end,
        };
        config.check()?;
        Ok(config)
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
    tracing::info!("status page and steering at {}/mock/", server.steering_url());
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn config(flags: &[&str]) -> Result<Config, String> {
        let args = ["mock-eci"].iter().chain(flags);
        let args = Args::try_parse_from(args).map_err(|e| e.to_string())?;
        args.config().map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn flags_are_sound_and_the_readme_has_them_all() {
        let command = Args::command();
        command.clone().debug_assert();
        let readme = include_str!("../README.md");
        for argument in command.get_arguments() {
            let Some(flag) = argument.get_long().filter(|flag| !["help", "version"].contains(flag)) else {
                continue;
            };
            assert!(
                readme.contains(&format!("`--{flag}")),
                "README.md does not name --{flag}"
            );
            let expected = format!("MOCK_ECI_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(argument.get_env().and_then(|v| v.to_str()), Some(expected.as_str()));
        }
    }

    #[test]
    fn mistakes_name_the_flag_and_what_to_do() {
        for (flags, expected) in [
            (&["--access-key", "hunter2"][..], "--access-key"),
            (&["--access-key", "hunter2"], "ID:SECRET"),
            (&["--listen", "here"], "--listen"),
            (&["--limits", "some"], "--limits"),
            (&["--limits", "some"], "rates,vcpu,caches"),
            (&["--scenario", "/no/such/file.toml"], "--scenario"),
            (&["--steering-listen", "0.0.0.0:0"], "--steering-token"),
            (&["--steering-token", ""], "--steering-token"),
            (&["--runtime", "docker", "--listen", "0.0.0.0:0"], "--access-key"),
            (
                &[
                    "--runtime",
                    "docker",
                    "--listen",
                    "0.0.0.0:0",
                    "--access-key",
                    "testid:testsecret",
                ],
                "--access-key",
            ),
        ] {
            let error = config(flags).expect_err("a mistake");
            assert!(error.contains(expected), "{flags:?}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        config(&["--runtime", "docker", "--listen", "0.0.0.0:0", "--access-key", "a:b"]).expect("a key of its own");
        config(&["--steering-listen", "0.0.0.0:0", "--steering-token", "t"]).expect("a token");
        config(&["--limits", "rates,caches"]).expect("a list of limits");
    }
}
