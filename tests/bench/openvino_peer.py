# SPDX-License-Identifier: MIT
"""OpenVINO as the encoder that lode is compared with: the usual way to run a sentence encoder fast on a CPU.

A call's texts are sorted by length, cut into batches, padded to the longest of the batch, run, averaged over the real tokens and scaled to
length one. int8 is the product's own best: weights and activations quantised by NNCF with its transformer preset, ranges taken
from texts that it is shown. Needs: openvino, optimum-intel, nncf, transformers, numpy."""
import json
import os
import shutil
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import numpy as np
import openvino
from optimum.intel import OVModelForFeatureExtraction
from transformers import AutoTokenizer


def tokens_of(tok, texts, window):
    return tok(texts, padding=True, truncation=True, max_length=window, return_tensors="np")


def f32_folder(model, work):
    """The model as OpenVINO's own files, in f32; made once."""
    folder = f"{work}/openvino-f32"
    if not os.path.exists(f"{folder}/done"):
        shutil.rmtree(folder, ignore_errors=True)
        OVModelForFeatureExtraction.from_pretrained(model, export=True, compile=False, ov_config={"INFERENCE_PRECISION_HINT": "f32"}).save_pretrained(folder)
        open(f"{folder}/done", "w").close()
    return folder


def int8_folder(model, work, tok, window, texts):
    """The same, quantised after seeing the texts; made once."""
    import nncf
    folder = f"{work}/openvino-int8"
    if os.path.exists(f"{folder}/done"): return folder
    source = f32_folder(model, work)
    os.makedirs(folder, exist_ok=True)
    graph = openvino.Core().read_model(f"{source}/openvino_model.xml")
    wanted = {port.any_name for port in graph.inputs}
    samples = [{name: rows for name, rows in tokens_of(tok, [t], window).items() if name in wanted} for t in texts]
    small = nncf.quantize(graph, nncf.Dataset(samples), subset_size=len(samples), model_type=nncf.ModelType.TRANSFORMER)
    openvino.save_model(small, f"{folder}/openvino_model.xml")
    shutil.copy(f"{source}/config.json", folder)
    open(f"{folder}/done", "w").close()
    return folder


class Peer:
    """name: openvino-f32, openvino-bf16 or openvino-int8. self.runs_in is what the device says it computes in: on a processor
    without bf16 that is f32 whatever is asked."""

    def __init__(self, name, model, work, texts, threads):
        self.tok = AutoTokenizer.from_pretrained(model)
        self.window = window_of(model)
        kind = name.removeprefix("openvino-")
        folder = int8_folder(model, work, self.tok, self.window, texts) if kind == "int8" else f32_folder(model, work)
        hint = {"f32": "f32", "bf16": "bf16", "int8": "f32"}[kind]
        config = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": str(threads)}
        if kind == "int8": del config["INFERENCE_PRECISION_HINT"]  # what is left in floats is the device's choice
        self.model = OVModelForFeatureExtraction.from_pretrained(folder, ov_config=config)
        self.model.compile()
        compiled = getattr(self.model.request, "get_compiled_model", lambda: self.model.request)()
        floats = str(compiled.get_property("INFERENCE_PRECISION_HINT")).rsplit("'")[-2]
        self.runs_in = f"int8 with {floats}" if kind == "int8" else floats

    def encode(self, texts, batch):
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        rows = None
        for first in range(0, len(texts), batch):
            at = order[first:first + batch]
            enc = tokens_of(self.tok, [texts[i] for i in at], self.window)
            states, mask = self.model(**enc).last_hidden_state, enc["attention_mask"][..., None]
            mean = (states * mask).sum(1) / mask.sum(1)
            if rows is None: rows = np.zeros((len(texts), mean.shape[1]), np.float32)
            rows[at] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return rows

    def seconds(self, texts, batch, call):
        """For all texts in calls of `call` texts: by the clock, and of processors."""
        start, cpu = time.perf_counter(), time.process_time()
        for first in range(0, len(texts), call): self.encode(texts[first:first + call], batch)
        return time.perf_counter() - start, time.process_time() - cpu

    def milliseconds_each(self, texts):
        waits = []
        for text in texts:
            start = time.perf_counter()
            self.encode([text], 1)
            waits.append(1e3 * (time.perf_counter() - start))
        return waits


def window_of(model):
    try:
        return json.load(open(f"{model}/sentence_bert_config.json"))["max_seq_length"]
    except (OSError, KeyError):
        return json.load(open(f"{model}/config.json"))["max_position_embeddings"]
