#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes filter_cases.jsonl and eval_cases.jsonl beside this file: what qdrant-client's in-process evaluator answers to
seeded random filters, and what pytrec_eval measures on seeded random runs. Needs qdrant-client and pytrec_eval.
usage: gen_cases.py"""
import json
import os
import random

import pytrec_eval
from qdrant_client import models
from qdrant_client.local.payload_filters import check_filter

HERE = os.path.dirname(os.path.abspath(__file__))
WORDS = ["red", "green", "blue", "", "Größe", "a b", "1", "true"]
KEYS = ["color", "n", "price", "tags", "tags[]", "tags[0]", "a.b", "a.c[]", "a.list[].x", "list[].x", "list[1].x",
        "list[]", "nothing", "a.nothing", '"a.b"', "flag", "matrix[][]", "matrix[]", "list"]
UUIDS = ["00000000-0000-0000-0000-00000000000%d" % i for i in range(4)]


def scalar(r, nulls=True):
    kinds = ["str", "int", "bool", "float"] + (["null"] if nulls else [])
    kind = r.choice(kinds)
    return {"str": lambda: r.choice(WORDS), "int": lambda: r.randint(-3, 3), "bool": lambda: r.random() < 0.5,
            "float": lambda: r.randint(-6, 6) + 0.5, "null": lambda: None}[kind]()


def some_list(r):
    return [scalar(r) for _ in range(r.randint(0, 4))]


def payload(r):
    p = {}
    if r.random() < 0.8: p["color"] = r.choice([scalar(r), r.choice(WORDS)])
    if r.random() < 0.8: p["n"] = r.choice([r.randint(-3, 3), scalar(r), some_list(r)])
    if r.random() < 0.6: p["price"] = r.randint(-6, 6) + 0.5
    if r.random() < 0.7: p["tags"] = some_list(r)
    if r.random() < 0.3: p["flag"] = r.random() < 0.5
    if r.random() < 0.3: p["a.b"] = scalar(r)
    if r.random() < 0.6: p["a"] = r.choice([{"b": scalar(r), "c": some_list(r), "list": [{"x": scalar(r)}, {}]}, scalar(r)])
    if r.random() < 0.5: p["list"] = [r.choice([{"x": scalar(r)}, {"x": some_list(r)}, scalar(r)]) for _ in range(r.randint(0, 3))]
    if r.random() < 0.3: p["matrix"] = [some_list(r) for _ in range(r.randint(0, 3))]
    return p


def operand(r):
    return r.choice([r.choice(WORDS), r.randint(-3, 3)])


def bounds(r, low, high):
    b = {}
    for key in ("gt", "gte", "lt", "lte"):
        if r.random() < 0.4: b[key] = r.randint(low, high)
    return b


def operands(r):  # the schema wants one type a list
    if r.random() < 0.5: return [r.choice(WORDS) for _ in range(r.randint(0, 3))]
    return [r.randint(-3, 3) for _ in range(r.randint(0, 3))]


def condition(r, depth):
    kind = r.randint(0, 9 if depth else 8)
    key = r.choice(KEYS)
    if kind == 0: return {"key": key, "match": {"value": r.choice([operand(r), r.random() < 0.5])}}
    if kind == 1: return {"key": key, "match": {"any": operands(r)}}
    if kind == 2: return {"key": key, "match": {"except": operands(r)}}
    if kind == 3: return {"key": key, "range": bounds(r, -3, 3)}
    if kind == 4: return {"key": key, "values_count": bounds(r, 0, 3)}
    if kind == 5: return {"is_empty": {"key": key}}
    if kind == 6: return {"is_null": {"key": key}}
    if kind == 7: return {"has_id": [r.choice([r.randint(0, 5), r.choice(UUIDS)]) for _ in range(r.randint(0, 3))]}
    if kind == 8: return {"key": key, r.choice(["is_empty", "is_null"]): r.random() < 0.5}
    return a_filter(r, depth - 1)


def a_filter(r, depth):
    f = {}
    for clause in ("must", "should", "must_not"):
        if r.random() < 0.45:
            f[clause] = condition(r, depth) if r.random() < 0.2 else [condition(r, depth) for _ in range(r.randint(0, 3))]
    if r.random() < 0.15:
        f["min_should"] = {"conditions": [condition(r, depth) for _ in range(r.randint(1, 3))], "min_count": r.randint(1, 3)}
    return f


def filter_cases(r, count):
    answers = {True: 0, False: 0}
    while sum(answers.values()) < count:
        f, p = a_filter(r, 3), payload(r)
        point = r.choice([r.randint(0, 5), r.choice(UUIDS)])
        answer = check_filter(models.Filter.model_validate(f), p, point, {})
        if answers[answer] > count * 0.55: continue  # as many hits as misses
        answers[answer] += 1
        yield {"id": point, "payload": p, "filter": f, "expect": answer}


def eval_cases(r, count):
    for _ in range(count):
        docs = ["d%d" % i for i in range(r.randint(1, 160))]
        judged = r.sample(docs, r.randint(1, min(len(docs), 40)))
        qrels = {d: r.choice([0, 0, 1, 1, 2, 3]) for d in judged}
        ranked = r.sample(docs, r.randint(1, len(docs)))[:100]
        levels = r.choice([3, 10, 1000])  # few levels: many ties
        run = {d: r.randint(0, levels) / 16 for d in ranked}
        got = pytrec_eval.RelevanceEvaluator({"q": qrels}, {"ndcg_cut.10", "recall.100"}).evaluate({"q": run})["q"]
        top = dict(sorted(run.items(), key=lambda kv: (kv[1], kv[0]), reverse=True)[:10])  # trec_eval's order of ties
        mrr = pytrec_eval.RelevanceEvaluator({"q": qrels}, {"recip_rank"}).evaluate({"q": top})["q"]["recip_rank"]
        order = sorted(run, key=lambda d: -run[d])
        yield {"judgements": qrels, "ids": order, "scores": [run[d] for d in order], "ndcg": got["ndcg_cut_10"],
               "recall": got["recall_100"], "mrr": mrr}


def write(name, cases):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as out:
        for case in cases: out.write(json.dumps(case, ensure_ascii=False, separators=(",", ":")) + "\n")


write("filter_cases.jsonl", filter_cases(random.Random(20), 900))
write("eval_cases.jsonl", eval_cases(random.Random(21), 60))
