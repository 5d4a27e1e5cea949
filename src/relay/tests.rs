//! The relay over loopback sockets.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::*;
use crate::config::HostPort;

const SOON: Duration = Duration::from_secs(10);

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("address")
}

/// A server that greets with its name and then echoes.
async fn echo(name: &'static str) -> HostPort {
    let listener = TcpListener::bind(loopback()).await.expect("binds");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                write.write_all(name.as_bytes()).await?;
                tokio::io::copy(&mut read, &mut write).await?;
                write.shutdown().await
            });
        }
    });
    address.into()
}

/// A DNS server that answers each query with the query and its own name, after a datagram with a wrong id.
async fn dns(name: &'static str) -> HostPort {
    let socket = UdpSocket::bind(loopback()).await.expect("binds");
    let address = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(b"\xff\xffnot yours", client).await;
            let answer = [&buffer[..length], name.as_bytes()].concat();
            let _ = socket.send_to(&answer, client).await;
        }
    });
    address.into()
}

/// An address where nothing listens.
async fn nowhere() -> HostPort {
    TcpListener::bind(loopback())
        .await
        .expect("binds")
        .local_addr()
        .expect("bound")
        .into()
}

struct Testee {
    endpoints: Endpoints,
    metrics: Metrics,
    shutdown: Shutdown,
}

impl Testee {
    fn new(port: &'static str) -> Self {
        let metrics = Metrics::new().expect("registers");
        let endpoints = Endpoints::new(port, &metrics, &Health::new());
        Self {
            endpoints,
            metrics,
            shutdown: Shutdown::new(),
        }
    }

    fn tcp(&self, max_connections: usize) -> (SocketAddr, tokio::task::JoinHandle<()>) {
        let listener = listen(loopback()).expect("binds");
        let address = listener.local_addr().expect("bound");
        let (endpoints, metrics) = (self.endpoints.clone(), self.metrics.clone());
        (
            address,
            tokio::spawn(tcp::forward(
                listener,
                endpoints,
                max_connections,
                metrics,
                self.shutdown.clone(),
            )),
        )
    }

    async fn udp(&self) -> SocketAddr {
        let socket = UdpSocket::bind(loopback()).await.expect("binds");
        let address = socket.local_addr().expect("bound");
        let (endpoints, metrics) = (self.endpoints.clone(), self.metrics.clone());
        tokio::spawn(super::dns::forward(
            socket,
            endpoints,
            100,
            metrics,
            self.shutdown.clone(),
        ));
        address
    }
}

async fn greeting(stream: &mut TcpStream, length: usize) -> String {
    let mut buffer = vec![0; length];
    timeout(SOON, stream.read_exact(&mut buffer))
        .await
        .expect("in time")
        .expect("greets");
    String::from_utf8(buffer).expect("text")
}

#[tokio::test]
async fn connections_take_turns_and_go_around_endpoints_that_are_down() {
    let testee = Testee::new("api");
    testee
        .endpoints
        .replace(vec![echo("a").await, echo("b").await, nowhere().await]);
    let (address, _) = testee.tcp(100);
    let mut greetings = Vec::new();
    for _ in 0..6 {
        let mut stream = TcpStream::connect(address).await.expect("connects");
        greetings.push(greeting(&mut stream, 1).await);
    }
    greetings.sort();
    greetings.dedup();
    assert_eq!(greetings, ["a", "b"]);
}

#[tokio::test]
async fn a_connection_outlives_its_endpoints_place_in_the_list_and_half_closes() {
    let testee = Testee::new("api");
    testee.endpoints.replace(vec![echo("a").await]);
    let (address, _) = testee.tcp(100);
    let mut old = TcpStream::connect(address).await.expect("connects");
    assert_eq!(greeting(&mut old, 1).await, "a");
    testee.endpoints.replace(vec![echo("b").await]);
    let mut new = TcpStream::connect(address).await.expect("connects");
    assert_eq!(greeting(&mut new, 1).await, "b");
    old.write_all(b"still here").await.expect("writes");
    old.shutdown().await.expect("half-closes");
    let mut rest = String::new();
    timeout(SOON, old.read_to_string(&mut rest))
        .await
        .expect("in time")
        .expect("reads to the end");
    assert_eq!(rest, "still here");
}

