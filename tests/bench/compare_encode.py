# SPDX-License-Identifier: MIT
"""Our encoder beside OpenVINO f32: same model, same texts, two threads, tokenising included, in turns.

usage: compare_encode.py LODE MODEL TEXTS.jsonl [--rounds R] [--out FILE.json]
LODE is the program, MODEL the model folder, TEXTS a file of {"title", "text"} lines (at least 900, such as a BEIR corpus). The peer sorts
each call's texts by length, pads a batch and runs OpenVINO with its f32 hint, as sentence encoders built on it do. Both sides are
timed alternately R times; the ratio is of medians, with the least and largest ratio of one round beside it.
Needs: openvino, optimum-intel, transformers, numpy."""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import numpy as np
from optimum.intel import OVModelForFeatureExtraction
from transformers import AutoTokenizer


class Peer:
    def __init__(self, model):
        self.tok = AutoTokenizer.from_pretrained(model)
        self.model = OVModelForFeatureExtraction.from_pretrained(
            model, export=True, ov_config={"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "2"})
        self.model.compile()

    def encode(self, texts, batch):
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        out = np.zeros((len(texts), 384), np.float32)
        for i in range(0, len(texts), batch):
            at = order[i:i + batch]
            enc = self.tok([texts[j] for j in at], padding=True, truncation=True, max_length=256, return_tensors="np")
            hidden, mask = self.model(**enc).last_hidden_state, enc["attention_mask"][..., None]
            v = (hidden * mask).sum(1) / mask.sum(1)
            out[at] = v / np.linalg.norm(v, axis=1, keepdims=True)
        return out

    def rate(self, texts, batch):
        start = time.perf_counter()
        self.encode(texts, batch)
        return len(texts) / (time.perf_counter() - start)


def ours(args, path, batch):
    done = subprocess.run([args.lode, "bench", "encode", "--model", args.model, "--texts", path, "--batch", str(batch),
                           "--threads", "2", "--seconds", "3", "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    for name in ("lode", "model", "texts"):
        parser.add_argument(name)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out")
    args = parser.parse_args()
    rows = [json.loads(line) for line in open(args.texts, encoding="utf-8")]
    abstracts = [" ".join(((r.get("title") or "") + " " + r["text"]).split()) for r in rows]
    peer = Peer(args.model)
    words = peer.tok(" ".join(abstracts[512:900]), add_special_tokens=False)["input_ids"]

    def fixed(length, count):
        return [peer.tok.decode(words[i * (length - 2):(i + 1) * (length - 2)]) for i in range(count)]

    loads = {"64 tokens": (fixed(64, 384), 64), "128 tokens": (fixed(128, 192), 32), "mixed abstracts": (abstracts[:256], 32),
             "one query": ([r for r in fixed(16, 64)], 1)}
    results = {}
    for name, (texts, batch) in loads.items():
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as f:
            f.write("\n".join(t.replace("\n", " ") for t in texts) + "\n")
            f.flush()
            peer.rate(texts[:batch], batch)
            pairs = [(ours(args, f.name, batch)["seq_per_s"], peer.rate(texts, batch)) for _ in range(args.rounds)]
        mine, theirs = (statistics.median(side) for side in zip(*pairs))
        each = sorted(a / b for a, b in pairs)
        results[name] = {"lode_seq_per_s": round(mine, 1), "openvino_f32_seq_per_s": round(theirs, 1), "ratio": round(mine / theirs, 3),
                         "ratio_min": round(each[0], 3), "ratio_max": round(each[-1], 3)}
        print(json.dumps({"load": name, **results[name]}), flush=True)
    if args.out:
        with open(args.out, "w") as f:
            json.dump(results, f, indent=1)


main()
