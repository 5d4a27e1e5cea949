use std::collections::VecDeque;

use futures::FutureExt;
use tokio::io::DuplexStream;

use super::*;
use crate::kubelet::streams::testing::SpdyClient;

const INBOX: usize = 256 * 1024;
const BOUNDS: Bounds = Bounds {
    streams: 3,
    inbox: INBOX,
    idle: Duration::from_secs(3600),
};

fn connect() -> (Connection, SpdyClient<DuplexStream>, tokio::task::JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (connection, driver) = Connection::new(theirs, BOUNDS);
    (connection, SpdyClient::new(ours), tokio::spawn(driver))
}

fn data(id: u32, fin: bool, bytes: &[u8]) -> Frame {
    let data = Bytes::copy_from_slice(bytes);
    Frame::Data { id, fin, data }
}

fn rst(id: u32, status: Status) -> Option<Frame> {
    Some(Frame::RstStream { id, status })
}

#[tokio::test]
async fn both_directions_end_by_themselves() {
    let (mut connection, mut client, _driver) = connect();
    client.open(1, &[("streamtype", "stdin")]).await;
    let request = connection.opened().await.expect("a stream");
    assert_eq!((request.id, request.headers.get("streamtype")), (1, Some("stdin")));
    let (mut reader, writer) = request.accept();
    assert!(matches!(client.next().await, Some(Frame::SynReply { id: 1, .. })));

    client.send(&data(1, true, b"in")).await;
    assert_eq!(reader.recv().await, Ok(Some(Bytes::from_static(b"in"))));
    assert_eq!(reader.recv().await, Ok(None));
    writer.send(Bytes::from_static(b"out")).await.expect("open");
    writer.finish();
    assert_eq!(client.next().await, Some(data(1, false, b"out")));
    assert_eq!(client.next().await, Some(data(1, true, b"")));
    assert_eq!(connection.shared.streams().len(), 0, "nothing is kept of it");
}

