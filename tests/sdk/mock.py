"""A mock-eci for a test: its start, its end, its steering, and requests made by hand."""

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

KEY, SECRET, REGION = "sdk-test-id", "sdk-test-secret", "cn-hangzhou"
PATIENCE = float(os.environ.get("PATIENCE", 30))  # seconds; simulated groups run within 0.1


class Mock:
    """A running mock-eci; use it in a `with`, or call `stop`."""

    def __init__(self, *flags):
        command = [os.environ["MOCK_ECI"], "--listen", "127.0.0.1:0", "--access-key", f"{KEY}:{SECRET}", *flags]
        environment = {"RUST_LOG": "warn", **os.environ}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        line = self.process.stdout.readline()
        if "http://" not in line:
            self.process.wait()
            raise RuntimeError(f"mock-eci did not start: {line!r}")
        self.address = line.split("http://")[1].split()[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=10)
        self.process.stdout.close()
        if code != 0:
            raise RuntimeError(f"mock-eci ended with {code} on SIGTERM")

    def steer(self, route, body=None):
        """POSTs to /mock/ROUTE."""
        request = urllib.request.Request(
            f"http://{self.address}/mock/{route}", method="POST", data=json.dumps(body or {}).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    def send(self, method, query, headers=None):
        """Gives status and body of a request made by hand."""
        url = f"http://{self.address}/?" + urllib.parse.urlencode(query)
        data = b"" if method == "POST" else None
        request = urllib.request.Request(url, method=method, headers=headers or {}, data=data)
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def until(what, ask):
    """Asks until the answer is true and gives it."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not happen within {PATIENCE} s; last answer: {answer!r}")
        time.sleep(0.02)


# Signatures, written from the public documents and sharing no code with mock-eci or an SDK.


def now(plus=0):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + plus))


def encode(text):
    return urllib.parse.quote(text, safe="-_.~")


def v1(action, params=(), secret=SECRET, nonce=None, date=None, key=KEY):
    """A request signed by HMAC-SHA1."""
    query = {
        "Action": action, "Version": "2018-08-08", "Format": "JSON", "AccessKeyId": key,
        "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0", "SignatureNonce": nonce or uuid.uuid4().hex,
        "Timestamp": date or now(), "RegionId": REGION, **dict(params),
    }
    canonical = "&".join(f"{encode(k)}={encode(v)}" for k, v in sorted(query.items()))
    text = f"GET&%2F&{encode(canonical)}"
    digest = hmac.new(f"{secret}&".encode(), text.encode(), hashlib.sha1).digest()
    return "GET", {**query, "Signature": base64.b64encode(digest).decode()}, None


def v3(address, action, params=(), secret=SECRET, nonce=None, date=None, key=KEY):
    """The same by ACS3-HMAC-SHA256."""
    query = {"RegionId": REGION, **dict(params)}
    body_hash = hashlib.sha256(b"").hexdigest()
    headers = {
        "host": address, "x-acs-action": action, "x-acs-version": "2018-08-08", "x-acs-date": date or now(),
        "x-acs-signature-nonce": nonce or uuid.uuid4().hex, "x-acs-content-sha256": body_hash,
    }
    names = sorted(headers)
    canonical = "\n".join([
        "POST", "/", "&".join(f"{encode(k)}={encode(v)}" for k, v in sorted(query.items())),
        "".join(f"{n}:{headers[n]}\n" for n in names), ";".join(names), body_hash,
    ])
    text = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = (
        f"ACS3-HMAC-SHA256 Credential={key},SignedHeaders={';'.join(names)},Signature={signature}"
    )
    return "POST", query, headers
