# SPDX-License-Identifier: MIT
"""Our own routes: documents and jobs, plain search, health, keys, and errors that name the field."""
import json
import time
import urllib.request

import pytest

from conftest import Lode, run

DOCS = [
    {"id": "a/1", "title": "Sleep", "text": "Cats sleep for most of the day. They like warm places.", "source": "zoo.txt", "metadata": {"lang": "en", "year": 2020}},
    {"id": "b 2", "title": "Banks", "text": "The central bank raised its interest rate. Loans became dearer.", "metadata": {"lang": "en", "year": 2023}},
    {"id": "ç3", "title": "Brot", "text": "Brot wird aus Mehl und Wasser gebacken.", "metadata": {"lang": "de", "year": 2023}},
]


@pytest.fixture(scope="module")
def docs(lode):
    assert lode.call("PUT", "/collections/docs", {})[0] == 200
    status, reply = lode.call("POST", "/collections/docs/documents", DOCS)
    assert status == 200, reply
    job = reply["result"]
    assert job["state"] == "done" and job["done"] == 3 and job["failed"] == []
    return lode


def test_a_question_finds_the_passage_with_its_document(docs):
    status, reply = docs.call("POST", "/collections/docs/search", {"query": "why do felines nap?", "limit": 2})
    assert status == 200
    hit = reply["hits"][0]
    assert (hit["rank"], hit["document_id"], hit["title"], hit["chunk"], hit["source"]) == (1, "a/1", "Sleep", 0, "zoo.txt")
    assert hit["text"].encode()[:1] and DOCS[0]["text"].encode()[hit["start"]:hit["end"]].decode() == hit["text"]
    assert hit["metadata"] == DOCS[0]["metadata"]
    assert reply["lode"]["plan"]["method"] and reply["lode"]["plan"]["why"]


def test_filters_reach_the_documents_metadata(docs):
    body = {"query": "anything", "filter": {"must": [{"key": "lang", "match": {"value": "de"}}]}}
    assert [h["document_id"] for h in docs.call("POST", "/collections/docs/search", body)[1]["hits"]] == ["ç3"]
    body = {"query": "anything", "filter": {"must": {"key": "year", "range": {"gte": 2023}}}}
    assert {h["document_id"] for h in docs.call("POST", "/collections/docs/search", body)[1]["hits"]} == {"b 2", "ç3"}


def test_chunks_are_points_for_qdrant_clients(docs):
    status, reply = docs.call("POST", "/collections/docs/points/scroll", {"limit": 10})
    assert status == 200 and len(reply["result"]["points"]) == 3
    payload = next(p["payload"] for p in reply["result"]["points"] if p["payload"]["document_id"] == "b 2")
    assert payload["text"] == DOCS[1]["text"] and payload["title"] == "Banks" and payload["year"] == 2023


def test_a_document_comes_back_is_replaced_and_deleted(docs):
    path = "/collections/docs/documents/tmp"
    assert docs.call("POST", "/collections/docs/documents", {"id": "tmp", "text": "one"})[0] == 200
    assert docs.call("GET", path)[1]["result"]["text"] == "one"
    assert docs.call("POST", "/collections/docs/documents", {"documents": [{"id": "tmp", "text": "two"}]})[0] == 200
    assert docs.call("GET", path)[1]["result"]["text"] == "two"
    assert docs.call("DELETE", path)[0] == 200
    assert docs.call("GET", path)[0] == 404
    assert docs.call("DELETE", path)[0] == 404
    assert docs.call("GET", "/collections/docs/documents/a%2F1")[1]["result"]["title"] == "Sleep"


