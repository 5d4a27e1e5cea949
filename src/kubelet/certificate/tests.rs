use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use k8s_openapi::ByteString;
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::scripted_api::{Answer, scripted};

fn subject(ip: [u8; 4]) -> Subject {
    Subject {
        node: "n".to_owned(),
        node_ip: ip.into(),
    }
}

const HERE: [u8; 4] = [172, 31, 0, 10];
const ELSEWHERE: [u8; 4] = [172, 31, 0, 11];

/// An API server with a signer.
#[derive(Clone, Default)]
struct Cluster(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What was requested, oldest first; they are called `csr-0`, `csr-1` …
    requests: Vec<Value>,
    /// How often each was looked at.
    looks: usize,
    approves: bool,
    denies: bool,
    /// How many looks fail from now on.
    away: usize,
    /// Notes of Events.
    notes: Vec<String>,
}

impl Cluster {
    fn client(&self) -> kube::Client {
        let mut ca = CertificateParams::new(Vec::new()).expect("valid");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = rcgen::Issuer::new(ca, KeyPair::generate().expect("generates"));
        let state = self.0.clone();
        scripted(move |method, path, body| {
            let mut state = state.lock().expect("no panics");
            if path.contains("/events") {
                state.notes.push(body["note"].as_str().unwrap_or_default().to_owned());
                return Answer::ok(body.clone());
            }
            if *method == http::Method::POST {
                state.requests.push(body["spec"].clone());
                let name = format!("csr-{}", state.requests.len() - 1);
                return Answer::ok(json!({ "metadata": { "name": name }, "spec": body["spec"] }));
            }
            state.looks += 1;
            if state.away > 0 {
                state.away -= 1;
                return Answer::error(500, "InternalError", "etcd is away");
            }
            let name = path.rsplit('/').next().unwrap_or_default();
            let number = name
                .strip_prefix("csr-")
                .and_then(|number| number.parse::<usize>().ok());
            let Some(spec) = number.and_then(|number| state.requests.get(number)).cloned() else {
                return Answer::not_found();
            };
            let status = if state.denies {
                json!({ "conditions": [{ "type": "Denied", "status": "True", "message": "no" }] })
            } else if state.approves {
                let request: ByteString = serde_json::from_value(spec["request"].clone()).expect("bytes");
                let request = String::from_utf8(request.0).expect("PEM");
                let request = CertificateSigningRequestParams::from_pem(&request).expect("a request");
                let certificate = request.signed_by(&issuer).expect("signs").pem();
                json!({ "certificate": ByteString(certificate.into_bytes()) })
            } else {
                json!({})
            };
            Answer::ok(json!({ "metadata": { "name": name }, "spec": spec, "status": status }))
        })
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().expect("no panics"))
    }

    async fn until(&self, wanted: impl Fn(&State) -> bool) {
        while !self.state(|state| wanted(state)) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn until_good(file: &Path, subject: &Subject) {
    while pair::good_until(file, subject).is_none() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_approved_becomes_a_pair_that_serves() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("pki/n.pem");
    let (cluster, subject) = (Cluster::default(), subject(HERE));
    let keeping = tokio::spawn(keep(Issuer::Cluster(cluster.client()), subject.clone(), file.clone()));
    cluster.until(|state| state.looks > 2).await;
    assert_eq!(pair::good_until(&file, &subject), None, "nobody has approved");
    let note = cluster.state(|state| state.notes.join("\n"));
    assert!(note.contains("kubectl certificate approve csr-0"), "{note}");
    cluster.state(|state| state.approves = true);
    until_good(&file, &subject).await;
    let spec = cluster.state(|state| state.requests.clone());
    assert_eq!(spec.len(), 1);
    assert_eq!(spec[0]["signerName"], SIGNER);
    assert_eq!(spec[0]["usages"], json!(["digital signature", "server auth"]));
    files(&file, None).check().expect("it can be served with");
    let mode = fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    keeping.abort();
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_comes_up_elsewhere_asks_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("n.pem");
    let cluster = Cluster::default();
    cluster.state(|state| state.approves = true);
    for (number, ip) in [(1, HERE), (2, ELSEWHERE)] {
        let keeping = tokio::spawn(keep(Issuer::Cluster(cluster.client()), subject(ip), file.clone()));
        until_good(&file, &subject(ip)).await;
        assert_eq!(cluster.state(|state| state.requests.len()), number);
        keeping.abort();
    }
    assert_eq!(pair::good_until(&file, &subject(HERE)), None);
}

#[tokio::test(start_paused = true)]
async fn a_request_outlives_the_agent_and_an_api_server_that_is_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("n.pem");
    let cluster = Cluster::default();
    let start = |ip| tokio::spawn(keep(Issuer::Cluster(cluster.client()), subject(ip), file.clone()));
    for round in 1..4 {
        let keeping = start(HERE);
        cluster.until(|state| state.looks >= 3 * round).await;
        keeping.abort();
        let _ = keeping.await;
    }
    cluster.state(|state| state.away = 5);
    let keeping = start(HERE);
    cluster.until(|state| state.away == 0).await;
    assert_eq!(cluster.state(|state| state.requests.len()), 1);
    cluster.state(|state| state.approves = true);
    until_good(&file, &subject(HERE)).await;
    keeping.abort();
    let _ = keeping.await;
    assert!(!file.with_extension("pending").exists());

    let before = cluster.state(|state| {
        state.approves = false;
        state.requests.len()
    });
    let keeping = start(ELSEWHERE);
    cluster.until(|state| state.requests.len() > before).await;
    keeping.abort();
}

