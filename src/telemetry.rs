//! Log lines: where they go and in which form.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// It logs each failed request as an error without saying which; whoever made the request reports it with its meaning.
const QUIET: &str = "kube_client::client::builder=off";

/// Form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How logs are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Form.
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`, such as `info` or `info,virtual_node::pods=debug`.
    pub directives: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            directives: "info".to_owned(),
        }
    }
}

/// Whether `directives` can be understood.
///
/// # Errors
/// Says what is wrong with them.
pub fn check(directives: &str) -> Result<(), String> {
    EnvFilter::builder()
        .parse(directives)
        .map(drop)
        .map_err(|e| e.to_string())
}

/// Starts logging to standard error; the first call counts, later ones change nothing.
pub fn init(settings: &LogSettings) {
    // Checked by `check` when the settings were read; a bad directive here is left out rather than fatal.
    let directives = if settings.directives.contains("kube_client") {
        settings.directives.clone()
    } else {
        format!("{},{QUIET}", settings.directives)
    };
    let filter = EnvFilter::builder().parse_lossy(directives);
    let writer = BoxMakeWriter::new(io::stderr);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let result = match settings.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if result.is_err() {
        tracing::debug!("logging was already set up");
    }
}