def test_ndjson_and_files_come_in_by_media_type(docs):
    lines = b'{"id": "n1", "text": "first line"}\n{"id": "n2", "text": "second line"}\n'
    status, reply = docs.call("POST", "/collections/docs/documents", lines, {"content-type": "application/x-ndjson"})
    assert (status, reply["result"]["done"]) == (200, 2)
    page = b"<html><head><title>T</title><script>x</script></head><body><h1>H</h1><p>Body text.</p></body></html>"
    status, reply = docs.call("POST", "/collections/docs/documents?name=page.html", page, {"content-type": "text/html"})
    assert (status, reply["result"]["state"]) == (200, "done")
    hit = docs.call("POST", "/collections/docs/search", {"query": "Body text"})[1]["hits"][0]
    assert hit["title"] == "T" and hit["heading"] == "H" and "x" not in hit["text"].split()
    status, reply = docs.call("POST", "/collections/docs/documents", b"%PDF-1.4 \x00\x01", {"content-type": "application/pdf"})
    assert status == 400 and "PDF" in reply["status"]["error"], reply


def test_an_unwaited_job_is_accepted_and_finishes(docs):
    status, reply = docs.call("POST", "/collections/docs/documents?wait=false", {"id": "later", "text": "soon"})
    assert status in (200, 202)
    path = "/jobs/" + reply["result"]["id"]
    for _ in range(200):
        if docs.call("GET", path)[1]["result"]["state"] == "done":
            break
        time.sleep(0.05)
    assert docs.call("GET", "/collections/docs/documents/later")[0] == 200


BAD = [
    ("PUT", "/collections/no.dots", {}, 400, "no.dots"),
    ("PUT", "/collections/x", {"vectors": {"size": 0, "distance": "Dot"}}, 400, "vectors.size"),
    ("PUT", "/collections/x", {"vectors": {"size": 4, "distance": "dots"}}, 400, "vectors.distance"),
    ("PUT", "/collections/x", {"vectors": {"size": 4, "distance": "Dot"}, "vektors": 1}, 400, "vektors"),
    ("GET", "/collections/none", None, 404, "none"),
    ("PUT", "/collections/none/points", {"points": []}, 404, "none"),
    ("PUT", "/collections/docs/points", {"points": [{"id": -1, "vector": [1.0]}]}, 400, "points[0].id"),
    ("PUT", "/collections/docs/points", {"points": [{"id": 1, "vector": [1.0, 2.0]}]}, 400, "points[0].vector"),
    ("PUT", "/collections/docs/points", {"points": [{"id": 1, "vector": [None] * 384}]}, 400, "points[0].vector"),
    ("PUT", "/collections/docs/points", {"points": [{"id": 1, "vector": [0.0] * 384}]}, 400, "points[0].vector"),
    ("PUT", "/collections/docs/points", {"points": [{"id": 1, "vector": [1e39] * 384}]}, 400, "points[0].vector"),
    ("PUT", "/collections/docs/points", {"points": [{"id": 1, "vector": [1.0] * 384, "payload": [1]}]}, 400, "points[0].payload"),
    ("PUT", "/collections/docs/points", {}, 400, "points"),
    ("PUT", "/collections/docs/points", b'{"points": [}', 400, "JSON"),
    ("POST", "/collections/docs/points/query", {"query": [1.0, 2.0]}, 400, "2"),
    ("POST", "/collections/docs/points/query", {"query": {"fusion": "rrf"}}, 400, "query.fusion"),
    ("POST", "/collections/docs/points/query", {"query": 5, "limit": 0}, 400, "limit"),
    ("POST", "/collections/docs/points/query", {"query": 5, "limit": 100000}, 400, "limit"),
    ("POST", "/collections/docs/points/query", {"query": 5, "filter": {"must": [{"key": "a", "matches": 1}]}}, 400, "matches"),
    ("POST", "/collections/docs/points/scroll", {"offset": True}, 400, "offset"),
    ("GET", "/collections/docs/points/abc", None, 400, "abc"),
    ("GET", "/collections/docs/points/77777", None, 404, "77777"),
    ("POST", "/collections/docs/documents", {"title": "no text"}, 400, "text"),
    ("POST", "/collections/docs/documents", [{"text": "x", "metadata": {"chunk": 1}}], 400, "documents[0].metadata.chunk"),
    ("POST", "/collections/docs/documents", [{"text": "x"}, {"text": 5}], 400, "documents[1].text"),
    ("POST", "/collections/docs/search", {"query": ""}, 400, "query"),
    ("POST", "/collections/docs/search", {"query": "x", "mode": "fast"}, 400, "mode"),
    ("GET", "/jobs/00000000-0000-4000-8000-000000000000", None, 404, "00000000"),
    ("POST", "/collections/docs/documents?id=x", {"text": "x"}, 400, "'id'"),
    ("POST", "/collections/docs/documents?wait=maybe", {"text": "x"}, 400, "wait"),
    ("PUT", "/collections/docs/points?wait=maybe", {"points": []}, 400, "wait"),
    ("PUT", "/collections/docs/points?bogus=1", {"points": []}, 400, "bogus"),
    ("GET", "/nothing", None, 404, ""),
    ("POST", "/collections", {}, 405, ""),
]


