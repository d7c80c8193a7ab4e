# SPDX-License-Identifier: MIT
"""Faults seen from outside: flipped bits, damaged segments, a full disk, other processes. Every random choice comes from SEED.

LODE_FAULT_TRIES sets how many stored values are damaged (default 30; 300 before a release).
"""
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import threading
import time

import lmdb
import numpy as np
import pytest

from conftest import Lode, model_dir, program, run

SEED = int(os.environ.get("LODE_FAULT_SEED", "11"))
TRIES = int(os.environ.get("LODE_FAULT_TRIES", "30"))
SIZE = 16


def points(first, count, seed):
    x = np.random.default_rng(seed).standard_normal((count, SIZE)).round(4)
    return [{"id": first + i, "vector": x[i].tolist(), "payload": {"n": first + i}} for i in range(count)]


def put(server, name, rows):
    for i in range(0, len(rows), 5000):
        status, reply = server.call("PUT", f"/collections/{name}/points", {"points": rows[i:i + 5000]})
        assert status == 200, reply


def make(server, name, distance="Dot", size=SIZE):
    assert server.call("PUT", f"/collections/{name}", {"vectors": {"size": size, "distance": distance}})[0] == 200


QUESTIONS = [
    ("POST", "/collections/p/points/query", {"query": [0.1 * i for i in range(SIZE)], "limit": 5, "with_payload": True}),
    ("POST", "/collections/p/points/scroll", {"limit": 200, "with_payload": True, "with_vector": True}),
    ("POST", "/collections/p/points/count", {}),
    ("POST", "/collections/t/points/scroll", {"limit": 50}),
    ("POST", "/collections/t/search", {"query": "warm places for cats", "limit": 3}),
    ("GET", "/collections/t/documents/d1", None),
    ("GET", "/collections", None),
]


def answer(server, question):
    status, reply = server.call(*question)
    if isinstance(reply, dict):
        for volatile in ("time", "lode"):
            reply.pop(volatile, None)
    return status, reply


