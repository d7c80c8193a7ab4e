# SPDX-License-Identifier: MIT
"""The HTTP server over raw sockets: what it refuses, what it never runs, when it hangs up.

    LODE_HTTP_ECHO=build/tests/unit/gateway/lode_http_echo pytest tests/e2e/test_http_raw.py

Deadlines are shortened by the server's arguments; no test asserts how fast a thing is, only that
it happens, and not before it may.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import resource
import select
import signal
import socket
import subprocess
import time

import pytest

import http_cases

ROOT = pathlib.Path(__file__).resolve().parents[2]
ECHO = os.environ.get("LODE_HTTP_ECHO", str(ROOT / "build/tests/unit/gateway/lode_http_echo"))
POISON = b"GET /echo?poison HTTP/1.1\r\nHost: localhost\r\n\r\n"
PATIENCE = 20  # seconds until a test gives up; far beyond what is expected


class Server:
    def __init__(self, **options):
        args = ["%s=%d" % item for item in options.items()]
        # A sanitized build must not hold freed memory back from the tests that watch it.
        env = {"ASAN_OPTIONS": "quarantine_size_mb=1", **os.environ}
        self.proc = subprocess.Popen([ECHO, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     env=env)
        self.port = int(self.proc.stdout.readline().split()[1])

    def connect(self, source=None):
        s = socket.socket()
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.settimeout(PATIENCE)
        if source:
            s.bind((source, 0))
        s.connect(("127.0.0.1", self.port))
        return s

    def ask(self, raw):
        """All that comes back for raw until the server closes or one reply is whole."""
        with self.connect() as s:
            s.sendall(raw)
            return read_reply(s)

    def count(self):
        return json.loads(self.ask(http_cases.get(b"/count")).body)

    def metric(self, name):
        text = self.ask(http_cases.get(b"/metrics")).body.decode()
        return float(re.search(r"^%s (\S+)$" % re.escape(name), text, re.M).group(1))

    def memory_kib(self):
        with open("/proc/%d/status" % self.proc.pid) as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    def handles(self):
        return len(os.listdir("/proc/%d/fd" % self.proc.pid))

    def stop(self):
        self.proc.stdin.close()
        code = self.proc.wait(PATIENCE)
        self.proc.stdout.close()
        return code


class Reply:
    def __init__(self, raw):
        head, _, self.rest = raw.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(b": ")
            self.headers[name.decode().lower()] = value.decode()
        length = int(self.headers.get("content-length", 0))
        self.whole = len(self.rest) >= length
        self.body, self.rest = self.rest[:length], self.rest[length:]


def read_all(s):
    data = b""
    try:
        while piece := s.recv(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def read_reply(s, skip_interim=True, head=False, before=b""):
    data = bytearray(before)
    need = 0  # bytes until it is worth looking again
    while True:
        if b"\r\n\r\n" in data and len(data) >= need:
            reply = Reply(bytes(data))
            if reply.status == 100 and skip_interim:
                data = bytearray(reply.rest)
                continue
            if reply.whole or head:
                return reply
            need = int(reply.headers["content-length"])
        piece = s.recv(65536)
        if not piece:
            assert data, "closed without a reply"
            return Reply(bytes(data))
        data += piece


def statuses(data):
    """Of the replies in data, in order, interim ones left out."""
    out = []
    while data:
        reply = Reply(data)
        data = reply.rest
        if reply.status != 100:
            out.append(reply.status)
    return out


@pytest.fixture(scope="module")
def server():
    s = Server(loops=2, workers=4)
    yield s
    assert s.stop() == 0


@pytest.fixture
def serve():
    servers = []

    def start(**options):
        servers.append(Server(**options))
        return servers[-1]

    yield start
    for s in servers:
        if s.proc.poll() is None:
            assert s.stop() == 0


# --- requests that are refused ---


@pytest.mark.parametrize("name", http_cases.BAD)
def test_a_bad_request_is_refused_and_nothing_behind_it_runs(server, name):
    status, raw = http_cases.BAD[name]
    before = server.count()["ran"]
    with server.connect() as s:
        s.sendall(raw + POISON)
        got = read_all(s)
    reply = Reply(got)
    assert reply.status == status, got
    assert statuses(got) == [status]
    assert reply.headers["connection"] == "close"
    assert name == "head-body" or json.loads(reply.body)["error"]
    assert server.count()["ran"] == before


def send_in_step(server, cases, cut):
    """Sends each case in the pieces that cut makes, all connections side by side, with a pause
    between pieces so that the server reads them one by one. Returns all that came back."""
    conns = [(server.connect(), cut(raw)) for raw in cases]
    step = 0
    while any(step < len(pieces) for _, pieces in conns):
        for s, pieces in conns:
            if step < len(pieces):
                try:
                    s.sendall(pieces[step])
                except (BrokenPipeError, ConnectionResetError):
                    pass  # refused already; its reply is read below
        time.sleep(0.002)
        step += 1
    out = []
    for s, _ in conns:
        with s:
            out.append(read_all(s))
    return out


def pieces_of(raw, size):
    return [raw[i:i + size] for i in range(0, len(raw), size)]


def test_bad_requests_byte_by_byte_are_refused_alike(server):
    before = server.count()["ran"]
    names = list(http_cases.BAD)
    raws = [http_cases.BAD[n][1] for n in names]
    # Long ones in larger pieces: their interest is their length.
    got = send_in_step(server, [r + POISON for r in raws],
                       lambda r: pieces_of(r, 1 if len(r) < 1000 else 64))
    for name, data in zip(names, got):
        assert statuses(data) == [http_cases.BAD[name][0]], (name, data)
    assert server.count()["ran"] == before


@pytest.mark.parametrize("name", http_cases.BAD)
def test_bad_requests_cut_at_every_offset_are_refused_alike(server, name):
    status, raw = http_cases.BAD[name]
    before = server.count()["ran"]
    offsets = [i for i in range(1, len(raw)) if i < 300 or len(raw) - i < 40]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        at = iter(offsets)
        future = pool.submit(send_in_step, server, [raw + POISON] * len(offsets),
                             lambda r: [r[:(i := next(at))], r[i:]])
        for i, data in zip(offsets, future.result()):
            assert statuses(data) == [status], (i, data)
    assert server.count()["ran"] == before


# --- requests that are served ---


@pytest.mark.parametrize("name", http_cases.GOOD)
def test_a_good_request_is_served_whole_and_byte_by_byte(server, name):
    raw = http_cases.GOOD[name]
    wanted = 204 if name == "options-star" else 200
    bodies = []
    for size in (len(raw), 1):
        with server.connect() as s:
            for piece in pieces_of(raw, size):
                s.sendall(piece)
            reply = read_reply(s, head=name == "head")
        assert reply.status == wanted
        bodies.append(reply.body)
    assert bodies[0] == bodies[1]


def test_a_trailer_does_not_become_a_header(server):
    reply = server.ask(http_cases.GOOD["chunked-trailer"])
    assert b"x-test=\n" in reply.body and b"body=hello\n" in reply.body


def test_pipelined_requests_are_answered_in_order(server):
    raw = b"".join(http_cases.get(b"/echo?q=%d" % i) for i in range(200))
    raw += http_cases.get(b"/echo?q=last", headers=http_cases.H + b"Connection: close\r\n")
    with server.connect() as s:
        s.sendall(raw)
        got = read_all(s)
    assert re.findall(rb"^q=(\w+)$", got, re.M) == [b"%d" % i for i in range(200)] + [b"last"]


def test_a_slow_request_holds_back_the_one_behind_it(server):
    with server.connect() as s:
        s.sendall(http_cases.get(b"/slow?ms=100") + http_cases.get(b"/inline"))
        first = read_reply(s)
        second = read_reply(s, before=first.rest)
    assert first.body == b'"slow"' and second.body == b'{"status":"ok"}'


def test_head_has_the_length_and_no_body(server):
    with server.connect() as s:
        s.sendall(http_cases.get(b"/big?bytes=1000", method=b"HEAD") + http_cases.get(b"/inline"))
        first = read_reply(s, head=True)
        assert first.headers["content-length"] == "1000"
        data = first.body + first.rest
        while b"{" not in data:
            data += s.recv(4096)
    assert data.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("version,header,stays", [
    (b"HTTP/1.1", b"", True),
    (b"HTTP/1.1", b"Connection: close\r\n", False),
    (b"HTTP/1.0", b"", False),
    (b"HTTP/1.0", b"Connection: keep-alive\r\n", True),
])
def test_connections_stay_open_as_the_version_says(server, version, header, stays):
    with server.connect() as s:
        s.sendall(http_cases.get(b"/tiny", version, http_cases.H + header))
        reply = read_reply(s)
        said = reply.headers.get("connection")
        assert said == (None if version == b"HTTP/1.1" and stays else
                        "keep-alive" if stays else "close")
        if stays:
            s.sendall(http_cases.get(b"/tiny"))
            assert read_reply(s).status == 200
        else:
            assert s.recv(1) == b""


def test_replies_carry_the_usual_headers(server):
    reply = server.ask(http_cases.get(b"/tiny"))
    assert reply.headers["server"].startswith("lode/")
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", reply.headers["date"])
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert not any(name.startswith("access-control") for name in reply.headers)


def test_unknown_paths_methods_and_options(server):
    assert server.ask(http_cases.get(b"/none")).status == 404
    reply = server.ask(http_cases.get(b"/tiny", method=b"DELETE"))
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    reply = server.ask(http_cases.get(b"/echo", method=b"OPTIONS"))
    assert (reply.status, reply.headers["allow"]) == (204, "GET, HEAD, POST, PUT, DELETE, OPTIONS")
    assert server.ask(http_cases.get(b"/none", method=b"OPTIONS")).status == 404
    # A literal segment goes before a parameter; an encoded slash stays inside its segment.
    assert server.ask(http_cases.get(b"/c/x/p/search")).body == b'{"status":"ok"}'
    assert b"param=a/b\nparam=c d\n" in server.ask(http_cases.get(b"/c/a%2Fb/p/c%20d")).body
    assert server.ask(http_cases.get(b"/c//p/1")).status == 400
    assert server.ask(http_cases.get(b"/c/x/p/")).status == 404


def test_a_refused_route_with_a_body_closes(server):
    raw = b"POST /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(POISON)
    before = server.count()["ran"]
    with server.connect() as s:
        s.sendall(raw + POISON)
        assert statuses(read_all(s)) == [404]
    assert server.count()["ran"] == before


def test_foreign_host_names_are_refused_on_loopback(server):
    for host in (b"evil.example", b"localhost.evil.example", b"127.0.0.1.evil.example"):
        reply = server.ask(http_cases.get(headers=b"Host: %s\r\n" % host))
        assert (reply.status, reply.headers["connection"]) == (403, "close")
    for host in (b"localhost", b"LOCALHOST:1", b"127.0.0.1", b"[::1]:6333"):
        assert server.ask(http_cases.get(headers=b"Host: %s\r\n" % host)).status == 200


def test_keys_and_roles(server):
    def ask(method, key, body=b""):
        headers = http_cases.H + b"Content-Length: %d\r\n" % len(body)
        if key:
            headers += b"Authorization: Bearer %s\r\n" % key
        return server.ask(http_cases.get(b"/secret", headers=headers, method=method) + body)

    reply = ask(b"GET", b"")
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert ask(b"GET", b"read").status == 200
    assert ask(b"POST", b"read", b"x").status == 403
    assert ask(b"POST", b"admin", b"x").status == 200


def test_expect_continue_is_answered_before_the_body(server):
    head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
    with server.connect() as s:
        s.sendall(head + b"Content-Length: 5\r\n\r\n")
        assert read_reply(s, skip_interim=False).status == 100
        s.sendall(b"hello")
        assert b"body=hello" in read_reply(s).body
    # Too large, wrong path, wrong method: said at once, with no 100 before.
    too_large = head + b"Content-Length: 99999999\r\n\r\n"
    for raw, status in ((too_large, 413), (too_large.replace(b"/echo", b"/none"), 404),
                        (too_large.replace(b"/echo", b"/tiny"), 405)):
        with server.connect() as s:
            s.sendall(raw)
            assert read_reply(s, skip_interim=False).status == status


def test_a_route_without_a_body_takes_none(server):
    def ask(length):
        return server.ask(b"POST /nobody HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
                          % length + b"x" * length).status

    assert ask(0) == 200
    assert ask(1) == 413


def test_a_refused_upload_still_gets_its_reply(server):
    """The client sends on without looking; a hasty close would reset the connection."""
    with server.connect() as s:
        s.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n")
        s.sendall(b"x" * 8000000)
        assert read_reply(s).status == 413


def test_large_bodies_go_both_ways(server):
    body = os.urandom(1 << 20).hex().encode() * 16  # the cap of the route, 32 MiB
    with server.connect() as s:
        s.sendall(b"PUT /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
        s.sendall(body)
        reply = read_reply(s)
    assert reply.body.endswith(b"body=" + body + b"\n")


def test_an_injected_line_end_does_not_split_the_reply(server):
    def ask(value, query=b""):
        return server.ask(b"POST /header%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
                          % (query, len(value)) + value)

    bad = [b"a\nb", b"a\rb", b"a\0b", b"a\r\n\r\n<html>", b"a\r\nContent-Length: 0",
           b"a\r\nTransfer-Encoding: chunked", b"a\r\n b"]
    assert ask(b"fine").headers["x-echo"] == "fine"
    for value in [b"a\r\nSet-Cookie: b", *bad]:
        reply = ask(value)
        assert reply.status == 400 and "x-echo" not in reply.headers, value
        assert "set-cookie" not in reply.headers
    # A handler that goes round the helper is stopped before its head leaves the house.
    for value in bad:
        reply = ask(value, b"?raw=1")
        assert reply.status == 500 and "x-echo" not in reply.headers, value


def test_error_codes_have_their_status(server):
    names = ["ok", 400, 400, 404, 409, 409, 400, 500, 500, 500, 507, 503, 429, 504, 499, 401, 403,
             500]
    for code, status in list(enumerate(names))[1:]:
        reply = server.ask(http_cases.get(b"/fail?code=%d" % code))
        assert reply.status == status, code
        assert json.loads(reply.body)["error"].startswith("asked to fail with \"")
        assert ("retry-after" in reply.headers) == (status in (429, 503))


def test_requests_are_counted(server):
    name = 'lode_http_requests_total{method="GET",status="4xx"}'
    before = server.metric(name)
    server.ask(http_cases.get(b"/none"))
    assert server.metric(name) == before + 1
    assert server.metric("lode_http_request_seconds_count") > 0
    assert server.metric("lode_http_in_flight") == 1  # /metrics itself


# --- deadlines ---


def closed_after(s, since):
    """Seconds until the server hangs up, and what it sent before."""
    data = read_all(s)
    return time.monotonic() - since, data


def test_an_idle_connection_is_closed_silently(serve):
    server = serve(idle_ms=300)
    with server.connect() as s:
        seconds, data = closed_after(s, time.monotonic())
    assert data == b"" and seconds >= 0.29
    with server.connect() as s:
        s.sendall(http_cases.get(b"/tiny"))
        read_reply(s)
        seconds, data = closed_after(s, time.monotonic())
    assert data == b"" and seconds >= 0.29


def drip(s, data, period):
    """Sends data byte by byte until the server hangs up; returns what it said."""
    got = b""
    for i in range(len(data)):
        readable, _, _ = select.select([s], [], [], period)
        if readable:
            try:
                return got + read_all(s)
            except OSError:
                return got
        try:
            s.sendall(data[i:i + 1])
        except OSError:
            return got + read_all(s)
    pytest.fail("the server took all of a dripping request")


def test_dripping_headers_end_at_the_deadline(serve):
    server = serve(headers_ms=400, idle_ms=5000)
    with server.connect() as s:
        start = time.monotonic()
        got = drip(s, b"GET /echo HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 1000, 0.02)
    assert time.monotonic() - start >= 0.39
    assert statuses(got) == [408]
    assert server.count()["ran"] == 0


def test_a_dripping_body_ends_at_the_deadline(serve):
    server = serve(headers_ms=300, body_ms=600)
    for head in (b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n186a0\r\n"):
        with server.connect() as s:
            s.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\n" + head)
            start = time.monotonic()
            got = drip(s, b"x" * 1000, 0.02)
        assert time.monotonic() - start >= 0.55
        assert statuses(got) == [408]
    assert server.count()["ran"] == 0


def test_a_reader_that_takes_nothing_is_dropped(serve):
    server = serve(write_ms=400)
    with server.connect() as s:
        s.sendall(http_cases.get(b"/big?bytes=60000000"))
        for _ in range(200):
            if server.metric("lode_http_connections") == 1:  # the one that asks
                break
            time.sleep(0.05)
        else:
            pytest.fail("the stuck reader is still connected")
        assert len(read_all(s)) < 60000000


def test_a_client_that_keeps_sending_after_a_refusal_is_dropped(serve):
    server = serve(linger_ms=300)
    with server.connect() as s:
        s.sendall(b"BAD\r\n")
        with pytest.raises(OSError):
            for _ in range(2000):
                s.sendall(b"x" * 1000)
                time.sleep(0.005)


# --- load ---


def test_a_full_queue_says_503_and_the_rest_is_served(serve):
    server = serve(workers=1, queue_max=2)
    conns = [server.connect() for _ in range(20)]
    for s in conns:
        s.sendall(http_cases.get(b"/slow?ms=100"))
    replies = [read_reply(s) for s in conns]
    for s in conns:
        s.close()
    got = [r.status for r in replies]
    assert set(got) == {200, 503}
    assert 2 <= got.count(200) < 20  # what the queue holds, at the least
    assert all(r.headers["retry-after"] for r in replies if r.status == 503)
    # Inline routes need no worker.
    with server.connect() as s:
        s.sendall(http_cases.get(b"/slow?ms=300"))
        assert server.ask(http_cases.get(b"/inline")).status == 200
        assert read_reply(s).status == 200


def test_a_handler_learns_that_its_client_has_gone(serve):
    server = serve(workers=2)
    s = server.connect()
    s.sendall(http_cases.get(b"/slow?ms=20000"))
    while server.count()["ran"] == 0:
        time.sleep(0.01)
    s.close()
    deadline = time.monotonic() + PATIENCE
    while server.count()["gone"] == 0:
        assert time.monotonic() < deadline, "the handler never noticed"
        time.sleep(0.01)


def test_the_connection_cap_pauses_the_listener_and_it_resumes(serve):
    server = serve(connections_max=20)
    conns = [server.connect() for _ in range(20)]
    for s in conns:
        s.sendall(http_cases.get(b"/tiny"))
        assert read_reply(s).status == 200
    with server.connect() as extra:  # waits in the kernel's backlog
        extra.sendall(http_cases.get(b"/tiny"))
        readable, _, _ = select.select([extra], [], [], 0.3)
        assert not readable
        for s in conns[:5]:
            s.close()
        assert read_reply(extra).status == 200
    for s in conns:
        s.close()


def test_thousands_of_connections_are_served_evenly_and_small(serve):
    wanted = 3000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = serve(loops=2)
    try:
        server.ask(http_cases.get(b"/tiny"))
        handles, memory = server.handles(), server.memory_kib()
        conns = [server.connect("127.0.0.%d" % (1 + i % 200)) for i in range(wanted)]
        for s in conns:
            s.sendall(http_cases.get(b"/tiny"))
        assert all(read_reply(s).status == 200 for s in conns)
        assert server.metric("lode_http_connections") == wanted + 1
        assert (server.memory_kib() - memory) / wanted <= 16
        for s in conns:
            s.sendall(http_cases.get(b"/inline"))
        assert all(read_reply(s).status == 200 for s in conns)
        for s in conns:
            s.close()
        deadline = time.monotonic() + PATIENCE
        while server.handles() > handles:
            assert time.monotonic() < deadline, "handles leak"
            time.sleep(0.05)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_endless_chunk_line_and_a_flood_behind_a_slow_request_hold_no_memory(serve):
    server = serve(linger_ms=500)
    before = server.memory_kib()
    with server.connect() as s, server.connect() as t:
        s.sendall(http_cases.get(b"/slow?ms=1500"))
        t.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        s.setblocking(False)
        t.setblocking(False)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            for sock in (s, t):
                try:
                    sock.send(b"0" * 65536)
                except (BlockingIOError, ConnectionError):
                    pass
            time.sleep(0.001)
        assert server.memory_kib() - before < 4096


# --- stop ---


def test_a_graceful_stop_finishes_what_runs(serve):
    server = serve(grace_ms=10000)
    with server.connect() as idle, server.connect() as busy:
        busy.sendall(http_cases.get(b"/slow?ms=500"))
        while server.count()["ran"] == 0:
            time.sleep(0.01)
        server.proc.stdin.close()
        assert idle.recv(1) == b""
        reply = read_reply(busy)
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        busy.close()
        assert server.proc.wait(PATIENCE) == 0
    with pytest.raises(OSError):
        server.connect()


def test_a_stop_beyond_its_grace_cancels_what_runs(serve):
    server = serve(grace_ms=100)
    with server.connect() as s:
        s.sendall(http_cases.get(b"/slow?ms=60000"))
        while server.count()["ran"] == 0:
            time.sleep(0.01)
        server.proc.stdin.close()
        assert server.proc.wait(PATIENCE) == 0


def test_a_client_that_resets_does_no_harm(serve):
    server = serve()
    for _ in range(50):
        s = server.connect()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.sendall(http_cases.get(b"/big?bytes=5000000"))
        s.recv(10)
        s.close()
    assert server.ask(http_cases.get(b"/tiny")).status == 200
    assert server.proc.poll() is None
    assert signal.SIGPIPE not in {-(server.proc.returncode or 0)}