@pytest.mark.parametrize("method, path, body, status, names", BAD)
def test_a_bad_request_is_refused_by_name(docs, method, path, body, status, names):
    got, reply = docs.call(method, path, body)
    assert got == status, reply
    assert names in reply["status"]["error"]


def test_health_metrics_and_the_page(docs):
    for path in ("/healthz", "/livez", "/readyz"):
        assert docs.call("GET", path)[0] == 200
    text = docs.call("GET", "/metrics")[1].decode()
    assert "lode_store_file_bytes" in text and "# TYPE" in text
    assert set(docs.call("GET", "/")[1]) == {"title", "version", "commit"}
    page = urllib.request.urlopen(urllib.request.Request(docs.url + "/", headers={"accept": "text/html"}))
    assert page.headers["content-type"].startswith("text/html") and b"<title>lode</title>" in page.read()
    for name in ("app.js", "style.css"):
        assert docs.call("GET", "/web/" + name)[0] == 200
    assert docs.call("GET", "/web/../config.c")[0] in (400, 404)
    assert docs.call("GET", "/info")[1]["model"]["name"] == "all-MiniLM-L6-v2"


def test_keys_decide_who_may_do_what(tmp_path):
    data = tmp_path / "d"
    server = Lode(data)
    try:
        assert server.call("PUT", "/collections/k", {"vectors": {"size": 2, "distance": "Dot"}})[0] == 200
        keys = {role: json.loads(run("keys", "create", "--name", "test-" + role, "--role", role, "--data", data, "--json").stdout)["key"] for role in ("read", "write", "admin")}
        count, put, drop = (("POST", "/collections/k/points/count", {}), ("PUT", "/collections/k/points", {"points": [{"id": 1, "vector": [1.0, 0.5]}]}),
                            ("DELETE", "/collections/k", None))
        assert server.call(*count)[0] == 401
        assert server.call(*count, {"api-key": keys["read"][:-1] + "x"})[0] == 401
        assert server.call("GET", "/healthz")[0] == 200
        assert server.call(*count, {"api-key": keys["read"]})[0] == 200
        assert server.call(*put, {"api-key": keys["read"]})[0] == 403
        assert server.call(*put, {"authorization": "Bearer " + keys["write"]})[0] == 200
        assert server.call(*drop, {"api-key": keys["write"]})[0] == 403
        assert server.call(*drop, {"api-key": keys["admin"]})[0] == 200
        stored = b"".join(p.read_bytes() for p in data.rglob("*") if p.is_file())
        assert not any(key.encode() in stored for key in keys.values())
    finally:
        server.stop()


def test_other_addresses_are_refused_without_a_key(tmp_path):
    done = run("serve", "--data", tmp_path / "d", "--host", "0.0.0.0", "--port", "0", check=False)
    assert done.returncode == 3 and "keys create" in done.stderr


def test_memory_stays_bounded_and_restart_answers(docs):
    before = docs.call("POST", "/collections/docs/search", {"query": "bread"})[1]["hits"]
    docs.restart()
    assert docs.call("POST", "/collections/docs/search", {"query": "bread"})[1]["hits"] == before
    assert docs.memory_mb() < 600
