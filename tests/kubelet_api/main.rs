//! The kubelet API beside a real kubelet's: each route asked by each kind of client, at both, in the same test.
//!
//! It runs inside a testbed with both kinds of node (`make kubelet-api`). What is compared is [`cases`]; where the two differ
//! on purpose, [`differences`] says why.

#![allow(unreachable_pub, reason = "modules of a test binary; nothing else can reach them")]

#[path = "../e2e/kubectl.rs"]
#[allow(dead_code, reason = "the end-to-end suite needs more of it")]
mod kubectl;

#[path = "../support/until.rs"]
#[allow(dead_code, reason = "the other suites need more of it")]
mod until;

mod bed;
mod cases;
mod clients;
mod differences;

use bed::{Bed, NODES, Node};
use cases::{Body, CASES, Case};
use clients::{Answer, CLIENTS, Client};
use kubectl::run;

#[tokio::test]
async fn every_route_answers_every_client_as_a_real_kubelets_does() {
    let bed = Bed::new().await;
    let mut compared = 0;
    let mut differ = Vec::new();
    let mut unused: Vec<_> = differences::DIFFERENCES.iter().map(|known| known.case).collect();
    for case in CASES {
        for client in CLIENTS {
            let real = ask(bed, Node::Real, client, case).await;
            let ours = ask(bed, Node::Virtual, client, case).await;
            compared += 1;
            if real == ours {
                continue;
            }
            match differences::known(case.name, client, &real, &ours) {
                Some(known) => unused.retain(|case| *case != known.case),
                None => differ.push(format!(
                    "{} as {client:?}: {} {}\n    real: {real:?}\n    ours: {ours:?}",
                    case.name, case.method, case.path
                )),
            }
        }
    }
    assert!(
        differ.is_empty(),
        "{} of {compared} answers differ:\n{}",
        differ.len(),
        differ.join("\n")
    );
    assert!(
        unused.is_empty(),
        "these differ no longer, so the table is wrong: {unused:?}"
    );
}

async fn ask(bed: &Bed, node: Node, client: Client, case: &Case) -> Answer {
    let answer = bed.ask(node, client, case).await;
    match case.body {
        Body::Same => answer,
        // Not of refusals: those have nothing of their own.
        Body::Own if answer.status < 300 => Answer {
            content_type: String::new(),
            body: String::new(),
            ..answer
        },
        Body::Own => answer,
        Body::Ours if answer.status < 400 => answer,
        Body::Ours => match answer.status {
            401 | 403 | 404 => answer,
            _ => Answer {
                content_type: String::new(),
                body: String::new(),
                ..answer
            },
        },
    }
}

/// A token lets in whoever shows a certificate that counts for nothing, at both.
#[tokio::test]
async fn a_foreign_certificate_is_no_hindrance_to_a_right_token() {
    let bed = Bed::new().await;
    for node in NODES {
        let answer = bed.with_foreign_certificate_and_token(node, "/healthz").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{node:?}");
    }
}

/// Neither speaks what came before TLS 1.2.
#[tokio::test]
async fn old_versions_of_tls_are_refused() {
    for node in NODES {
        let address = format!("{}:10250", node.ip());
        for (version, accepted) in [("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
            // At the lowest security level OpenSSL still offers the old ones.
            let arguments = ["s_client", "-connect", &address, version, "-cipher", "ALL:@SECLEVEL=0"];
            let said = run("openssl", &arguments, "").await;
            let agreed = said.out.contains("Cipher is TLS") || said.out.contains("Cipher is ECDHE");
            assert_eq!(agreed, accepted, "{node:?} {version}: {}", said.out);
        }
    }
}
