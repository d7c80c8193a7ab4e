# SPDX-License-Identifier: MIT
"""Many requests in flight, by the load generator of tests/bench: every one is answered, or told to come back and counted."""
import json
import pathlib
import subprocess

import pytest

from conftest import Lode, program

LOAD = pathlib.Path(program()).parent / "tests/unit/gateway/lode_load_embed"
pytestmark = pytest.mark.skipif(not LOAD.exists(), reason="the load generator is not built")


def load(server, *args):
    done = subprocess.run([LOAD, "--url", server.url, "--json", *map(str, args)], capture_output=True, text=True, timeout=120)
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    server = Lode(tmp_path_factory.mktemp("wide") / "d", "--workers", "1088", "--bulk-requests", "1088")
    yield server
    server.stop()


@pytest.mark.parametrize("encoding", ["base64", "float", "binary"])
def test_1024_requests_wait_for_the_model_at_once_and_all_are_answered(wide, encoding):
    code, r, trouble = load(wide, "--inflight", 1024, "--texts-per-request", 1, "--tokens", 6, "--count", 1500, "--encoding", encoding)
    assert (code, trouble) == (0, "")
    assert (r["requests"], r["status"], r["bad"], r["broken"], r["dim"]) == (1500, {"200": 1500}, 0, 0, 384)
    assert r["checked"] == 24  # each 64th


def test_bulk_requests_wait_as_well_where_they_may(wide):
    code, r, trouble = load(wide, "--inflight", 128, "--texts-per-request", 9, "--tokens", 6, "--count", 160)
    assert (code, trouble, r["status"]) == (0, "", {"200": 160})


def test_refusals_are_answered_and_none_passes_unseen(tmp_path):
    server = Lode(tmp_path / "d", "--bulk-requests", "2", "--workers", "64")
    try:
        code, r, trouble = load(server, "--inflight", 64, "--texts-per-request", 16, "--tokens", 16, "--count", 100)
        assert code == 1 and "too much text" in trouble
        assert set(r["status"]) == {"200", "429"} and sum(r["status"].values()) == 100 and r["broken"] == 0
    finally:
        server.stop()


def test_no_worker_and_no_place_in_the_queue_is_503(tmp_path):
    server = Lode(tmp_path / "d", "--workers", "1")
    try:
        code, r, _ = load(server, "--inflight", 1500, "--texts-per-request", 1, "--tokens", 8, "--count", 1600)
        assert code == 1 and set(r["status"]) <= {"200", "503"} and r["status"].get("503") and r["broken"] == 0
        assert sum(r["status"].values()) == 1600
    finally:
        server.stop()
