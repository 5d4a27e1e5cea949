//! `exec` without a terminal.

use serde_json::json;

use super::idle;
use crate::chance::Chance;
use crate::cluster::Cluster;
use crate::exec::PROTOCOLS;
use crate::namespace::Namespace;

const TEN_MEGABYTES: usize = 10_000_000;

#[tokio::test]
async fn output_comes_on_two_streams_and_the_exit_code_is_kubectls_own() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "c-exec").await;
    namespace.running(idle("box")).await;
    for protocol in PROTOCOLS {
        for (end, code) in [("exit 0", 0), ("exit 1", 1), ("exit 7", 7), ("kill -9 $$", 137)] {
            let script = format!("echo out; echo err >&2; {end}");
            let said = namespace
                .raw(protocol, &["exec", "box", "--", "sh", "-c", &script], b"")
                .await;
            assert_eq!(
                (said.out.as_slice(), said.code),
                (&b"out\n"[..], Some(code)),
                "{}",
                said.err
            );
            assert!(said.err.starts_with("err\n"), "{}", said.err);
        }
        // Too long for ECI as it is; the container's shell puts it together.
        let words: Vec<String> = (0..60).map(|n| format!("word '{n}' \"$HOME\"")).collect();
        let mut arguments = vec!["exec", "box", "--", "printf", "%s\\n"];
        arguments.extend(words.iter().map(String::as_str));
        let said = namespace.raw(protocol, &arguments, b"").await;
        assert_eq!(
            String::from_utf8_lossy(&said.out),
            words.join("\n") + "\n",
            "{}",
            said.err
        );
    }
}

#[tokio::test]
async fn ten_megabytes_go_in_and_come_out_unchanged() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "c-exec-input").await;
    namespace.running(idle("box")).await;
    let data = Chance::new("ten megabytes").bytes(TEN_MEGABYTES);
    for protocol in PROTOCOLS {
        let said = namespace
            .raw(protocol, &["exec", "-i", "box", "--", "cat"], &data)
            .await;
        assert_eq!((said.out.len(), said.code), (data.len(), Some(0)), "{}", said.err);
        assert!(said.out == data, "the bytes differ");
    }
}

#[tokio::test]
async fn where_the_end_of_input_is_not_passed_on_kubectl_is_told() {
    let cluster = Cluster::alone().await;
    let namespace = Namespace::new(&cluster, "c-exec-end").await;
    namespace.running(idle("box")).await;
    let data = Chance::new("no end").bytes(TEN_MEGABYTES);
    cluster.cloud.post("exec", json!({ "stdin-end": false })).await;
    let cat = async |protocol| {
        namespace
            .raw(protocol, &["exec", "-i", "box", "--", "cat"], &data)
            .await
    };
    let [first, second] = PROTOCOLS.map(cat);
    for said in <[_; 2]>::from(tokio::join!(first, second)) {
        assert!(
            said.out == data,
            "all output came: {} of {}",
            said.out.len(),
            data.len()
        );
        assert_eq!(said.code, Some(1));
        assert!(said.err.contains("ECI does not pass its end on"), "{}", said.err);
    }
    // What ends by itself, and what takes long though its input has ended, is not disturbed by that.
    let counted = namespace
        .raw(PROTOCOLS[0], &["exec", "-i", "box", "--", "head", "-c", "5"], b"hello")
        .await;
    assert_eq!((counted.out.as_slice(), counted.code), (&b"hello"[..], Some(0)));
    cluster.cloud.post("exec", json!({ "stdin-end": true })).await;
    let slow = namespace
        .raw(
            PROTOCOLS[0],
            &["exec", "-i", "box", "--", "sh", "-c", "cat; sleep 15; echo done"],
            b"in\n",
        )
        .await;
    assert_eq!(
        (slow.out.as_slice(), slow.code),
        (&b"in\ndone\n"[..], Some(0)),
        "{}",
        slow.err
    );
}
