//! Credentials from a profile file, `~/.alibabacloud/credentials`.
//!
//! ```ini
//! [default]
//! type = access_key
//! access_key_id = ...
//! access_key_secret = ...
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt as _;

use super::{Credentials, CredentialsError, Environment, ProvideCredentials, Provided, Secret};

const SOURCE: &str = "profile file";
const FILE: &str = "ALIBABA_CLOUD_CREDENTIALS_FILE";
const PROFILE: &str = "ALIBABA_CLOUD_PROFILE";

/// A section of the file that `ALIBABA_CLOUD_CREDENTIALS_FILE` names, else of `~/.alibabacloud/credentials`; the
/// section is the one `ALIBABA_CLOUD_PROFILE` names, else `default`. Read again whenever ECI refuses what it held.
#[derive(Debug)]
pub struct ProfileCredentials {
    path: Option<PathBuf>,
    profile: String,
    /// The environment names the file, so its absence is a mistake and not a default that does not apply.
    explicit: bool,
    loaded: tokio::sync::Mutex<Option<Arc<Credentials>>>,
}

impl ProfileCredentials {
    /// Reads what `environment` names.
    pub fn new(environment: &Environment) -> Self {
        let explicit = environment.get(FILE).map(PathBuf::from);
        let home = || {
            environment
                .get("HOME")
                .map(|home| PathBuf::from(home).join(".alibabacloud/credentials"))
        };
        Self {
            explicit: explicit.is_some(),
            path: explicit.or_else(home),
            profile: environment.get(PROFILE).unwrap_or_else(|| "default".to_owned()),
            loaded: tokio::sync::Mutex::new(None),
        }
    }

    async fn load(&self) -> Result<Arc<Credentials>, CredentialsError> {
        let Some(path) = &self.path else {
            return Err(not_loaded(format!("neither {FILE} nor HOME is set")));
        };
        let text = match tokio::fs::read_to_string(path).await {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.explicit => {
                return Err(not_loaded(format!("{} does not exist", path.display())));
            }
            Err(error) => {
                return Err(invalid(
                    format!("{} cannot be read", path.display()),
                    Some(error.into()),
                ));
            }
        };
        let at = |problem: String| invalid(format!("{}: {problem}", path.display()), None);
        let mut sections =
            parse(&text).map_err(|line| at(format!("line {line} is neither [section] nor key = value")))?;
        let Some(section) = sections.remove(&self.profile) else {
            return Err(at(format!("there is no profile [{}]", self.profile)));
        };
        self.read(&section)
            .map_err(|problem| at(format!("[{}] {problem}", self.profile)))
    }

    fn read(&self, section: &BTreeMap<String, String>) -> Result<Arc<Credentials>, String> {
        if section
            .get("enable")
            .is_some_and(|enable| enable.eq_ignore_ascii_case("false"))
        {
            return Err("is switched off by `enable = false`".to_owned());
        }
        let need = |key: &str| match section.get(key) {
            Some(value) if !value.is_empty() => Ok(value.clone()),
            _ => Err(format!("lacks `{key}`")),
        };
        let security_token = match need("type")?.as_str() {
            "access_key" => None,
            "sts" => Some(Secret::new(need("security_token")?)),
            other => return Err(format!("is of type `{other}`; supported are `access_key` and `sts`")),
        };
        let mut credentials = Credentials::new(need("access_key_id")?, need("access_key_secret")?);
        credentials.security_token = security_token;
        Ok(Arc::new(credentials))
    }
}

impl ProvideCredentials for ProfileCredentials {
    fn provide(&self) -> Provided<'_> {
        async move {
            let mut loaded = self.loaded.lock().await;
            if let Some(credentials) = &*loaded {
                return Ok(credentials.clone());
            }
            let credentials = self.load().await?;
            *loaded = Some(credentials.clone());
            Ok(credentials)
        }
        .boxed()
    }

    fn renew(&self, refused: &Arc<Credentials>) -> Provided<'_> {
        let refused = refused.clone();
        async move {
            let mut loaded = self.loaded.lock().await;
            // Many calls fail together; the first of them reads the file for all.
            match &*loaded {
                Some(newer) if **newer != *refused => Ok(newer.clone()),
                _ => {
                    let credentials = self.load().await?;
                    *loaded = Some(credentials.clone());
                    Ok(credentials)
                }
            }
        }
        .boxed()
    }
}

