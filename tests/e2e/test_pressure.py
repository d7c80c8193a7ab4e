# SPDX-License-Identifier: MIT
"""The server under pressure: joined callers, full lanes, deadlines, clients that leave, and the metrics of all that."""
import base64
import concurrent.futures
import http.client
import json
import socket
import threading
import time

import numpy as np
import pytest

from conftest import PATIENCE, Lode

WORDS = "the server keeps old rows while a backup runs and which index is used when two tables are joined by date".split()


def long_texts(count, seed):
    """Texts of some 200 tokens, none twice: nothing a cache could answer."""
    return [" ".join(WORDS[(seed + 7 * i + k * (i + 3)) % len(WORDS)] for k in range(190)) + " %d %d" % (seed, i) for i in range(count)]


def metric(server, name, *labels):
    for line in server.call("GET", "/metrics")[1].decode().splitlines():
        if line.startswith(name) and all(label in line for label in labels):
            return float(line.split()[-1])
    raise AssertionError(name)


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def embeddings_request(server, texts):
    """A raw connection with the request sent and no reply read."""
    body = json.dumps({"model": "all-MiniLM-L6-v2", "input": texts}).encode()
    s = socket.create_connection(("127.0.0.1", server.port))
    s.sendall(b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return s


def ask(server, path, body, method="POST"):
    """(status, headers, parsed body)"""
    c = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    c.request(method, path, json.dumps(body), {"content-type": "application/json"})
    reply = c.getresponse()
    status, headers, text = reply.status, dict((k.lower(), v) for k, v in reply.getheaders()), reply.read()
    c.close()
    return status, headers, json.loads(text)


@pytest.fixture(scope="module")
def tight(tmp_path_factory):
    """One bulk request at a time, no cache."""
    server = Lode(tmp_path_factory.mktemp("tight") / "d", "--bulk-requests", "1", "--embed-cache", "0", "--dtype", "f32")
    assert server.call("PUT", "/collections/docs", {})[0] == 200
    yield server
    server.stop()


def test_a_full_lane_answers_429_with_retry_after_and_queries_go_on(tight):
    busy = embeddings_request(tight, long_texts(2000, 1))
    wait_for("the bulk request", lambda: metric(tight, "lode_encoder_waiting_tokens", 'lane="ingest"') > 0)
    body = {"model": "all-MiniLM-L6-v2", "input": long_texts(20, 2)}
    status, headers, reply = ask(tight, "/v1/embeddings", body)
    assert status == 429
    assert int(headers["retry-after"]) >= 1
    assert reply["error"]["type"] == "rate_limit_error" and reply["error"]["code"] == "busy"
    points = {"points": [{"id": 1, "vector": {"text": "one text"}, "payload": {}}]}
    status, headers, reply = ask(tight, "/collections/docs/points", points, "PUT")
    assert status == 429 and int(headers["retry-after"]) >= 1 and reply["status"]["code"] == "busy"
    status, _, _ = ask(tight, "/v1/embeddings", {"model": "all-MiniLM-L6-v2", "input": "a short question"})
    assert status == 200
    assert metric(tight, "lode_encoder_refused_total", 'lane="ingest"', 'reason="full"') == 2
    assert metric(tight, "lode_encoder_refused_total", 'lane="query"', 'reason="full"') == 0
    busy.close()
    wait_for("the lane to be free", lambda: metric(tight, "lode_encoder_waiting_tokens", 'lane="ingest"') == 0)


def test_the_work_of_a_client_that_has_gone_is_dropped(tight):
    before = metric(tight, "lode_encoder_canceled_total", 'lane="ingest"')
    gone = embeddings_request(tight, long_texts(2000, 3))
    wait_for("the bulk request", lambda: metric(tight, "lode_encoder_waiting_tokens", 'lane="ingest"') > 0)
    done = metric(tight, "lode_encoder_run_tokens_sum", 'lane="ingest"')
    gone.close()
    wait_for("the cancel", lambda: metric(tight, "lode_encoder_canceled_total", 'lane="ingest"') == before + 1)
    assert metric(tight, "lode_encoder_waiting_tokens", 'lane="ingest"') == 0
    assert metric(tight, "lode_encoder_run_tokens_sum", 'lane="ingest"') - done < 200000  # of 400,000
    wait_for("room again", lambda: ask(tight, "/v1/embeddings", {"model": "all-MiniLM-L6-v2", "input": long_texts(9, 4)})[0] == 200)


def test_a_request_that_takes_too_long_is_504(tight):
    points = {"points": [{"id": i, "vector": {"text": t}, "payload": {}} for i, t in enumerate(long_texts(2000, 5))]}
    status, _, reply = ask(tight, "/collections/docs/points?timeout=1", points, "PUT")
    assert status == 504 and reply["status"]["code"] == "timeout" and "deadline" in reply["status"]["error"]
    assert metric(tight, "lode_encoder_refused_total", 'lane="ingest"', 'reason="deadline"') == 1
    assert tight.call("GET", "/collections/docs")[1]["result"]["points_count"] == 0


@pytest.mark.parametrize("timeout", ["0", "-1", "1.5", "soon", "86401", "99999999999999999999"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(tight, timeout):
    status, _, reply = ask(tight, "/collections/docs/search?timeout=" + timeout, {"query": "rows"})
    assert status == 400 and reply["status"]["error"].startswith("timeout:")


def test_the_servers_own_bound_holds_without_a_parameter(tmp_path):
    server = Lode(tmp_path / "d", "--request-timeout", "1", "--embed-cache", "0", "--dtype", "f32")
    try:
        status, _, reply = ask(server, "/v1/embeddings", {"model": "all-MiniLM-L6-v2", "input": long_texts(2000, 6)})
        assert status == 504 and reply["error"]["code"] == "timeout" and reply["error"]["type"] == "server_error"
        assert ask(server, "/v1/embeddings", {"model": "all-MiniLM-L6-v2", "input": "a short question"})[0] == 200
    finally:
        server.stop()


def test_joined_callers_get_the_vectors_they_get_alone(tight):
    texts = [" ".join(WORDS[: 1 + i % len(WORDS)]) + " %d" % i for i in range(64)]

    def vector(text):
        status, _, reply = ask(tight, "/v1/embeddings", {"model": "all-MiniLM-L6-v2", "input": text, "encoding_format": "base64"})
        assert status == 200
        return base64.b64decode(reply["data"][0]["embedding"])

    alone = [vector(t) for t in texts]
    gate = threading.Barrier(16)

    def storm(first):
        gate.wait()
        return [(i, vector(texts[i])) for i in range(first, 64, 16)]

    runs = metric(tight, "lode_encoder_run_seconds_count", 'lane="query"')
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        got = dict(pair for pairs in pool.map(storm, range(16)) for pair in pairs)
    assert metric(tight, "lode_encoder_run_seconds_count", 'lane="query"') - runs < 64, "no callers were joined"
    for i in range(64):
        assert got[i] == alone[i], np.abs(np.frombuffer(got[i], "f4") - np.frombuffer(alone[i], "f4")).max()
