# SPDX-License-Identifier: MIT
"""The real openai package, unmodified, against lode's /v1."""
import math

import openai
import pytest

MODEL = "all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def client(lode):
    return openai.OpenAI(base_url=lode.url + "/v1", api_key="none-needed", max_retries=0)


def test_models_are_listed(client):
    assert [m.id for m in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).object == "model"


def test_the_default_base64_equals_float(client):
    texts = ["A short text.", "日本語のテキスト", "emoji 🎉 and accents é"]
    default = client.embeddings.create(model=MODEL, input=texts)
    floats = client.embeddings.create(model=MODEL, input=texts, encoding_format="float")
    assert [d.index for d in default.data] == [0, 1, 2]
    for a, b in zip(default.data, floats.data):
        assert len(a.embedding) == 384
        assert a.embedding == pytest.approx(b.embedding, abs=2e-6)
        assert math.isclose(sum(x * x for x in b.embedding), 1.0, abs_tol=1e-5)
    assert default.usage.prompt_tokens == default.usage.total_tokens > 6


def test_one_string_gives_one_vector(client):
    one = client.embeddings.create(model=MODEL, input="hello")
    assert len(one.data) == 1 and one.model == MODEL


@pytest.mark.parametrize("body, field", [
    ({"model": MODEL, "input": [101, 102]}, "input"),
    ({"model": MODEL, "input": [[101, 102]]}, "input[0]"),
    ({"model": MODEL, "input": ""}, "input"),
    ({"model": MODEL, "input": []}, "input"),
    ({"model": MODEL, "input": ["ok", 7]}, "input[1]"),
    ({"model": MODEL}, "input"),
    ({"input": "x"}, "model"),
    ({"model": MODEL, "input": "x", "encoding_format": "hex"}, "encoding_format"),
    ({"model": MODEL, "input": "x", "dimensions": 256}, "dimensions"),
    ({"model": MODEL, "input": "x", "inputt": 1}, "inputt"),
])
def test_a_bad_request_names_its_field(lode, body, field):
    status, reply = lode.call("POST", "/v1/embeddings", body)
    assert status == 400
    assert reply["error"]["param"] == field
    assert reply["error"]["type"] == "invalid_request_error"
    assert field in reply["error"]["message"]


def test_an_unknown_model_is_not_replaced_silently(client):
    with pytest.raises(openai.NotFoundError) as error:
        client.embeddings.create(model="text-embedding-3-small", input="x")
    assert MODEL in str(error.value)


def test_a_text_beyond_the_window_is_reported(lode):
    status, reply = lode.call("POST", "/v1/embeddings", {"model": MODEL, "input": ["short", "word " * 1000], "encoding_format": "float"})
    assert status == 200 and reply["lode"]["truncated"] == [1]
