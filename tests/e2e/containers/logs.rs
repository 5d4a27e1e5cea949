//! Followed logs of a real container: 20,000 lines in bursts, with all that lines can be.

use super::scripted;
use crate::cluster::Cluster;
use crate::logs::Follower;
use crate::namespace::Namespace;

/// Prints the numbers it is told, from one to another, and ends when it is told nothing.
const PRINTER: &str = "mkfifo /tmp/go; exec 3<>/tmp/go; while read -r from to <&3; do [ -n \"$from\" ] || exit 0; \
                       seq $from $to | sed 's/^/line /; s/$/, of some length/'; done";
/// More may not come between two readings: 2,000 lines.
const WITHIN: usize = 1_900;

#[tokio::test]
async fn twenty_thousand_lines_of_a_real_container() {
    let cluster = Cluster::shared().await;
    let namespace = Namespace::new(&cluster, "c-logs").await;
    let mut printer = scripted("printer", PRINTER);
    printer["spec"]["restartPolicy"] = "Never".into();
    namespace.running(printer).await;
    let told = async |words: &str| {
        namespace.shell("printer", &format!("echo '{words}' >/tmp/go")).await;
    };
    let ready = async || {
        namespace
            .kubectl(&["exec", "printer", "--", "test", "-p", "/tmp/go"])
            .await
            .success
    };
    cluster.eventually("the printer to listen", ready, |ready| *ready).await;
    let (mut follower, mut second) = (Follower::of(&namespace, "printer"), Follower::of(&namespace, "printer"));
    let mut whole = String::new();
    for begin in (1..=20_000).step_by(WITHIN) {
        let end = (begin + WITHIN - 1).min(20_000);
        told(&format!("{begin} {end}")).await;
        whole.extend((begin..=end).map(|n| format!("line {n}, of some length\n")));
        for follower in [&follower, &second] {
            let length = async || follower.length();
            let all = |length: &usize| *length >= whole.len();
            cluster.eventually("the burst", length, all).await;
        }
    }
    assert!(
        follower.shown() == whole && second.shown() == whole,
        "each line once, to each"
    );

    // Empty lines, equal lines, carriage returns, what is no text, and an end without a newline.
    let odd = r"printf '\n\nsame\nsame\nsame\r\n\xff\xfe\n' >/proc/1/fd/1; printf 'open' >/proc/1/fd/1";
    namespace.shell("printer", odd).await;
    whole.push_str("\n\nsame\nsame\nsame\r\n\u{fffd}\u{fffd}\n");
    let length = async || follower.length();
    cluster
        .eventually("what is odd", length, |length| *length >= whole.len())
        .await;
    // kubectl keeps a line to itself until it ends, or the log does.
    whole.push_str("open");
    told("").await;
    namespace.phase("printer", "Succeeded").await;
    assert!(
        follower.end().await == whole && second.end().await == whole,
        "to the end"
    );
}