#[tokio::test]
async fn a_goodbye_comes_after_all_that_was_sent() {
    let (mut connection, mut client, driver) = connect();
    client.open(1, &[]).await;
    let (_reader, writer) = connection.opened().await.expect("a stream").accept();
    let large: Bytes = vec![7; 100_000].into();
    writer.send(large.clone()).await.expect("open");
    writer.finish();
    drop(connection);
    assert!(matches!(client.next().await, Some(Frame::SynReply { .. })));
    let mut received = Vec::new();
    loop {
        match client.next().await {
            Some(Frame::Data { fin: false, data, .. }) => received.extend_from_slice(&data),
            Some(Frame::Data { fin: true, .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(received, large);
    assert!(matches!(client.next().await, Some(Frame::GoAway { status: 0, .. })));
    drop(client);
    driver.await.expect("ends");
}

#[tokio::test]
async fn what_is_dropped_is_reset() {
    let (mut connection, mut client, _driver) = connect();
    client.open(1, &[]).await;
    drop(connection.opened().await.expect("a stream"));
    assert_eq!(client.next().await, rst(1, Status::CANCEL));
    client.open(3, &[]).await;
    let (mut reader, writer) = connection.opened().await.expect("a stream").accept();
    drop(writer);
    assert!(matches!(client.next().await, Some(Frame::SynReply { id: 3, .. })));
    assert_eq!(client.next().await, rst(3, Status::CANCEL));
    assert_eq!(reader.recv().await, Err(Reset));
}

#[tokio::test]
async fn a_reset_ends_both_directions() {
    let (mut connection, mut client, _driver) = connect();
    client.open(1, &[]).await;
    let (mut reader, writer) = connection.opened().await.expect("a stream").accept();
    client
        .send(&Frame::RstStream {
            id: 1,
            status: Status::CANCEL,
        })
        .await;
    assert_eq!(reader.recv().await, Err(Reset));
    assert_eq!(writer.send(Bytes::from_static(b"x")).await, Err(Reset));
}

#[tokio::test]
async fn streams_are_counted_and_their_ids_rise() {
    let (mut connection, mut client, _driver) = connect();
    let mut streams = VecDeque::new();
    for id in [1, 5, 7] {
        client.open(id, &[]).await;
        streams.push_back(connection.opened().await.expect("a stream").accept());
        assert!(matches!(client.next().await, Some(Frame::SynReply { .. })));
    }
    client.open(9, &[]).await;
    assert_eq!(client.next().await, rst(9, Status::REFUSED_STREAM));
    for id in [3, 9, 20] {
        client.open(id, &[]).await;
        assert_eq!(client.next().await, rst(id, Status::PROTOCOL_ERROR));
    }
    streams.pop_front();
    assert_eq!(client.next().await, rst(1, Status::CANCEL));
    client.open(21, &[]).await;
    assert_eq!(connection.opened().await.expect("room").id, 21);
}

#[tokio::test]
async fn pings_are_answered() {
    let (_connection, mut client, _driver) = connect();
    client.send(&Frame::Ping(2)).await;
    client.send(&Frame::Ping(1)).await;
    assert_eq!(client.next().await, Some(Frame::Ping(1)), "even ones are answers");
}

#[tokio::test]
async fn who_does_not_read_is_not_sent_more_than_fits() {
    let (mut connection, mut client, _driver) = connect();
    client.open(1, &[]).await;
    let (mut reader, writer) = connection.opened().await.expect("a stream").accept();
    let chunk: Bytes = vec![0; MAX_PIECE].into();
    // To a client that does not read.
    let mut sent = 0;
    loop {
        tokio::task::yield_now().await;
        match writer.send(chunk.clone()).now_or_never() {
            Some(result) => result.expect("open"),
            None => break,
        }
        sent += chunk.len();
        assert!(sent < 4 * OUTBOX, "it is bounded");
    }
    // From a client whose data nobody takes.
    let mut sent = 0;
    // On a slow machine less is tried.
    while timeout(Duration::from_millis(100), client.send(&data(1, false, &chunk)))
        .await
        .is_ok()
    {
        sent += chunk.len();
        assert!(sent < 4 * INBOX, "it is bounded");
    }
    let mut received = 0;
    while received < sent {
        received += reader.recv().await.expect("open").expect("data").len();
    }
}

#[tokio::test]
async fn the_client_goes_and_everybody_is_told() {
    for goodbye in [false, true] {
        let (mut connection, mut client, driver) = connect();
        client.open(1, &[]).await;
        let (mut reader, writer) = connection.opened().await.expect("a stream").accept();
        if goodbye {
            client.send(&Frame::GoAway { last_id: 0, status: 0 }).await;
        }
        drop(client);
        connection.over().cancelled().await;
        assert_eq!(reader.recv().await, Err(Reset));
        assert_eq!(writer.send(Bytes::from_static(b"x")).await, Err(Reset));
        assert!(connection.opened().await.is_none());
        driver.await.expect("ends");
    }
}

#[tokio::test]
async fn nonsense_ends_the_connection() {
    let (mut connection, mut client, driver) = connect();
    client.send_bytes(b"\x80\x02\x00\x01\x00\x00\x00\x00").await;
    assert!(connection.opened().await.is_none());
    assert!(matches!(client.next().await, Some(Frame::GoAway { status: 1, .. })));
    drop(client);
    driver.await.expect("ends");
}

#[tokio::test]
async fn without_data_the_connection_ends() {
    let (ours, theirs) = tokio::io::duplex(1024);
    let bounds = Bounds {
        idle: Duration::from_millis(50),
        ..BOUNDS
    };
    let (connection, driver) = Connection::new(theirs, bounds);
    let driver = tokio::spawn(driver);
    let mut client = SpdyClient::new(ours);
    assert!(client.next().await.is_none(), "without a word");
    driver.await.expect("ends");
    assert!(connection.over().is_cancelled());
}