fn not_loaded(missing: String) -> CredentialsError {
    CredentialsError::NotLoaded {
        source: SOURCE,
        missing,
    }
}

fn invalid(problem: String, cause: Option<Box<dyn std::error::Error + Send + Sync>>) -> CredentialsError {
    CredentialsError::Invalid {
        source: SOURCE,
        problem,
        cause,
    }
}

/// Sections and their keys; the error is the number of a line that is neither. It does not quote the line, which may be
/// a secret that lost its key.
fn parse(text: &str) -> Result<BTreeMap<String, BTreeMap<String, String>>, usize> {
    let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut current = String::new();
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with(';') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            current = name.trim().to_owned();
            sections.entry(current.clone()).or_default();
        } else if let Some((key, value)) = line.split_once('=') {
            let section = sections.entry(current.clone()).or_default();
            section.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        } else {
            return Err(i + 1);
        }
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn load(text: &str, profile: &str) -> Result<Arc<Credentials>, CredentialsError> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        let path = file.path().to_str().expect("a plain path");
        ProfileCredentials::new(&Environment::of([(FILE, path), (PROFILE, profile)]))
            .provide()
            .await
    }

    const GOOD: &str = "# ours\n[default]\nenable = true\ntype = access_key\naccess_key_id = id\naccess_key_secret = se=cret\n\n\
                        [temp]\ntype=sts\naccess_key_id=id2\naccess_key_secret=secret2\nsecurity_token=token\n\
                        [role]\ntype=ram_role_arn\n[off]\nenable=false\n[short]\ntype=access_key\naccess_key_id=id\n";

    #[tokio::test]
    async fn profiles_by_name() {
        let default = load(GOOD, "").await.expect("a key");
        assert_eq!(
            (default.access_key_id.as_str(), default.access_key_secret.expose()),
            ("id", "se=cret")
        );
        let temporary = load(GOOD, "temp").await.expect("a key");
        assert_eq!(temporary.security_token, Some(Secret::new("token")));
    }

    #[tokio::test]
    async fn what_is_wrong_is_named_and_no_secret_is_shown() {
        for (text, profile, named) in [
            (GOOD, "nobody", "[nobody]"),
            (GOOD, "role", "ram_role_arn"),
            (GOOD, "off", "enable"),
            (GOOD, "short", "access_key_secret"),
            ("[default]\ns3cr3t\n", "", "line 2"),
        ] {
            let error = load(text, profile).await.expect_err(named);
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(named) && !shown.contains("s3cr3t"), "{shown}");
            assert!(matches!(error, CredentialsError::Invalid { .. }), "{shown}");
        }
    }

    #[tokio::test]
    async fn only_the_default_path_may_be_missing() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().to_str().expect("a plain path");
        let at_home = ProfileCredentials::new(&Environment::of([("HOME", path)]));
        assert!(matches!(
            at_home.provide().await,
            Err(CredentialsError::NotLoaded { .. })
        ));
        let named = ProfileCredentials::new(&Environment::of([(FILE, "/nonexistent/credentials")]));
        assert!(matches!(named.provide().await, Err(CredentialsError::Invalid { .. })));
    }

    #[tokio::test]
    async fn a_refused_key_is_read_again() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let write = |secret: &str| {
            let text = format!("[default]\ntype=access_key\naccess_key_id=id\naccess_key_secret={secret}\n");
            std::fs::write(file.path(), text).expect("written");
        };
        write("old");
        let path = file.path().to_str().expect("a plain path");
        let source = ProfileCredentials::new(&Environment::of([(FILE, path)]));
        let old = source.provide().await.expect("a key");
        write("new");
        assert_eq!(
            source.provide().await.expect("a key"),
            old,
            "kept while nobody complains"
        );
        assert_eq!(
            source.renew(&old).await.expect("a key").access_key_secret.expose(),
            "new"
        );
        assert_eq!(source.provide().await.expect("a key").access_key_secret.expose(), "new");
    }
}
