//! How long clients may take, and say nothing, by a paused clock.

use std::time::Duration;

use tokio::io::duplex;

use super::options::{RemoteCommand, StreamOptions};
use super::remote::spdy_session;
use super::testing::SpdyClient;
use super::websocket::{REMOTE_COMMAND, websocket_session};
use super::{CREATION_TIMEOUT, IDLE_TIMEOUT};
use crate::clock;

const OUTPUT: StreamOptions = StreamOptions {
    stdin: false,
    stdout: true,
    stderr: false,
    tty: false,
};
const IDLE: Duration = Duration::from_secs(90);

#[tokio::test(start_paused = true)]
async fn who_does_not_open_its_streams_is_given_up() {
    let (ours, theirs) = duplex(1 << 16);
    let mut client = SpdyClient::new(ours);
    client.open(1, &[("streamtype", "error")]).await;
    let begun = clock::monotonic();
    let session = spdy_session(theirs, RemoteCommand::V4, OUTPUT, IDLE_TIMEOUT).await;
    assert!(session.is_none());
    assert_eq!(begun.elapsed().as_secs(), CREATION_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_for_too_long_is_gone() {
    let (ours, theirs) = duplex(1 << 16);
    let mut client = SpdyClient::new(ours);
    client.open(1, &[("streamtype", "error")]).await;
    client.open(3, &[("streamtype", "stdout")]).await;
    let begun = clock::monotonic();
    let session = spdy_session(theirs, RemoteCommand::V4, OUTPUT, IDLE).await;
    session.expect("opened").end.gone.cancelled().await;
    assert_eq!(begun.elapsed().as_secs(), IDLE.as_secs(), "pings are no data");

    let (_ours, theirs) = duplex(1 << 16);
    let begun = clock::monotonic();
    let session = websocket_session(theirs, REMOTE_COMMAND[0], OUTPUT, IDLE).await;
    session.expect("opened").end.gone.cancelled().await;
    assert_eq!(begun.elapsed().as_secs(), IDLE.as_secs());
}
