# SPDX-License-Identifier: MIT
"""Texts that were embedded before: the same bytes come back, the metrics tell, a restart keeps them, a delete does
not, and documents share vectors with their copies."""
import json
import signal
import time
import urllib.request

import pytest

from conftest import Lode, model_dir, run

WAIT = 30  # seconds; new vectors are written within three


def metric(server, name, labels=""):
    wanted = name + ("{" + labels + "}" if labels else "") + " "
    text = urllib.request.urlopen(server.url + "/metrics").read().decode()
    values = [float(line[len(wanted):]) for line in text.splitlines() if line.startswith(wanted)]
    return values[0] if values else 0.0


def hits(server, where="memory"):
    return metric(server, "lode_embed_cache_hits_total", 'cache="api",where="%s"' % where)


def misses(server):
    return metric(server, "lode_embed_cache_misses_total", 'cache="api"')


def embed(server, *texts):
    """The raw bytes of the reply."""
    body = json.dumps({"model": "all-MiniLM-L6-v2", "input": list(texts)}).encode()
    request = urllib.request.Request(server.url + "/v1/embeddings", data=body,
                                     headers={"content-type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        return reply.read()


def saved(server, count):
    """Waits until so many vectors are in the data directory."""
    deadline = time.monotonic() + WAIT
    while metric(server, "lode_embed_cache_entries", 'cache="api",where="store"') < count:
        assert time.monotonic() < deadline, "vectors were not saved"
        time.sleep(0.05)


@pytest.fixture
def server(tmp_path):
    lode = Lode(tmp_path / "d")
    yield lode
    lode.stop()


def test_the_second_reply_is_the_first_byte_by_byte(server):
    first = embed(server, "What removes old row versions?", "Another text")
    assert (hits(server), misses(server)) == (0, 2)
    assert embed(server, "What removes old row versions?", "Another text") == first
    assert (hits(server), misses(server)) == (2, 2)
    mixed = json.loads(embed(server, "A third text", "Another text"))
    assert mixed["data"][1]["embedding"] == json.loads(first)["data"][1]["embedding"]
    assert (hits(server), misses(server)) == (3, 3)
    info = server.call("GET", "/info")[1]["embed_cache"]
    assert (info["hits"], info["misses"], info["entries"]) == (3, 3, 3)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_keeps_them(server, how):
    first = embed(server, "text %d" % 1, "text %d" % 2)
    if how == signal.SIGKILL:
        saved(server, 2)
    server.restart(how)
    assert embed(server, "text 1", "text 2") == first
    assert (hits(server, "store"), misses(server)) == (2, 0)
    assert embed(server, "text 1", "text 2") == first
    assert (hits(server, "memory"), hits(server, "store")) == (2, 2)
    server.stop()
    run("check", "--data", server.data)


def test_a_search_remembers_its_question(server):
    server.call("PUT", "/collections/c", {"vectors": {"size": 384, "distance": "Cosine"}})
    server.call("PUT", "/collections/c/points", {"points": [
        {"id": 1, "vector": {"text": "Vacuum removes dead rows.", "model": "all-MiniLM-L6-v2"}}]})
    query = {"query": {"text": "what removes rows", "model": "all-MiniLM-L6-v2"}, "limit": 1}
    first = server.call("POST", "/collections/c/points/query", query)[1]["result"]
    before = hits(server)
    assert server.call("POST", "/collections/c/points/query", query)[1]["result"] == first
    assert hits(server) == before + 1


def test_texts_of_points_do_not_reach_the_disk(server):
    server.call("PUT", "/collections/c", {"vectors": {"size": 384, "distance": "Cosine"}})
    point = {"points": [{"id": 1, "vector": {"text": "a secret", "model": "all-MiniLM-L6-v2"}}]}
    assert server.call("PUT", "/collections/c/points", point)[0] == 200
    assert server.call("PUT", "/collections/c/points", point)[0] == 200
    assert hits(server) == 1
    embed(server, "a question")
    saved(server, 1)
    server.restart()
    assert server.call("PUT", "/collections/c/points", point)[0] == 200
    assert (hits(server), hits(server, "store"), misses(server)) == (0, 0, 1)


def test_documents_share_vectors_with_their_copies_until_they_are_deleted(server):
    text = "The write-ahead log records every change before the data files have it. " * 3

    def put(id):
        before = metric(server, "lode_encoder_texts_total")
        status, reply = server.call("POST", "/collections/docs/documents?wait=true",
                                    {"id": id, "title": "Log", "text": text})
        assert status in (200, 202), reply
        return metric(server, "lode_encoder_texts_total") - before

    server.call("PUT", "/collections/docs", {"vectors": {"size": 384, "distance": "Cosine"}})
    assert put("a") == 1
    assert put("b") == 0
    assert metric(server, "lode_embed_cache_hits_total", 'cache="ingest",where="store"') == 1
    for id in "ab":
        assert server.call("DELETE", "/collections/docs/documents/" + id)[0] == 200
    assert metric(server, "lode_embed_cache_entries", 'cache="ingest",where="store"') == 0
    assert put("a") == 1


def test_nothing_is_remembered_when_it_is_switched_off(tmp_path):
    lode = Lode(tmp_path / "d")
    embed(lode, "text")
    saved(lode, 1)
    lode.stop()
    lode = Lode(tmp_path / "d", "--embed-cache", "0")
    try:
        assert lode.call("GET", "/info")[1]["embed_cache"]["stored_entries"] == 0
        before = metric(lode, "lode_encoder_texts_total")
        embed(lode, "text")
        embed(lode, "text")
        assert metric(lode, "lode_encoder_texts_total") == before + 2
    finally:
        lode.stop()


def test_number_types_do_not_share_vectors(tmp_path):
    replies = {}
    for dtype, where in (("f32", None), ("int8", None), ("f32", "store"), ("int8", "store")):
        lode = Lode(tmp_path / "d", "--dtype", dtype)
        try:
            reply = embed(lode, "the same text")
            assert misses(lode) == (where is None)
            assert replies.setdefault(dtype, reply) == reply
        finally:
            lode.stop()
    assert replies["f32"] != replies["int8"]


def test_lode_index_reports_what_it_did_not_embed(tmp_path):
    data, folder = tmp_path / "d", tmp_path / "in"
    (folder / "x").mkdir(parents=True)
    (folder / "y").mkdir()
    (folder / "x/a.txt").write_text("Some words about the weather.")

    def index(*args):
        return run("index", "--data", data, "--model", model_dir(), *args, folder).stdout

    first = json.loads(index("--json"))
    assert (first["chunks"], first["cached"]) == (1, 0)
    (folder / "y/a.txt").write_text("Some words about the weather.")
    second = json.loads(index("--json"))
    assert (second["chunks"], second["cached"]) == (1, 1)
    (folder / "y/a.txt").unlink()
    (folder / "y/b").mkdir()
    (folder / "y/b/a.txt").write_text("Some words about the weather.")
    said = index()
    assert "1 passages have a text that was embedded before" in said
    (folder / "x/b").mkdir()
    (folder / "x/b/a.txt").write_text("Some words about the weather.")
    off = json.loads(index("--json", "--embed-cache", "0"))
    assert (off["chunks"], off["cached"]) == (1, 0)
    run("check", "--data", data)
