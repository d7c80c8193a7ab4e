#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/golden/tokenizer/: small tokenizers and what Hugging Face's `tokenizers` 0.22.1 makes of hard texts,
so that the C test proves parity without Python. Each NAME.json is a tokenizer; NAME.golden has one case a line:
  max_tokens <tab> text, hex of its UTF-8 <tab> id:start:end ... (start and end in bytes) [<tab> cut]

usage: gen_golden_tokenizer.py        needs: pip install tokenizers==0.22.1
"""
import pathlib

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/tokenizer"

WORDS = ("[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f g h i j k l m n o p q r s t u v w x y z ##a ##b ##c ##d ##e ##f ##g ##h ##i "
         "##j ##k ##l ##m ##n ##o ##p ##q ##r ##s ##t ##u ##v ##w ##x ##y ##z the un ##aff ##able ##ing run ##n cafe naive hello "
         "world word ##ly day new I The Café CAFE É é ñ ß ss σ ς ж д и й ##й ##и 中 文 国 日 本 語 각 ᄀ ##ᅡ ##ᆨ ا ل ##م א ב ! \" # $ % & "
         "' ( ) * + , - . / 0 1 2 3 4 5 6 7 8 9 : ; < = > ? @ [ \\ ] ^ _ ` { | } ~ ##0 ##1 ##2 ##3 ##4 — ’ “ ” … । 、 。 ¿ ¡ € "
         "😀 👍 ##🏽 i̇ ﬁ fi ##ﬁ 12 ##34 á ##á ̸ ##̸").split(" ")
VOCAB = {w: i for i, w in enumerate(dict.fromkeys(WORDS))}

TEXTS = [
    "", " ", "\n\t ", "hello world", "Hello, World!", "THE CAFE", "unaffable", "running wordly", "don't", "a.b,c;d:e", "...", "!?!?",
    "abc123", "123abc 1234", "C++ & C#", "x = y + z", "http://a.b/c?d=e&f=g", "foo_bar", "e-mail", "(a)[b]{c}<d>", "\\`~^|@$%*\"",
    "[CLS]", "[SEP] a", "a [MASK] b", "a[MASK]b", "[MASK][MASK]", "[mask]", "[MASK", "MASK]", "[[MASK]]", "[PAD][UNK]", "the[SEP]the",
    "café", "cafe\u0301", "CAFÉ", "Cafe\u0301!", "naïve", "ÀÁÂÃÄÅ", "àáâãäå", "ñ n\u0303", "Ångström \u212bngstrom", "ß ẞ", "Straße", "ﬁ ﬂ ﬃ",
    "İ I ı i", "Σίσυφος ΣΑΣ", "ς σ", "ЖДИЙ жди\u0306", "й и\u0306", "Ё ё", "e\u0323\u0302", "e\u0302\u0323", "a\u0301\u0323\u0327b",
    "\u0301", "\u0301a", " \u0301 ", ".\u0301", "a.\u0301b", "\u0344", "a\u0344\u0323", "\u1e9b\u0323", "\u0f73\u0f71", "\u0f71\u0f72\u0f74\u0f39",
    "q\u0307\u0323", "\u0958 \u09dc", "a\u05b0\u05b1\u0591", "≠ =\u0338", "\u037e", "\u1fef", "\u2126 \u212a", "\u2000\u2001a", "\u0345\u0301",
    "中文", "a中b", "中国 日本語", "中\u0301文", "\uf900\ufa10", "\U0002f800a", "\U00020000", "\U0002a6df\U0002a6e0", "\U0002b81f\U0002b820",
    "\U0002b91f\U0002b920", "\u9fff\ua000", "\u3400\u4dbf\u4dc0", "\u3000中\u3000", "ｈｅｌｌｏ", "カタカナ ひらがな", "か\u3099 が", "、。「」", "각 각", "가각힣",
    "\u1100\u1161\u11a8", "한국어", "\u11a8", "السلام", "ا\u064bل\u0651م", "\u0627\u0653", "אב\u05bc", "हिन्दी।", "ไทย", "தமிழ்", "ཀྵ", "မြန်မာ",
    "😀", "a😀b", "👍🏽", "👩\u200d👩\u200d👧", "🇩🇪", "☃\ufe0f", "\u200b", "a\u200bb", "a\u00adb", "\ufeffhello", "hello\u2060world", "\u200ea\u200f",
    "a\u00a0b", "a\u2003b", "a\u2028b", "a\u2029b", "a\u0085b", "a\x0bb", "a\x0cb", "a\x1cb", "a\x1fb", "a\x7fb", "a\x00b", "\x00", "a\ufffdb", "a\rb\r\nc",
    "a\u180eb", "a\u202fb", "a\u205fb", "a\u1680b", "\ue000", "a\ue000b", "\U000f0000", "\U0010ffff", "a\ufdd0b", "a\U000e0001b", "\u08d4a", "a\U0001e000b",
    "\u05bea", "a\u2010b\u2014c", "“a” ‘b’ «c»", "it’s", "¿a? ¡b!", "5€ £6", "a\u2044b", "a×b÷c", "§ ¶ † ‡", "½ ² ³", "№ ™ ©", "a\u02bcb", "a\u30fbb", "\uff01\uff1f",
    "\ua788\ua78f", "\u166d", "\U00011047", "\U0001e95e\U0001e95f", "\u2e43 \u2e44 \u2e5d", "Ǆ ǅ ǆ", "Ⅷ ⅷ Ⓐ", "\U00010400", "\U0001e900", "Ა ა", "Ꭰ ꭰ", "\ua7ae \ua7d6",
    "x" * 99, "x" * 100, "x" * 101, "é" * 100, "é" * 101, "e\u0301" * 100, "a" + "\u0301" * 150, "x" * 100 + "!" + "y" * 101, "un" + "aff" * 33,
    "a" + "\u0323\u0301" * 30 + "b", "a" + "\u0345\u0323\u0301\u05b0" * 20, "\u0591" * 40 + "a", "1 " * 40, "the unaffable cafe " * 5,
    "\u0130stanbul", "A\u030a\u0323", "\u1e69 s\u0323\u0307", "D\u0307\u0323z", "\u01d5\u0304", "o\u0308\u0304 \u022b", "\u0cca\u0ccb", "\U0001d15e", "\U0001d160a",
    "\U00011131\U00011127", "\u0dddx", "a\u0e48\u0e38", "\u3099\u309a", "a\u20d0b", "a\u20ddb", "a\u0903b", "\u093e", "a\u1dfab", "\ufb1d\ufb2a\ufb4f", "\u0675",
]


def bert(**changed):
    args = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True, **changed}
    return normalizers.BertNormalizer(**args)


def tokenizer(normalizer, chars=100, prefix="##", added=()):
    tok = Tokenizer(models.WordPiece(VOCAB, unk_token="[UNK]", max_input_chars_per_word=chars, continuing_subword_prefix=prefix))
    tok.normalizer = normalizer
    tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tok.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", VOCAB["[CLS]"]), ("[SEP]", VOCAB["[SEP]"])])
    tok.add_special_tokens([AddedToken(w, normalized=False) for w in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")])
    tok.add_tokens(list(added))
    return tok


ADDED = [AddedToken("CAFÉ", normalized=True, single_word=True), AddedToken("new day", normalized=True, lstrip=True, rstrip=True),
         AddedToken("b c", normalized=False), AddedToken("<d>", normalized=False, lstrip=True, rstrip=True),
         AddedToken("a.b", normalized=False, single_word=True)]
IDEOGRAPHS = [AddedToken("中", normalized=True), AddedToken("<d>", normalized=False, lstrip=True), AddedToken("日 本", normalized=True, lstrip=True)]
ADDED_TEXTS = ["a New Day  b", "newday new  day", "new daynew day", "xcafe cafe café! cafe\u0301s", "a <d> b", "<d><d>", " <d>  \u00a0 ", "a.b a.bc ab.b a.b",
               "a b c d", "b cb c", "日中 中a", "[MASK] <d> [SEP]", "é a.b\u0301", "new day", "a\u0301new day\u0323 ", "<d", "café", "cafécafé", "new day  <d>", "new day \x01 <d>", "日 本", "a  日 本 中", "日本 中文"]


def spans(text, encoding):
    at = [0]
    for c in text:
        at.append(at[-1] + len(c.encode()))
    return " ".join(f"{i}:{at[a]}:{at[b]}" for i, (a, b) in zip(encoding.ids, encoding.offsets))


def write(name, tok, texts, windows=(0,)):
    tok.save(str(OUT / f"{name}.json"), pretty=False)
    lines = []
    for text in texts:
        for window in windows:
            tok.no_truncation()
            full = tok.encode(text)
            if window:
                tok.enable_truncation(window)
            cut = "\tcut" if window and len(full.ids) > window else ""
            lines.append(f"{window}\t{text.encode().hex()}\t{spans(text, tok.encode(text))}{cut}\n")
    (OUT / f"{name}.golden").write_text("".join(lines))
    print(f"{name}: {len(lines)} cases")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    write("uncased", tokenizer(bert()), TEXTS)
    write("cased", tokenizer(bert(lowercase=False)), TEXTS)
    write("accents_kept", tokenizer(bert(strip_accents=False)), TEXTS)
    write("raw_text", tokenizer(bert(clean_text=False, handle_chinese_chars=False), chars=20), TEXTS)
    write("added", tokenizer(bert(), added=ADDED), ADDED_TEXTS + TEXTS[:60])
    write("ideographs", tokenizer(bert(), added=IDEOGRAPHS), ADDED_TEXTS + TEXTS[60:140])
    write("windows", tokenizer(bert()), TEXTS[::7], windows=(2, 3, 5, 16))


if __name__ == "__main__":
    main()
