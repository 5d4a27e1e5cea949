//! No secret reaches a log line, an error or a `Debug`, whatever ECI answers.

mod support;

use std::error::Error as StdError;
use std::io::Write;
use std::sync::{Arc, Mutex};

use eci::{Credentials, Secret};
use provider::request::{
    ConfigFile, Container, CreateContainerGroup, EnvValue, EnvVar, RegistryCredential, Volume, VolumeSource,
};
use support::{Reply, Script, client_as, error_with, ok};
use tracing_subscriber::fmt::MakeWriter;

const KEY: &str = "access-key-s3cr3t";
const TOKEN: &str = "session-t0k3n";
const ENV: &str = "env-hunter22";
const PASSWORD: &str = "registry-p4ssword";
const BUCKET_KEY: &str = "bucket-k3y-of-a-secret";
const FILE: &str = "file-c0ntent-of-a-secret";

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn request() -> CreateContainerGroup {
    CreateContainerGroup {
        region_id: "cn-hangzhou".into(),
        name: "web-1".into(),
        registry_credentials: vec![RegistryCredential {
            server: "r.example".into(),
            user_name: "u".into(),
            password: PASSWORD.into(),
        }],
        containers: vec![Container {
            name: "c1".into(),
            image: "i".into(),
            env: vec![EnvVar {
                key: "P".into(),
                value: EnvValue::Literal(ENV.into()),
            }],
            ..Default::default()
        }],
        volumes: vec![
            Volume {
                name: "v".into(),
                source: VolumeSource::ConfigFile {
                    files: vec![ConfigFile {
                        path: "f".into(),
                        content: FILE.into(),
                        mode: None,
                    }],
                    default_mode: None,
                },
            },
            Volume {
                name: "o".into(),
                source: VolumeSource::Flex {
                    driver: "alicloud/oss".into(),
                    fs_type: None,
                    options: [
                        ("bucket".to_owned(), "b".into()),
                        ("akSecret".to_owned(), BUCKET_KEY.into()),
                    ]
                    .into(),
                },
            },
        ],
        ..Default::default()
    }
}

fn chain(error: &dyn StdError) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(" {error} {error:?}");
        source = error.source();
    }
    text
}

#[tokio::test(start_paused = true)]
async fn whatever_eci_answers() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(lines.clone())
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    // base64 as it is on the wire, in case ECI quotes it.
    let echo = format!("{KEY} {TOKEN} {ENV} {PASSWORD} ZmlsZS1jMG50ZW50LW9mLWEtc2VjcmV0 {FILE} {BUCKET_KEY}");
    let answers: Vec<Vec<Reply>> = vec![
        vec![error_with(400, "InvalidParameter", &echo, vec![])],
        vec![error_with(
            400,
            "SignatureDoesNotMatch",
            &format!("server string to sign is: {echo}"),
            vec![],
        )],
        vec![error_with(400, "InvalidSecurityToken.Expired", &echo, vec![])],
        vec![
            error_with(
                400,
                "InvalidTimeStamp.Expired",
                &echo,
                vec![("date", "Mon, 23 Nov 2026 16:50:07 GMT")],
            ),
            ok("{}"),
        ],
        vec![
            error_with(400, "Throttling", &echo, vec![]),
            ok(&format!("not JSON: {echo}")),
        ],
        vec![
            Reply::Answer {
                status: 502,
                headers: vec![],
                body: echo.clone(),
            },
            ok(r#"{"ContainerGroupId":"eci-1"}"#),
        ],
        vec![
            Reply::Interrupted,
            error_with(403, "OperationDenied.NoStock", &echo, vec![]),
        ],
        vec![ok(&format!(r#"{{"ContainerGroupId":["{echo}"]}}"#))],
    ];
    let mut credentials = Credentials::new("testid", KEY);
    credentials.security_token = Some(Secret::new(TOKEN));
    let request = request();
    let mut shown = format!("{credentials:?} {request:?} {request:#?}");
    for replies in answers {
        let script = Script::of(replies);
        let client = client_as(&script, Arc::new(credentials.clone()));
        shown += &format!("{client:?}");
        match client.create_container_group(&request).await {
            Ok(created) => shown += &format!("{created:?}"),
            Err(error) => shown += &chain(&error),
        }
        script.finish();
    }
    let logged = String::from_utf8(lines.0.lock().expect("no panic").clone()).expect("UTF-8");
    assert!(logged.contains("trying again"), "the log was captured: {logged}");
    for secret in [
        KEY,
        TOKEN,
        ENV,
        PASSWORD,
        FILE,
        BUCKET_KEY,
        "ZmlsZS1jMG50ZW50LW9mLWEtc2VjcmV0",
    ] {
        assert!(!shown.contains(secret), "{secret} is shown: {shown}");
        assert!(!logged.contains(secret), "{secret} is logged: {logged}");
    }
}
