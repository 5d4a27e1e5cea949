//! Settings of a server. [`Config::default`] is what tests want: one known key, simulated groups, no limits hit by accident.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{clock, runtime::docker, scenario::Scenario};

/// Everything a server can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 = any free one.
    pub listen: SocketAddr,
    /// Key pairs that are accepted.
    pub access_keys: Vec<AccessKey>,
    /// The one region that is served.
    pub region: String,
    /// What runs containers.
    pub runtime: RuntimeKind,
    /// How simulated groups behave.
    pub scenario: Scenario,
    /// Call rates and quotas.
    pub limits: Limits,
    /// What an update of the files of a ConfigFile volume does to the containers that mount it.
    pub config_update: ConfigUpdate,
    /// How long lists and texts in parameters may be.
    pub bounds: ParameterBounds,
    /// In which currency groups are billed.
    pub currency: Currency,
    /// How time passes.
    pub clock: clock::Mode,
    /// Seed of ids and of everything simulated; the same calls with the same seed give the same ids and delays.
    pub seed: u64,
    /// Where to serve steering instead of at [`Config::listen`]; none = there.
    pub steering_listen: Option<SocketAddr>,
    /// Token that steering requires from callers who are not on this machine; none = only this machine may steer.
    pub steering_token: Option<String>,
    /// How many calls the journal keeps.
    pub journal_entries: usize,
    /// Whether an empty message on channel 0 ends the standard input of a command in a container: what ECI does is unconfirmed.
    pub exec_stdin_end: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            access_keys: vec![AccessKey {
                id: DEFAULT_KEY.0.to_owned(),
                secret: DEFAULT_KEY.1.to_owned(),
                security_token: None,
            }],
            region: "cn-hangzhou".to_owned(),
            runtime: RuntimeKind::Simulated,
            scenario: Scenario::fast(),
            limits: Limits::Documented,
            config_update: ConfigUpdate::Restart,
            bounds: ParameterBounds::Gateway,
            currency: Currency::Cny,
            clock: clock::Mode::Auto,
            seed: 1,
            steering_listen: None,
            steering_token: None,
            journal_entries: 1_000,
            exec_stdin_end: true,
        }
    }
}

impl Config {
    /// Whether these settings may stand together.
    ///
    /// # Errors
    /// The setting that is missing, as the flag is called.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let is_near = |address: SocketAddr| address.ip().to_canonical().is_loopback();
        let known_to_all = self
            .access_keys
            .iter()
            .any(|key| (key.id.as_str(), key.secret.as_str()) == DEFAULT_KEY);
        if matches!(self.runtime, RuntimeKind::Docker(_)) && !is_near(self.listen) && known_to_all {
            return Err(InvalidSetting(
                "--runtime docker lets whoever reaches --listen run containers here: give it an --access-key of its own, \
                 or listen at 127.0.0.1",
            ));
        }
        if self.steering_token.as_deref() == Some("") {
            return Err(InvalidSetting("--steering-token must not be empty"));
        }
        if self.steering_listen.is_some_and(|address| !is_near(address)) && self.steering_token.is_none() {
            return Err(InvalidSetting(
                "--steering-listen would let other machines steer: give it a --steering-token, or listen at 127.0.0.1",
            ));
        }
        Ok(())
    }
}

/// The key pair of a server that was given none.
const DEFAULT_KEY: (&str, &str) = ("testid", "testsecret");

/// What runs containers.
#[derive(Clone, Debug)]
pub enum RuntimeKind {
    /// Nothing does: their life is simulated by a [`Scenario`].
    Simulated,
    /// A container engine.
    Docker(docker::Config),
}

/// A key pair, with a security token when it stands for temporary (STS) credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// `AccessKeyId`.
    pub id: String,
    /// `AccessKeySecret`.
    pub secret: String,
    /// `SecurityToken` that must come with it.
    pub security_token: Option<String>,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why a setting cannot be read. Never quotes the value: it may be a secret.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct InvalidSetting(pub &'static str);

impl FromStr for AccessKey {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, ':').map(str::to_owned);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(id), Some(secret), token) if !id.is_empty() && !secret.is_empty() => Ok(Self {
                id,
                secret,
                security_token: token.filter(|t| !t.is_empty()),
            }),
            _ => Err(InvalidSetting(
                "an access key is ID:SECRET, or ID:SECRET:TOKEN for temporary credentials",
            )),
        }
    }
}

/// Call rates and quotas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Limits {
    /// Those ECI documents.
    #[default]
    Documented,
    /// None, for measurements.
    None,
    /// Only these.
    #[serde(skip)]
    Only(Enforced),
}

/// Which limits are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Enforced {
    /// How often each action may be called.
    pub rates: bool,
    /// The vCPU quota.
    pub vcpu: bool,
    /// How many image and data caches there may be.
    pub caches: bool,
    /// When the records of finished groups go. Without it they stay until they are deleted, and memory grows with them.
    pub retention: bool,
}

impl Limits {
    /// What is in force.
    pub fn enforced(self) -> Enforced {
        match self {
            Self::Documented => Enforced {
                rates: true,
                vcpu: true,
                caches: true,
                retention: true,
            },
            // Not a limit that could be in the way of a measurement.
            Self::None => Enforced {
                rates: false,
                vcpu: false,
                caches: false,
                retention: true,
            },
            Self::Only(enforced) => enforced,
        }
    }
}

impl FromStr for Limits {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "documented" => Ok(Self::Documented),
            "none" => Ok(Self::None),
            list => {
                let mut enforced = Self::None.enforced();
                for word in list.split(',') {
                    match word {
                        "rates" => enforced.rates = true,
                        "vcpu" => enforced.vcpu = true,
                        "caches" => enforced.caches = true,
                        _ => {
                            return Err(InvalidSetting(
                                "limits are documented, none, or those in force: rates,vcpu,caches",
                            ));
                        }
                    }
                }
                Ok(Self::Only(enforced))
            }
        }
    }
}

/// What an update of the files of a ConfigFile volume does. What ECI does is unconfirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfigUpdate {
    /// Containers that mount the volume are restarted.
    #[default]
    Restart,
    /// The files change below running containers.
    Refresh,
}

impl FromStr for ConfigUpdate {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "restart" => Ok(Self::Restart),
            "refresh" => Ok(Self::Refresh),
            _ => Err(InvalidSetting("an update of config files means restart or refresh")),
        }
    }
}

/// How long lists and texts in parameters may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterBounds {
    /// As ECI's gateway checks.
    #[default]
    Gateway,
    /// As ECI's documents say: values of variables of 256 characters, commands of 20 items of 256, 10 arguments.
    Documented,
    /// Nothing but what memory needs.
    None,
}

impl FromStr for ParameterBounds {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "gateway" => Ok(Self::Gateway),
            "documented" => Ok(Self::Documented),
            "none" => Ok(Self::None),
            _ => Err(InvalidSetting("bounds are gateway, documented or none")),
        }
    }
}

/// Currency of the price list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    /// The China site's list.
    #[default]
    Cny,
    /// The international site's list.
    Usd,
}

impl Currency {
    /// ISO 4217.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cny => "CNY",
            Self::Usd => "USD",
        }
    }
}

impl FromStr for Currency {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_uppercase().as_str() {
            "CNY" => Ok(Self::Cny),
            "USD" => Ok(Self::Usd),
            _ => Err(InvalidSetting("the currency is CNY or USD")),
        }
    }
}
