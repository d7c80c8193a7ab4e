# SPDX-License-Identifier: MIT
"""/v1/embeddings in three forms: numbers, base64, and bytes for who accepts application/octet-stream. All hold the same floats."""
import base64
import json
import struct
import urllib.error
import urllib.request

import pytest

TEXTS = ["A hot backup copies the data while the server keeps running.", "Vacuum removes dead rows from tables.", "\u00fcber \u4f60\u597d",
         "word " * 400]  # the last is longer than the window
DIM = 384


def post(lode, body, accept=None, method="POST"):
    headers = {"content-type": "application/json"} | ({"accept": accept} if accept else {})
    request = urllib.request.Request(lode.url + "/v1/embeddings", data=json.dumps(body).encode(), headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return reply.headers, reply.read()


def request_of(texts, **more):
    return {"model": "all-MiniLM-L6-v2", "input": texts, **more}


@pytest.fixture(scope="module")
def binary(lode):
    return post(lode, request_of(TEXTS), "application/octet-stream")


def test_bytes_are_rows_of_little_endian_floats_and_headers_tell_the_rest(lode, binary):
    headers, body = binary
    plain = json.loads(post(lode, request_of(TEXTS))[1])
    assert headers["content-type"] == "application/octet-stream"
    assert (headers["x-lode-rows"], headers["x-lode-dim"]) == ("4", str(DIM))
    assert headers["x-lode-model"] == plain["model"] == "all-MiniLM-L6-v2"
    assert headers["x-lode-dtype"] == plain["lode"]["dtype"]
    assert headers["x-lode-tokens"] == str(plain["usage"]["total_tokens"])
    assert (headers["x-lode-truncated"], plain["lode"]["truncated"]) == ("1", [3])
    assert len(body) == 4 * DIM * len(TEXTS)
    rows = struct.unpack("<%df" % (DIM * len(TEXTS)), body)
    for i, item in enumerate(plain["data"]):
        assert struct.pack("<%df" % DIM, *item["embedding"]) == struct.pack("<%df" % DIM, *rows[i * DIM:(i + 1) * DIM])
        assert abs(sum(x * x for x in item["embedding"]) - 1) < 1e-5


def test_base64_holds_the_very_bytes(lode, binary):
    data = json.loads(post(lode, request_of(TEXTS, encoding_format="base64"))[1])["data"]
    assert b"".join(base64.b64decode(item["embedding"], validate=True) for item in data) == binary[1]


@pytest.mark.parametrize("accept", ["Application/Octet-Stream", "text/html, application/octet-stream;q=0.9", "application/octet-stream ; q=1"])
def test_accept_is_read_as_a_list_whatever_its_case(lode, accept):
    assert post(lode, request_of("x"), accept)[0]["content-type"] == "application/octet-stream"


@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/octet-stream-not", "application/*"])
def test_whoever_takes_json_gets_json(lode, accept):
    assert json.loads(post(lode, request_of("x"), accept)[1])["object"] == "list"


def test_an_error_is_json_also_for_who_wants_bytes(lode):
    with pytest.raises(urllib.error.HTTPError) as error:
        post(lode, request_of([]), "application/octet-stream")
    with error.value as reply:
        assert reply.code == 400
        assert "input" in json.loads(reply.read())["error"]["message"]


def test_the_service_says_where_the_model_runs_and_why(lode):
    model = lode.call("GET", "/info")[1]["model"]
    assert model["device"].startswith(("cpu", "cuda")) and model["device_why"]
    assert lode.call("GET", "/v1/models")[1]["data"][0]["lode"]["device_why"] == model["device_why"]
