# SPDX-License-Identifier: MIT
"""What the end-to-end tests share: the program, the model, and a server on a free port with a directory of its own.

LODE_BIN names the program (default build/lode), LODE_MODEL the model folder (default models/all-MiniLM-L6-v2), LODE_DTYPE
the encoder's number type and LODE_DEVICE its device: f32 and cpu unless set, so that figures are the same on every machine (others:
test_dtype.py, test_device.py).
"""
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("LODE_DTYPE", "f32")
os.environ.setdefault("LODE_DEVICE", "cpu")
PATIENCE = 60  # seconds until a start counts as failed; a start takes well under one


def program():
    return os.environ.get("LODE_BIN", str(ROOT / "build/lode"))


def model_dir():
    return os.environ.get("LODE_MODEL", str(ROOT / "models/all-MiniLM-L6-v2"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Lode:
    """A running `lode serve`. restart() keeps data and port."""

    def __init__(self, data, *args):
        self.data, self.args, self.port = str(data), args, free_port()
        self.start()

    def start(self):
        self.proc = subprocess.Popen(
            [program(), "serve", "--data", self.data, "--port", str(self.port), "--model", model_dir(), *self.args],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.proc.poll() is not None:
                raise RuntimeError("lode serve ended: " + self.proc.stderr.read())
            try:
                urllib.request.urlopen(self.url + "/healthz", timeout=5)
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("lode serve did not come up")

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def stop(self, how=signal.SIGTERM):
        if self.proc.poll() is None:
            self.proc.send_signal(how)
        code = self.proc.wait(30)
        self.proc.stderr.close()
        return code

    def restart(self, how=signal.SIGTERM):
        self.stop(how)
        self.start()

    def call(self, method, path, body=None, headers=None):
        """(status, parsed body); body may be bytes or something for JSON."""
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        headers = {"content-type": "application/json", **(headers or {})}
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                status, text = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def memory_mb(self):
        """RssAnon + RssShmem: LMDB's map counts in neither."""
        text = pathlib.Path("/proc/%d/status" % self.proc.pid).read_text()
        return sum(int(re.search(name + r":\s+(\d+)", text).group(1)) for name in ("RssAnon", "RssShmem")) / 1024


@pytest.fixture(scope="module")
def lode(tmp_path_factory):
    server = Lode(tmp_path_factory.mktemp("data") / "d")
    yield server
    server.stop()


def run(*args, stdin=None, check=True):
    """The program's result; stdout and stderr as text."""
    done = subprocess.run([program(), *map(str, args)], input=stdin, capture_output=True, text=True, timeout=300)
    if check and done.returncode:
        raise AssertionError("lode %s: exit %d\n%s" % (" ".join(map(str, args)), done.returncode, done.stderr))
    return done