def damage(data, rng):
    """Flips one bit of one stored value; says where."""
    env = lmdb.open(str(data / "data.mdb"), subdir=False, max_dbs=64, lock=False, map_size=1 << 30)
    with env.begin() as txn:
        tables = [k for k, _ in txn.cursor()]
    while True:
        table = rng.choice(tables)
        db = env.open_db(table, create=False)
        with env.begin(db=db, write=True) as txn:
            rows = [(k, bytes(v)) for k, v in txn.cursor()]
            if not rows:
                continue
            key, value = rng.choice(rows)
            if not value:
                continue
            bit = rng.randrange(len(value) * 8)
            broken = bytearray(value)
            broken[bit // 8] ^= 1 << (bit % 8)
            txn.put(key, bytes(broken))
        env.close()
        return f"{table.decode()} key {key.hex()} bit {bit}"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    data = tmp_path_factory.mktemp("good") / "d"
    server = Lode(data)
    make(server, "p")
    put(server, "p", points(0, 150, 1))
    server.call("POST", "/collections/p/points/delete", {"points": [3, 70]})
    server.call("PUT", "/collections/t", {})
    texts = [{"id": f"d{i}", "text": t, "title": f"T{i}"} for i, t in enumerate(["Cats like warm places.", "Rates rose again. " * 90, "Bread needs flour."])]
    assert server.call("POST", "/collections/t/documents", texts)[0] == 200
    answers = [answer(server, q) for q in QUESTIONS]
    assert all(status == 200 for status, _ in answers), answers
    server.stop()
    return data, answers


def test_a_flipped_bit_is_never_a_wrong_answer(good, tmp_path):
    data, answers = good
    rng = random.Random(SEED)
    seen = 0
    for n in range(TRIES):
        copy = tmp_path / f"c{n}"
        shutil.copytree(data, copy)
        where = damage(copy, rng)
        check = run("check", "--data", copy, "--json", check=False)
        try:
            server = Lode(copy)
        except RuntimeError as refused:  # damage to what a start must read: refused, naming the table
            assert where.split()[0] in str(refused), (where, str(refused))
            seen += 1
            continue
        for question, (_, expected) in zip(QUESTIONS, answers):
            status, reply = answer(server, question)
            if status == 200:
                assert reply == expected, (where, question)
            else:
                assert status == 500 and reply["status"]["error"], (where, question, reply)
                seen += 1
        server.stop()
        shutil.rmtree(copy)
        assert check.returncode == 3 and json.loads(check.stdout)["problems"] >= 1, (where, check.stdout, check.stderr)
    assert seen > 0


@pytest.fixture
def indexed(tmp_path):
    """12,000 points with a published segment."""
    server = Lode(tmp_path / "d")
    make(server, "big")
    put(server, "big", points(0, 12_000, 2))
    deadline = time.monotonic() + 120
    while server.call("GET", "/collections/big")[1]["result"]["indexed_vectors_count"] < 12_000:
        assert time.monotonic() < deadline, "no segment was built"
        time.sleep(0.1)
    yield server
    server.stop()


def ask(server, exact=False):
    body = {"query": [0.3] * SIZE, "limit": 10, "params": {"exact": exact}}
    status, reply = server.call("POST", "/collections/big/points/query", body)
    assert status == 200, reply
    return [(p["id"], p["score"]) for p in reply["result"]["points"]]


@pytest.mark.parametrize("harm", ["delete", "flip", "truncate"])
def test_a_lost_or_damaged_segment_answers_exactly_and_is_rebuilt(indexed, harm):
    truth = ask(indexed, exact=True)
    indexed.stop()
    (segment,) = pathlib.Path(indexed.data, "index").glob("*.seg")
    if harm == "delete":
        segment.unlink()
    else:
        raw = bytearray(segment.read_bytes())
        raw[len(raw) // 3] ^= 16
        segment.write_bytes(raw if harm == "flip" else raw[: len(raw) // 2])
    indexed.start()
    assert ask(indexed, exact=True) == truth
    deadline = time.monotonic() + 120
    while indexed.call("GET", "/collections/big")[1]["result"]["indexed_vectors_count"] < 12_000:
        assert ask(indexed) == truth
        assert time.monotonic() < deadline, "not rebuilt"
        time.sleep(0.1)
    assert ask(indexed, exact=True) == truth


def test_processes_share_a_directory_and_compact_waits_for_them(tmp_path):
    server = Lode(tmp_path / "d")
    try:
        make(server, "p")
        folder = tmp_path / "docs"
        folder.mkdir()
        for i in range(40):
            (folder / f"{i}.txt").write_text(f"Document number {i} is about topic {i}.")
        errors = []

        def write():
            for i in range(20):
                status, reply = server.call("PUT", "/collections/p/points", {"points": points(i * 50, 50, i)})
                if status != 200:
                    errors.append(reply)

        thread = threading.Thread(target=write)
        thread.start()
        run("index", folder, "--data", server.data, "--model", model_dir())
        refused = run("compact", "--data", server.data, check=False)
        thread.join()
        assert not errors
        assert refused.returncode == 3 and refused.stderr.strip(), refused.stderr
        assert server.call("POST", "/collections/p/points/count", {})[1]["result"]["count"] == 1000
        hits = server.call("POST", "/collections/default/search", {"query": "topic 17", "limit": 3})[1]["hits"]
        assert any(h["document_id"].endswith("17.txt") for h in hits)
    finally:
        server.stop()
    run("compact", "--data", server.data)
    assert json.loads(run("check", "--data", server.data, "--json").stdout)["problems"] == 0


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m", "lode-test", place], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disk_is_507_while_reads_and_deletes_go_on(small_disk):
    server = Lode(small_disk / "d")
    try:
        make(server, "p")
        put(server, "p", points(0, 500, 4))
        before = server.call(*QUESTIONS[0])[1]["result"]
        ballast = small_disk / "ballast"
        with open(ballast, "wb") as f:
            f.write(bytes(70 << 20))
        status, reply = server.call("PUT", "/collections/p/points", {"points": points(1000, 10, 5)})
        assert status == 507, reply
        assert server.call(*QUESTIONS[0])[1]["result"] == before
        assert server.call("POST", "/collections/p/points/delete", {"points": [499]})[0] == 200
        assert server.call("POST", "/collections/p/points/count", {})[1]["result"]["count"] == 499
        ballast.unlink()
        assert server.call("PUT", "/collections/p/points", {"points": points(1000, 10, 5)})[0] == 200
        assert server.proc.poll() is None
    finally:
        server.stop()
    assert json.loads(run("check", "--data", server.data, "--json").stdout)["problems"] == 0


def test_an_interrupted_index_goes_on_where_it_stopped(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for i in range(300):
        (folder / f"{i:03}.txt").write_text(f"Text number {i}. " * 60)
    data = tmp_path / "d"
    proc = subprocess.Popen([program(), "index", str(folder), "--data", str(data), "--model", model_dir(), "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    time.sleep(1.0)
    proc.send_signal(signal.SIGKILL)
    proc.wait()
    proc.stderr.close()
    run("index", folder, "--data", data, "--model", model_dir())
    assert json.loads(run("check", "--data", data, "--json").stdout)["problems"] == 0
    listed = run("documents", "list", "--data", data, "--json", "--limit", "1000").stdout
    assert len([line for line in listed.splitlines() if line.strip()]) >= 300 or listed.count('"id"') >= 300
