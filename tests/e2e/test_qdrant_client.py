# SPDX-License-Identifier: MIT
"""The real qdrant-client, unmodified, against lode."""
import uuid

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

SIZE = 384
COUNT = 10_000


@pytest.fixture(scope="module")
def client(lode):
    return QdrantClient(url=lode.url, cloud_inference=True, timeout=60)


@pytest.fixture(scope="module")
def vectors():
    x = np.random.default_rng(7).standard_normal((COUNT, SIZE), dtype=np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def filled(client, vectors):
    client.create_collection("many", models.VectorParams(size=SIZE, distance=models.Distance.COSINE))
    client.upload_collection("many", vectors=vectors, payload=[{"n": i, "even": i % 2 == 0, "tag": "t%d" % (i % 5)} for i in range(COUNT)],
                             ids=list(range(COUNT)), batch_size=1000, wait=True)
    return "many"


def test_the_server_says_what_qdrant_says(client):
    info = client.info()
    assert info.title == "qdrant - vector search engine"
    assert info.version.startswith("1.")


def test_a_collection_is_created_listed_described_and_deleted(client):
    assert not client.collection_exists("short")
    assert client.create_collection("short", models.VectorParams(size=4, distance=models.Distance.DOT))
    assert client.collection_exists("short")
    assert "short" in [c.name for c in client.get_collections().collections]
    info = client.get_collection("short")
    assert info.config.params.vectors.size == 4
    assert info.config.params.vectors.distance == models.Distance.DOT
    assert info.points_count == 0 and info.status == models.CollectionStatus.GREEN
    with pytest.raises(UnexpectedResponse) as twice:
        client.create_collection("short", models.VectorParams(size=4, distance=models.Distance.DOT))
    assert twice.value.status_code == 409
    assert client.delete_collection("short")
    assert not client.collection_exists("short")


def test_ten_thousand_points_are_counted_and_found(client, filled, vectors):
    assert client.count(filled).count == COUNT
    truth = np.argsort(-(vectors[:20] @ vectors.T), axis=1, kind="stable")[:, :10]
    for i in range(20):
        hits = client.query_points(filled, query=vectors[i], limit=10, with_payload=True).points
        assert [h.id for h in hits] == truth[i].tolist()
        assert hits[0].payload["n"] == i
        assert hits[0].score == pytest.approx(1.0, abs=1e-5)


def test_a_query_by_id_leaves_the_point_itself_out(client, filled, vectors):
    hits = client.query_points(filled, query=17, limit=5).points
    order = np.argsort(-(vectors[17] @ vectors.T))
    assert [h.id for h in hits] == [int(i) for i in order if i != 17][:5]


def test_filters_restrict_search_count_and_scroll(client, filled, vectors):
    condition = models.Filter(must=[models.FieldCondition(key="tag", match=models.MatchValue(value="t3"))])
    assert client.count(filled, count_filter=condition).count == COUNT // 5
    hits = client.query_points(filled, query=vectors[0], query_filter=condition, limit=10, with_payload=True).points
    truth = [int(i) for i in np.argsort(-(vectors[0] @ vectors.T)) if i % 5 == 3][:10]
    assert [h.id for h in hits] == truth
    records, _ = client.scroll(filled, scroll_filter=condition, limit=7)
    assert [r.id for r in records] == [3 + 5 * i for i in range(7)]


def test_scroll_walks_all_points_once(client, filled):
    seen, offset = [], None
    while True:
        records, offset = client.scroll(filled, limit=999, offset=offset, with_payload=False)
        seen += [r.id for r in records]
        if offset is None:
            break
    assert seen == list(range(COUNT))


def test_retrieve_gives_payload_and_vector_back(client, filled, vectors):
    records = client.retrieve(filled, ids=[5, 999_999, 6], with_vectors=True, with_payload=["n"])
    assert [r.id for r in records] == [5, 6]
    assert records[0].payload == {"n": 5}
    assert np.allclose(records[0].vector, vectors[5], atol=1e-6)


def test_a_threshold_cuts_the_hits(client, filled, vectors):
    hits = client.query_points(filled, query=vectors[3], limit=10, score_threshold=0.9).points
    assert [h.id for h in hits] == [3]


def test_uuid_and_large_ids_survive(client):
    client.create_collection("ids", models.VectorParams(size=2, distance=models.Distance.COSINE))
    one = str(uuid.uuid4())
    big = 2**64 - 1
    client.upsert("ids", [models.PointStruct(id=one, vector=[1, 0], payload={"k": 9007199254740993}),
                          models.PointStruct(id=big, vector=[0, 2.0])], wait=True)
    records = client.retrieve("ids", ids=[one, big], with_vectors=True)
    assert {r.id for r in records} == {one, big}
    assert next(r for r in records if r.id == one).payload == {"k": 9007199254740993}
    assert next(r for r in records if r.id == big).vector == [0.0, 1.0]
    client.upsert("ids", [models.PointStruct(id=one, vector=[0, 1], payload={})], wait=True)
    assert client.retrieve("ids", ids=[one], with_vectors=True)[0].vector == [0.0, 1.0]
    assert client.count("ids").count == 2


def test_delete_by_ids_and_by_filter(client):
    client.create_collection("gone", models.VectorParams(size=2, distance=models.Distance.DOT))
    client.upsert("gone", [models.PointStruct(id=i, vector=[i, 1], payload={"g": i % 2}) for i in range(10)], wait=True)
    client.delete("gone", models.PointIdsList(points=[0, 2]), wait=True)
    assert client.count("gone").count == 8
    client.delete("gone", models.FilterSelector(filter=models.Filter(must=[models.FieldCondition(key="g", match=models.MatchValue(value=1))])), wait=True)
    assert {r.id for r in client.scroll("gone", limit=100)[0]} == {4, 6, 8}


def test_texts_are_embedded_in_the_server(client):
    client.create_collection("texts", models.VectorParams(size=SIZE, distance=models.Distance.COSINE))
    model = "sentence-transformers/all-MiniLM-L6-v2"
    lines = ["The cat sleeps on the warm roof.", "Interest rates rose by half a percent.", "A kitten naps in the sun."]
    client.upsert("texts", [models.PointStruct(id=i, vector=models.Document(text=t, model=model), payload={"t": t}) for i, t in enumerate(lines)], wait=True)
    hits = client.query_points("texts", query=models.Document(text="sleeping cats", model=model), limit=3, with_payload=True).points
    assert {hits[0].id, hits[1].id} == {0, 2}
    with pytest.raises(UnexpectedResponse) as wrong:
        client.query_points("texts", query=models.Document(text="x", model="no/such-model"))
    assert wrong.value.status_code == 400 and b"no/such-model" in wrong.value.content


def test_euclid_scores_are_distances_nearest_first(client):
    client.create_collection("plane", models.VectorParams(size=2, distance=models.Distance.EUCLID))
    client.upsert("plane", [models.PointStruct(id=1, vector=[0, 0]), models.PointStruct(id=2, vector=[3, 4]), models.PointStruct(id=3, vector=[6, 8])], wait=True)
    hits = client.query_points("plane", query=[0.0, 0.0], limit=3).points
    assert [(h.id, h.score) for h in hits] == [(1, 0.0), (2, 5.0), (3, 10.0)]
    near = client.query_points("plane", query=[0.0, 0.0], limit=3, score_threshold=5.5).points
    assert [h.id for h in near] == [1, 2]


def test_everything_is_there_after_a_kill(lode, client, filled):
    import signal
    lode.restart(signal.SIGKILL)
    assert client.count(filled).count == COUNT
    assert client.query_points(filled, query=123, limit=1).points
