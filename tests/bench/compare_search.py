# SPDX-License-Identifier: MIT
"""Our search engine beside faiss-cpu and hnswlib: same vectors, same machine, one thread, in turns.

usage: compare_search.py BENCH VECTORS.npy [--queries N] [--rounds R] [--build-threads T] [--out FILE.json]
BENCH is the program lode_search_bench. The last N rows are the queries. Peers and ours are timed alternately R times and the
median of each is kept, so that a busy moment hits all alike; ratio_cpu is the same by processor time of the searching thread. HNSW is compared at the same recall@10: for each target both
sides get the smallest ef that reaches it. hnswlib answers all queries in one call (no Python between them)."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
import faiss
import hnswlib
import numpy as np

K = 10
TARGETS = (0.955, 0.982, 0.993)
EF_STEPS = (16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 64, 72, 80, 88, 96, 104, 112, 128, 144, 160, 192, 224, 256, 320, 400, 512)


class Ours:
    def __init__(self, args, segment):
        command = [args.bench, args.vectors, str(args.queries), segment, str(args.build_threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.build = json.loads(self.process.stdout.readline())
        self.plain = json.loads(self.process.stdout.readline())

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def recall(found, truth):
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(found, truth)]))


def smallest_ef(measure, target):
    for ef in EF_STEPS:
        got = measure(ef)
        if got >= target:
            return ef, got
    return None, None


def rotate(rounds, sides):
    """sides: name -> function giving queries/s, by the clock and by processor time. Medians of `rounds` alternating runs."""
    seen = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            seen[name].append(run())
    return {name: [statistics.median(x[i] for x in v) for i in (0, 1)] for name, v in seen.items()}


def timed(count, run):
    start, cpu = time.perf_counter(), time.thread_time()
    run()
    return count / (time.perf_counter() - start), count / (time.thread_time() - cpu)


def ours_speed(ours, line):
    got = ours.ask(line)
    return got["qps"], got["qps_cpu"]


def main():
    p = argparse.ArgumentParser()
    p.add_argument("bench")
    p.add_argument("vectors")
    p.add_argument("--queries", type=int, default=1000)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--build-threads", type=int, default=2)
    p.add_argument("--builds", type=int, default=2)
    p.add_argument("--flat-queries", type=int, default=200)
    p.add_argument("--out")
    args = p.parse_args()
    X = np.load(args.vectors)
    base, Q = np.ascontiguousarray(X[:-args.queries]), np.ascontiguousarray(X[-args.queries:])
    out = {"rows": len(base), "dim": X.shape[1], "queries": len(Q)}

    def build_peer():
        index = hnswlib.Index("ip", X.shape[1])
        index.init_index(len(base), M=16, ef_construction=100)
        start, cpu = time.perf_counter(), time.process_time()
        index.add_items(base, num_threads=args.build_threads)
        return index, time.perf_counter() - start, time.process_time() - cpu

    with tempfile.TemporaryDirectory() as folder:
        ours_s, peer_s = [], []
        for _ in range(args.builds):  # A B A B
            ours = Ours(args, folder + "/bench.seg")
            peer, seconds, cpu = build_peer()
            ours_s.append((ours.build["build_s"], ours.build["build_cpu_s"]))
            peer_s.append((seconds, cpu))
        wall = [min(s[0] for s in side) for side in (ours_s, peer_s)]
        used = [min(s[1] for s in side) for side in (ours_s, peer_s)]
        out["build"] = {"ours_s": wall[0], "hnswlib_s": round(wall[1], 2), "threads": args.build_threads,
                        "ratio": round(wall[0] / wall[1], 3), "ratio_cpu": round(used[0] / used[1], 3)}
        print(json.dumps({"build": out["build"]}), flush=True)

        faiss.omp_set_num_threads(1)
        flat = faiss.IndexFlatIP(X.shape[1])
        flat.add(base)
        _, truth = flat.search(Q, K)

        def flat_search():
            for q in Q[:args.flat_queries]:
                flat.search(q[None], K)

        got = ours.ask("exact")
        speed = rotate(args.rounds, {"ours": lambda: ours_speed(ours, "exact"),
                                     "faiss_flat": lambda: timed(args.flat_queries, flat_search)})
        out["exact"] = {"ours_qps": round(speed["ours"][0], 1), "faiss_flat_qps": round(speed["faiss_flat"][0], 1),
                        "ratio": round(speed["ours"][0] / speed["faiss_flat"][0], 2),
                        "ratio_cpu": round(speed["ours"][1] / speed["faiss_flat"][1], 2),
                        "identical_to_f32_scan": f'{got["identical"]}/{len(Q)}', "rescored": got["rescored"]}
        print(json.dumps({"exact": out["exact"]}), flush=True)

        def peer_search(ef):
            peer.set_ef(ef)
            return peer.knn_query(Q, K, num_threads=1)[0]

        out["hnsw"] = []
        for target in TARGETS:
            ours_ef, ours_recall = smallest_ef(lambda ef: ours.ask(f"ann {ef}")["recall"], target)
            peer_ef, peer_recall = smallest_ef(lambda ef: recall(peer_search(ef), truth), target)
            if not ours_ef or not peer_ef:
                print(f"recall {target} is not reached: ours {ours_ef}, hnswlib {peer_ef}", file=sys.stderr)
                continue
            speed = rotate(args.rounds, {"ours": lambda: ours_speed(ours, f"ann {ours_ef}"),
                                         "hnswlib": lambda: timed(len(Q), lambda: peer_search(peer_ef))})
            row = {"target": target, "ours_ef": ours_ef, "ours_recall": ours_recall, "ours_qps": round(speed["ours"][0]),
                   "hnswlib_ef": peer_ef, "hnswlib_recall": round(peer_recall, 4), "hnswlib_qps": round(speed["hnswlib"][0]),
                   "ratio": round(speed["ours"][0] / speed["hnswlib"][0], 2),
                   "ratio_cpu": round(speed["ours"][1] / speed["hnswlib"][1], 2)}
            out["hnsw"].append(row)
            print(json.dumps(row), flush=True)
        ours.process.stdin.close()
        ours.process.wait()
    if args.out:
        with open(args.out, "w", encoding="utf-8") as f:
            json.dump(out, f, indent=1)


if __name__ == "__main__":
    main()
