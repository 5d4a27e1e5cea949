"""ExecContainerCommand's WebSocket as public clients use it: no subprotocol, binary messages whose first byte is a channel."""

import json
import threading
import unittest

import websocket

from adapters import Tea
from mock import PATIENCE, REGION, Mock, until

STDIN, STDOUT, STDERR, STATUS = range(4)


class Exec(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mock = Mock("--seed", "7")
        cls.addClassCleanup(cls.mock.stop)
        cls.sdk = Tea(cls.mock.address)
        cls.group = cls.call("CreateContainerGroup", ContainerGroupName="exec", Container=[{"Name": "c", "Image": "i"}])[
            "ContainerGroupId"
        ]
        ids = json.dumps([cls.group])
        until("running", lambda: cls.call("DescribeContainerGroups", ContainerGroupIds=ids)["ContainerGroups"][0]["Status"] == "Running")

    @classmethod
    def call(cls, operation, **parameters):
        return cls.sdk.call(operation, {"RegionId": REGION, **parameters})

    def connect(self, *command, **parameters):
        uri = self.call(
            "ExecContainerCommand", ContainerGroupId=self.group, ContainerName="c", Command=json.dumps(command), **parameters
        )["WebSocketUri"]
        socket = websocket.create_connection(uri, timeout=PATIENCE)
        self.addCleanup(socket.close)
        return uri, socket

    def read(self, socket):
        """What came on each channel until the server closed."""
        channels = {}
        while message := socket.recv():
            self.assertIsInstance(message, bytes)
            channels[message[0]] = channels.get(message[0], b"") + message[1:]
        return channels

    def test_output_and_exit_code(self):
        _, socket = self.connect("sh", "-c", "echo out; echo err >&2; exit 7", Stdin=False)
        channels = self.read(socket)
        self.assertEqual((channels[STDOUT], channels[STDERR]), (b"out\n", b"err\n"))
        status = json.loads(channels[STATUS])
        self.assertEqual((status["status"], status["reason"]), ("Failure", "NonZeroExitCode"))
        self.assertIn({"reason": "ExitCode", "message": "7"}, status["details"]["causes"])

    def test_a_megabyte_through_stdin(self):
        _, socket = self.connect("cat")
        sent = bytes(range(256)) * 4096

        def write():
            for start in range(0, len(sent), 32 * 1024):
                socket.send_binary(bytes([STDIN]) + sent[start:start + 32 * 1024])
            socket.send_binary(bytes([STDIN]))

        writer = threading.Thread(target=write)
        writer.start()
        channels = self.read(socket)
        writer.join()
        self.assertEqual(channels[STDOUT], sent)
        self.assertEqual(json.loads(channels[STATUS])["status"], "Success")

    def test_an_address_works_once(self):
        uri, socket = self.connect("true")
        self.assertEqual(json.loads(self.read(socket)[STATUS])["status"], "Success")
        with self.assertRaises(websocket.WebSocketBadStatusException):
            websocket.create_connection(uri, timeout=PATIENCE)

    def test_a_command_that_does_not_exist(self):
        _, socket = self.connect("no-such-command")
        status = json.loads(self.read(socket)[STATUS])
        self.assertEqual(status["status"], "Failure")


if __name__ == "__main__":
    unittest.main(verbosity=2)