#[tokio::test]
async fn without_an_endpoint_a_connection_is_closed() {
    let testee = Testee::new("api");
    let (address, _) = testee.tcp(100);
    let mut stream = TcpStream::connect(address).await.expect("connects");
    let mut rest = Vec::new();
    timeout(SOON, stream.read_to_end(&mut rest))
        .await
        .expect("in time")
        .expect("closed");
    assert!(rest.is_empty());
    assert_eq!(
        testee
            .metrics
            .relay_forwards
            .with_label_values(&["api", "unreachable"])
            .get(),
        1
    );
}

#[tokio::test]
async fn only_so_many_connections_are_held() {
    let testee = Testee::new("api");
    testee.endpoints.replace(vec![echo("a").await]);
    let (address, _) = testee.tcp(1);
    let mut first = TcpStream::connect(address).await.expect("connects");
    greeting(&mut first, 1).await;
    let mut second = TcpStream::connect(address).await.expect("waits in the backlog");
    let mut byte = [0];
    assert!(
        timeout(Duration::from_millis(50), second.read(&mut byte))
            .await
            .is_err(),
        "not served yet"
    );
    drop(first);
    assert_eq!(greeting(&mut second, 1).await, "a");
}

#[tokio::test]
async fn the_shutdown_lets_what_is_on_its_way_arrive() {
    let testee = Testee::new("api");
    testee.endpoints.replace(vec![echo("a").await]);
    let (address, serving) = testee.tcp(100);
    let mut stream = TcpStream::connect(address).await.expect("connects");
    greeting(&mut stream, 1).await;
    testee.shutdown.trigger();
    stream.write_all(b"last").await.expect("writes");
    assert_eq!(greeting(&mut stream, 4).await, "last");
    drop(stream);
    timeout(SOON, serving)
        .await
        .expect("ends with its last connection")
        .expect("no panic");
    assert!(TcpStream::connect(address).await.is_err(), "nothing new is accepted");
}

#[tokio::test]
async fn queries_are_answered_by_an_endpoint_that_lives() {
    let testee = Testee::new("dns-udp");
    testee.endpoints.replace(vec![nowhere().await, dns("one").await]);
    let address = testee.udp().await;
    let client = UdpSocket::bind(loopback()).await.expect("binds");
    client.connect(address).await.expect("connects");
    for id in [b"\x00\x01", b"\x00\x02", b"\x00\x03"] {
        client.send(&[&id[..], b" query "].concat()).await.expect("sends");
        let mut buffer = [0; 512];
        let length = timeout(SOON, client.recv(&mut buffer))
            .await
            .expect("in time")
            .expect("answers");
        assert_eq!(&buffer[..length], [&id[..], b" query one"].concat());
    }
}

#[tokio::test]
async fn a_query_waits_for_a_dns_server_that_is_being_replaced() {
    let testee = Testee::new("dns-udp");
    testee.endpoints.replace(vec![nowhere().await]);
    let address = testee.udp().await;
    let client = UdpSocket::bind(loopback()).await.expect("binds");
    client.connect(address).await.expect("connects");
    client.send(b"\x00\x07?").await.expect("sends");
    // The old server has refused once before the new one is known.
    let gone = testee.endpoints.clone();
    let refused = async {
        while testee.metrics.relay_active.with_label_values(&["dns-udp"]).get() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, refused).await.expect("the query is on its way");
    gone.replace(vec![dns("new").await]);
    let mut buffer = [0; 512];
    let length = timeout(SOON, client.recv(&mut buffer))
        .await
        .expect("in time")
        .expect("answers");
    assert_eq!(&buffer[..length], b"\x00\x07?new");
}
