#!/usr/bin/env python3
"""Stands between the API server and the agent, and writes down what clients send once a connection is a stream's.

Run inside a testbed (README.md beside this file says how): record.py PKI_FOLDER LISTEN_PORT OUT_FOLDER. The first bytes after the
request's head of the Nth connection that asks for an upgrade go to OUT_FOLDER/N-ROUTE-PROTOCOL.bin, its head to ….head.
"""

import itertools
import pathlib
import socket
import ssl
import sys
import threading

AGENT = ("172.31.0.10", 10250)
# Connections from here are not led astray.
OWN = ("172.31.0.11", 0)
pki, port, out = pathlib.Path(sys.argv[1]), int(sys.argv[2]), pathlib.Path(sys.argv[3])
numbers = itertools.count(1)

server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(pki / "agent-serving.crt", pki / "agent-serving.key")
client = ssl.create_default_context(cafile=pki / "ca.crt")
client.load_cert_chain(pki / "kube-apiserver-kubelet-client.crt", pki / "kube-apiserver-kubelet-client.key")


def pass_on(source, sink, record=None):
    try:
        while data := source.recv(65536):
            if record:
                record.write(data)
                record.flush()
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(plain):
    try:
        source = server.wrap_socket(plain, server_side=True)
        head = b""
        while b"\r\n\r\n" not in head:
            data = source.recv(65536)
            if not data:
                return
            head += data
    except OSError:
        return
    head, rest = head.split(b"\r\n\r\n", 1)
    sink = client.wrap_socket(socket.create_connection(AGENT, source_address=OWN), server_hostname=AGENT[0])
    sink.sendall(head + b"\r\n\r\n")
    record = None
    if b"\r\nupgrade:" in head.lower():
        protocol = "websocket" if b"websocket" in head.lower() else "spdy"
        name = f"{next(numbers)}-{head.split(b'/')[1].decode()}-{protocol}"
        (out / f"{name}.head").write_bytes(head)
        record = open(out / f"{name}.bin", "wb")
        record.write(rest)
    sink.sendall(rest)
    threading.Thread(target=pass_on, args=(sink, source), daemon=True).start()
    pass_on(source, sink, record)


listener = socket.create_server(("172.31.0.10", port))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
