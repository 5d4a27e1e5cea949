//! Both signatures against published vectors and those of the official SDKs, stage by stage: see `data/sign/README.md`.

use std::fs;
use std::path::{Path, PathBuf};

use provider::sign::{acs3, body_hash, rpc_v1};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(tag = "signature")]
enum Request {
    #[serde(rename = "rpc-v1")]
    RpcV1 {
        method: String,
        access_key_secret: String,
        params: Vec<(String, String)>,
    },
    #[serde(rename = "acs3")]
    Acs3 {
        method: String,
        access_key_id: String,
        access_key_secret: String,
        query: Vec<(String, String)>,
        headers: Vec<(String, String)>,
        body: String,
    },
}

/// A stage's name and what we computed for it.
type Stages = Vec<(&'static str, String)>;

fn stages(request: &Request) -> Stages {
    match request {
        Request::RpcV1 {
            method,
            access_key_secret,
            params,
        } => {
            let signed = rpc_v1(method, params, access_key_secret);
            vec![
                ("string-to-sign", signed.string_to_sign),
                ("signature", signed.signature),
            ]
        }
        Request::Acs3 {
            method,
            access_key_id,
            access_key_secret,
            query,
            headers,
            body,
        } => {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let hash = body_hash(body.as_bytes());
            let signed = acs3(method, query, &headers, &hash, access_key_id, access_key_secret);
            vec![
                ("canonical-request", signed.canonical_request),
                ("string-to-sign", signed.string_to_sign),
                ("signature", signed.signature),
                ("authorization", signed.authorization),
            ]
        }
    }
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sign");
    let entries = fs::read_dir(folder).expect("the folder of vectors");
    let mut cases: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|p| p.is_dir())
        .collect();
    cases.sort();
    cases
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn load(case: &Path) -> Request {
    serde_json::from_str(&read(case.join("request.json"))).unwrap_or_else(|e| panic!("{}: {e}", case.display()))
}

#[test]
fn every_stage_of_every_vector() {
    let cases = cases();
    assert_eq!(cases.len(), 10, "vectors went missing");
    for case in cases {
        for (stage, ours) in stages(&load(&case)) {
            assert_eq!(
                ours,
                read(case.join(format!("{stage}.txt"))),
                "{} of {}",
                stage,
                case.display()
            );
        }
    }
}

#[test]
fn the_order_of_parameters_and_headers_does_not_matter() {
    for case in cases() {
        let given = load(&case);
        let mut turned = load(&case);
        match &mut turned {
            Request::RpcV1 { params, .. } => params.reverse(),
            Request::Acs3 { query, headers, .. } => {
                query.reverse();
                headers.reverse();
            }
        }
        assert_eq!(stages(&given), stages(&turned), "{}", case.display());
    }
}

#[test]
fn another_secret_gives_another_signature() {
    for case in cases() {
        let given = load(&case);
        let mut other = load(&case);
        match &mut other {
            Request::RpcV1 { access_key_secret, .. } | Request::Acs3 { access_key_secret, .. } => {
                access_key_secret.push('x');
            }
        }
        let signature = |request: &Request| stages(request).into_iter().find(|(stage, _)| *stage == "signature");
        assert_ne!(signature(&given), signature(&other), "{}", case.display());
    }
}
