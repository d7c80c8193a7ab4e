#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes encoder/tokenizer/unicode_tables.c: the character data of Hugging Face tokenizers 0.22.

That library mixes four ages of Unicode, and identical tokens need the same mix:
  categories (Cc Cf Co, P*, Mn)  crate unicode_categories 0.1.1              (Unicode 8)
  NFD, combining class, marks    crate unicode-normalization-alignments 0.1.12 (Unicode 9)
  \\w of single-word tokens       crate regex-syntax 0.8.6                     (Unicode 16)
  lower case, white space        the Rust standard library the wheel was built with (1.90, Unicode 16)
The first three are asked through a small Rust program, built by cargo in a temporary folder with exactly
these versions; the last comes from the installed Python package itself, whose answers are also compared
with the crates wherever they can be seen from outside.

usage: gen_unicode.py [OUT.c]     needs: cargo with crates.io in reach; pip install tokenizers==0.22.1
"""
import pathlib
import subprocess
import sys
import tempfile

from tokenizers import normalizers, pre_tokenizers

CARGO = """[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
unicode_categories = "=0.1.1"
unicode-normalization-alignments = "=0.1.12"
regex-syntax = "=0.8.6"
"""

PROBE = r"""
use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::char as una;
fn word_class() -> regex_syntax::hir::ClassUnicode {
    match regex_syntax::parse(r"\w").unwrap().into_kind() {
        regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(c)) => c,
        _ => panic!("not a class"),
    }
}
fn main() {
    let word = word_class();
    let in_word = |c: char| word.ranges().iter().any(|r| r.start() <= c && c <= r.end());
    for cp in 0..0x110000u32 {
        let c = match char::from_u32(cp) { Some(c) => c, None => continue };
        let flags = c.is_other() as u32
            | (c.is_whitespace() as u32) << 1
            | ((c.is_ascii_punctuation() || c.is_punctuation()) as u32) << 2
            | (c.is_mark_nonspacing() as u32) << 3
            | (una::is_combining_mark(c) as u32) << 4
            | (in_word(c) as u32) << 5;
        let mut nfd = vec![];
        una::decompose_canonical(c, |d| nfd.push(d as u32));
        let ccc = una::canonical_combining_class(c);
        let text: Vec<String> = nfd.iter().map(|d| d.to_string()).collect();
        if flags != 0 || ccc != 0 || nfd != [cp] {
            println!("{} {} {} {}", cp, flags, ccc, text.join(" "));
        }
    }
}
"""

OTHER, SPACE, PUNCT, MN, MARK, WORD = 1, 2, 4, 8, 16, 32
HANGUL = range(0xAC00, 0xAC00 + 11172)  # decomposed by arithmetic, not by table
BLOCK = 128


def scalars():
    return (cp for cp in range(0x110000) if not 0xD800 <= cp < 0xE000)


def probe():
    """cp -> (flags, combining class, NFD) from the crates."""
    with tempfile.TemporaryDirectory() as tmp:
        root = pathlib.Path(tmp)
        (root / "src").mkdir()
        (root / "Cargo.toml").write_text(CARGO)
        (root / "src" / "main.rs").write_text(PROBE)
        out = subprocess.run(["cargo", "run", "--release", "--quiet"], cwd=root, check=True,
                             stdout=subprocess.PIPE, text=True).stdout
    table = {}
    for line in out.splitlines():
        cp, flags, ccc, *nfd = map(int, line.split())
        table[cp] = (flags, ccc, tuple(nfd))
    return table


def check_against_package(table):
    """The package must agree with the crates on everything that shows."""
    clean = normalizers.BertNormalizer(True, False, False, False)
    strip = normalizers.BertNormalizer(False, False, True, False)
    marks, nfd = normalizers.StripAccents(), normalizers.NFD()
    spaces, punct = pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()
    for cp in scalars():
        c = chr(cp)
        flags, _, decomposed = table.get(cp, (0, 0, (cp,)))
        cleaned = clean.normalize_str(c)
        want = c
        if cp in (0, 0xFFFD) or (flags & OTHER and c not in "\t\n\r"):
            want = ""
        elif flags & SPACE:
            want = " "
        assert cleaned == want, f"U+{cp:04X}: clean"
        assert nfd.normalize_str(c) == "".join(map(chr, decomposed)), f"U+{cp:04X}: NFD"
        assert (marks.normalize_str(c) == "") == bool(flags & MARK), f"U+{cp:04X}: mark"
        if decomposed == (cp,):
            assert (strip.normalize_str(c) == "") == bool(flags & MN), f"U+{cp:04X}: Mn"
        text = "a" + c + "b"
        assert (len(spaces.pre_tokenize_str(text)) == 2) == bool(flags & SPACE), f"U+{cp:04X}: space"
        assert (len(punct.pre_tokenize_str(text)) == 3) == bool(flags & PUNCT), f"U+{cp:04X}: punct"


def lower_map():
    lower = normalizers.Lowercase()
    out = {}
    for cp in scalars():
        low = tuple(map(ord, lower.normalize_str(chr(cp))))
        if low != (cp,):
            out[cp] = low
    return out


class Pool:
    """Sequences of code points, each stored once as its length and then its members; 0 is no sequence."""

    def __init__(self):
        self.data = [0]
        self.at = {}

    def add(self, seq):
        if seq not in self.at:
            self.at[seq] = len(self.data)
            self.data += [len(seq), *seq]
        return self.at[seq]


def build(table, lower):
    pool, records, index = Pool(), {(0, 0, 0, 0): 0}, []
    for cp in range(0x110000):
        flags, ccc, nfd = table.get(cp, (0, 0, (cp,)))
        nfd_at = 0 if nfd == (cp,) or cp in HANGUL else pool.add(nfd)
        low_at = pool.add(lower[cp]) if cp in lower else 0
        index.append(records.setdefault((flags, ccc, nfd_at, low_at), len(records)))
    blocks, first = {}, []
    for start in range(0, 0x110000, BLOCK):
        first.append(blocks.setdefault(tuple(index[start:start + BLOCK]), len(blocks)))
    assert len(records) < 65536 and len(blocks) < 65536 and len(pool.data) < 65536
    second = [x for block in blocks for x in block]
    return first, second, list(records), pool.data


def rows(values, per_line):
    lines = []
    for i in range(0, len(values), per_line):
        lines.append("    " + ", ".join(values[i:i + per_line]) + ",")
    return "\n".join(lines)


def render(first, second, records, pool):
    return f"""/* SPDX-License-Identifier: MIT */
/* Character data for the tokenizer. Generated by deploy/dev/gen_unicode.py; do not edit. */
#include "encoder/tokenizer/unicode.h"

const uint16_t lode_uni_first[{len(first)}] = {{
{rows([str(x) for x in first], 16)}
}};

const uint16_t lode_uni_second[{len(second)}] = {{
{rows([str(x) for x in second], 16)}
}};

/* flags, combining class, NFD, lower case */
const struct lode_uni_record lode_uni_records[{len(records)}] = {{
{rows(["{%d, %d, %d, %d}" % r for r in records], 4)}
}};

const uint32_t lode_uni_pool[{len(pool)}] = {{
{rows(["0x%X" % x if x > 9 else str(x) for x in pool], 9)}
}};
"""


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "encoder/tokenizer/unicode_tables.c"
    table = probe()
    check_against_package(table)
    first, second, records, pool = build(table, lower_map())
    out.write_text(render(first, second, records, pool))
    size = 2 * len(first) + 2 * len(second) + 6 * len(records) + 4 * len(pool)
    print(f"{out}: {len(records)} records, {len(second) // BLOCK} blocks, {size} bytes of tables")


if __name__ == "__main__":
    main()
