# SPDX-License-Identifier: MIT
"""bf16 and int8 against f32 over many real passages, one by one the least cosine.

f32 stands for sentence-transformers, to whose vectors the golden test ties it to 4e-7. The passages are the project's own
documentation (English prose with code and tables); LODE_CORPORA, a folder of test collections, adds the first LODE_COSINE_TEXTS
(1,000) abstracts of cranfield. tests/bench/quality.py measures the same and nDCG.
"""
import json
import os
import pathlib

import numpy as np
import pytest

from conftest import ROOT, model_dir, run

LEAST = {"bf16": 0.9999, "int8": 0.99}
WORDS = (1, 2, 3, 5, 8, 20, 60, 120, 250)  # of a passage, in turn: short ones are the hard ones
PASSAGES = 180


def passages():
    files = sorted(p for p in ROOT.glob("**/*.md") if not p.relative_to(ROOT).parts[0].startswith((".", "build", "models")))
    words = [w for p in files for w in p.read_text(encoding="utf-8").split()]
    found, at = [], 0
    while len(found) < PASSAGES and at < len(words):
        n = WORDS[len(found) % len(WORDS)]
        found.append(" ".join(words[at:at + n]))
        at += n
    return found


def abstracts():
    folder = os.environ.get("LODE_CORPORA")
    if not folder:
        return []
    with open(pathlib.Path(folder) / "cranfield/corpus.jsonl", encoding="utf-8") as lines:
        rows = [json.loads(line) for _, line in zip(range(int(os.environ.get("LODE_COSINE_TEXTS", "1000"))), lines)]
    return [" ".join((r["title"] + " " + r["text"]).split()) for r in rows]


def embed(dtype, texts):
    rows = [json.loads(line) for line in run("embed", "--json", "--model", model_dir(), "--dtype", dtype,
                                             stdin="\n".join(texts) + "\n").stdout.splitlines()]
    assert len(rows) == len(texts) and {r["dtype"] for r in rows} == {dtype}
    return np.array([r["embedding"] for r in rows])


@pytest.fixture(scope="module")
def exact():
    texts = passages() + abstracts()
    assert len(texts) >= PASSAGES
    return texts, embed("f32", texts)


@pytest.mark.parametrize("dtype", LEAST)
def test_the_least_cosine_over_many_passages_keeps_the_mark(dtype, exact):
    texts, want = exact
    got = embed(dtype, texts)
    cosine = (got * want).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(want, axis=1)
    worst = int(cosine.argmin())
    print("%s: least cosine %.6f, mean %.6f over %d texts" % (dtype, cosine.min(), cosine.mean(), len(texts)))
    assert cosine[worst] >= LEAST[dtype], texts[worst][:80]