#[tokio::test(start_paused = true)]
async fn who_was_denied_does_not_beg() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("n.pem");
    let cluster = Cluster::default();
    cluster.state(|state| state.denies = true);
    let keeping = tokio::spawn(keep(Issuer::Cluster(cluster.client()), subject(HERE), file));
    tokio::time::sleep(AFTER_DENIAL - PAUSE).await;
    assert_eq!(cluster.state(|state| state.requests.len()), 1);
    tokio::time::sleep(2 * PAUSE).await;
    assert_eq!(cluster.state(|state| state.requests.len()), 2);
    keeping.abort();
}

#[tokio::test(start_paused = true)]
async fn one_that_signs_itself_needs_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("n.pem");
    for ip in [HERE, ELSEWHERE] {
        let keeping = tokio::spawn(keep(Issuer::Itself, subject(ip), file.clone()));
        until_good(&file, &subject(ip)).await;
        keeping.abort();
    }
    let until = pair::good_until(&file, &subject(ELSEWHERE)).expect("good");
    let days = (until.as_second() - clock::now().as_second()) / 86_400;
    assert!((280..300).contains(&days), "{days} of 365 days until the next");
    files(&file, None).check().expect("it can be served with");
}

#[test]
fn a_file_that_is_half_of_a_pair_is_not_good() {
    let directory = tempfile::tempdir().expect("a directory");
    let (one, other) = (directory.path().join("1.pem"), directory.path().join("2.pem"));
    let subject = subject(HERE);
    for file in [&one, &other] {
        self_signed::make(&subject, file).expect("made");
    }
    let key = fs::read_to_string(&other).expect("there");
    let key = &key[key.find("-----BEGIN PRIVATE KEY").expect("a key")..];
    let certificate = fs::read_to_string(&one).expect("there");
    let certificate = &certificate[..certificate.find("-----BEGIN PRIVATE KEY").expect("a key")];
    assert!(pair::good_until(&one, &subject).is_some());
    fs::write(&one, format!("{certificate}{key}")).expect("written");
    assert_eq!(pair::good_until(&one, &subject), None, "the key of another");
    fs::write(&one, certificate).expect("written");
    assert_eq!(pair::good_until(&one, &subject), None, "no key");
}
