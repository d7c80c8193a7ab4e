#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Counts what a test run passed and failed, for the closing line of deploy/check.sh.

usage: count_ctest.py BUILD_DIR        the last ctest run there
       count_ctest.py --junit FILE     a pytest run
Prints "PASSED FAILED". A ctest program that prints cmocka's lines counts as its cases, any other as one test.
Exit 1 when there is no run to count: a lost run must not look like a good one.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree as tree


def junit(path):
    suite = tree.parse(path).getroot()
    suites = [suite] if suite.tag == "testsuite" else list(suite)
    total = sum(int(s.get("tests", 0)) for s in suites)
    bad = sum(int(s.get("failures", 0)) + int(s.get("errors", 0)) for s in suites)
    skipped = sum(int(s.get("skipped", 0)) for s in suites)
    return total - bad - skipped, bad


def ctest(build):
    text = pathlib.Path(build, "Testing/Temporary/LastTest.log").read_text(errors="replace")
    passed = failed = 0
    for part in re.split(r"\n-{10,}\n(?=\d+/\d+ Test)|(?<=\n)(?=\d+/\d+ Testing: )", text):
        if not re.match(r"\d+/\d+ Testing: ", part):
            continue
        ok = len(re.findall(r"^\[       OK \]", part, re.M))
        bad = len(set(re.findall(r"^\[  FAILED  \] (\w+)$", part, re.M)))
        if "Test Passed." in part:
            passed += max(ok, 1)
        elif "***Skipped" not in part and "Test Failed." in part or "***" in part:
            passed += ok
            failed += max(bad, 1)
    return passed, failed


def main(args):
    result = junit(args[1]) if args[0] == "--junit" else ctest(args[0])
    if sum(result) == 0:
        sys.exit("no test was run")
    print(*result)


main(sys.argv[1:])
