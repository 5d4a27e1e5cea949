//! Where a user says that event logs are.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use eci::ReqwestTransport;
use eci::clock::SystemClock;
use eci::credentials::Environment;

use crate::cost::eventlog::Place;
use crate::object_store::{Location, S3Store};

/// Of stores of OSS, where nobody says more.
const OSS_REGION: &str = "cn-hangzhou";

/// The place that is called `text`: a path, or `file:`, `s3:`, `s3a:` or `oss:` and what Spark writes after it. Endpoint, region
/// and keys of stores come from the environment, as for other programs (`AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ACCESS_KEY_ID`, …).
///
/// # Errors
/// It cannot be used.
pub fn parse(text: &str, environment: &Environment) -> anyhow::Result<Place> {
    let shown = text.to_owned();
    let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| scheme.len() > 1) else {
        return Ok(Place::Local(PathBuf::from(text)));
    };
    let url = match scheme {
        "file" => {
            // One slash or three.
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return Ok(Place::Local(PathBuf::from(path)));
        }
        "s3" | "oss" => text.to_owned(),
        "s3a" | "s3n" => format!("s3:{rest}"),
        _ => {
            return Err(anyhow!(
                "--event-log {text:?}: it must be a path, file://…, s3://BUCKET/…, s3a://BUCKET/… or oss://BUCKET/…"
            ));
        }
    };
    let mut location = Location::parse(&url).map_err(|why| anyhow!("--event-log {text:?}: {why}"))?;
    // The log may be an object itself.
    let path = std::mem::take(&mut location.prefix);
    let transport = Arc::new(ReqwestTransport::new().context("setting up HTTP")?);
    let region = environment
        .get("VIRTUAL_NODE_REGION")
        .unwrap_or_else(|| OSS_REGION.to_owned());
    let store = S3Store::new(&location, &region, environment, Arc::new(SystemClock), transport)
        .with_context(|| format!("--event-log {text:?}"))?;
    Ok(Place::Store {
        store: Arc::new(store),
        path,
        shown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_as_spark_writes_them() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let place = |text: &str| parse(text, &Environment::of([("AWS_REGION", "r")]));
        for (text, path) in [
            ("/a/b", "/a/b"),
            ("file:///a/b", "/a/b"),
            ("file:/a/b", "/a/b"),
            ("a", "a"),
        ] {
            match place(text) {
                Ok(Place::Local(local)) => assert_eq!(local, PathBuf::from(path)),
                _ => panic!("{text} is no path"),
            }
        }
        for (text, wanted) in [
            ("s3a://tpcds/events/", "events"),
            ("oss://b/a/b", "a/b"),
            ("s3://b", ""),
        ] {
            match place(text) {
                Ok(Place::Store { path, .. }) => assert_eq!(path, wanted),
                _ => panic!("{text} is in no store"),
            }
        }
        for wrong in ["hdfs://name/events", "s3a://", "s3a:///events"] {
            let error = place(wrong).err().expect("wrong").to_string();
            assert!(
                error.contains("--event-log") && error.contains("s3://BUCKET"),
                "{error}"
            );
        }
    }
}
