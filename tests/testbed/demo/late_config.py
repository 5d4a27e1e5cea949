"""The API server for spark-submit, with ConfigMaps a second late: `late_config.py PORT`.

spark-submit creates the driver's pod first and its ConfigMap after it. How long after is chance; here it is a second at
least, which a node must survive. Requests go on to the cluster of KUBECONFIG by `kubectl proxy`, which knows who asks.
"""

import http.client
import http.server
import subprocess
import sys
import time

LATE_SECONDS = 1.0
HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding", "upgrade"}


class Late(http.server.BaseHTTPRequestHandler):
    """Hands requests on."""

    protocol_version = "HTTP/1.1"
    upstream = ""

    def hand_on(self):
        """Sends the request to `kubectl proxy` and its answer back, whole."""
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.command != "GET" and "/configmaps" in self.path:
            time.sleep(LATE_SECONDS)
        there = http.client.HTTPConnection(self.upstream, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        there.request(self.command, self.path, body=body, headers=headers)
        answer = there.getresponse()
        text = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        there.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = hand_on

    def log_message(self, format, *args):
        """Every request, for who looks for a failure."""
        sys.stderr.write("%s %s\n" % (time.strftime("%H:%M:%S"), format % args))


def main(port):
    proxy = subprocess.Popen(["kubectl", "proxy", "--port=0"], stdout=subprocess.PIPE, text=True)
    # "Starting to serve on 127.0.0.1:40000"
    Late.upstream = proxy.stdout.readline().split()[-1]
    http.server.ThreadingHTTPServer(("127.0.0.1", port), Late).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
