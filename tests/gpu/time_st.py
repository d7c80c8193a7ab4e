# SPDX-License-Identifier: MIT
"""lode beside sentence-transformers on one device: same texts, tokenising included, in turns; the best batch size of the peer counts.

usage: time_st.py BENCH MODEL TEXTS [--rounds 3] [--dtypes f16,bf16]
Prints a line a type: texts/s of both sides and the ratio of medians. Needs: sentence-transformers, torch with CUDA."""
import argparse
import json
import statistics
import subprocess
import time


def ours(args, dtype):
    done = subprocess.run([args.bench, args.model, "--texts", args.texts, "--device", "cuda", "--dtype", dtype, "--batch", "256", "--callers", "8",
                           "--rounds", "3", "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser()
    for name in ("bench", "model", "texts"): parser.add_argument(name)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtypes", default="f16,bf16")
    args = parser.parse_args()
    import torch
    from sentence_transformers import SentenceTransformer
    texts = [line for line in open(args.texts, encoding="utf-8").read().split("\n") if line]

    def timed(model, size):
        torch.cuda.synchronize()
        start = time.perf_counter()
        model.encode(texts, batch_size=size, convert_to_numpy=True)
        return len(texts) / (time.perf_counter() - start)

    for dtype in args.dtypes.split(","):
        model = SentenceTransformer(args.model, device="cuda").to({"f16": torch.float16, "bf16": torch.bfloat16}[dtype])
        model.encode(texts[:512], batch_size=64)
        size = max((64, 128, 256, 512), key=lambda n: timed(model, n))
        rates = [(ours(args, dtype), timed(model, size)) for _ in range(args.rounds)]
        mine = statistics.median(r[0]["sequences_s"] for r in rates)
        peer = statistics.median(r[1] for r in rates)
        print(f"peers {dtype}: {rates[0][0]['model']}, {len(texts)} texts: lode {mine:.0f} texts/s, sentence-transformers {peer:.0f} (batch {size}); "
              f"ratio {mine / peer:.2f}", flush=True)
        del model


main()
