#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what the tests need and runs every test: unit, property, golden, fuzz replay, fault and tidy tests as a
# Release build and again under ASan+UBSan, the CUDA sources compiled and linked, then the end-to-end tests with the real client packages.
# The last line counts: "N passed, N failed". Exit status 0 only when nothing failed.
set -uo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'U'
usage: deploy/check.sh [--quick]
  --quick  the Release build's tests only: no CUDA compiler, no sanitizer build, no end-to-end tests, 20 kill cycles
           instead of 200
U
}
quick=no
case "${1:-}" in
-h | --help) usage; exit 0 ;;
--quick) quick=yes ;;
"") ;;
*) die "unknown argument '$1' (try --help)" ;;
esac

passed=0 failed=0

# count_ctest DIR: adds a test program's cases (cmocka prints one line each), or 1 for a program without cases.
count_ctest() {
    local counts
    counts=$(python3 "$root/deploy/dev/count_ctest.py" "$1") || { failed=$((failed + 1)); return; }
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
}

run_ctest() { # DIR WHAT
    say "$2"
    ctest --test-dir "$1" --output-on-failure -j 2 --timeout 900 >"$log/ctest.log" 2>&1 ||
        { grep -vE '^ *[0-9]+/[0-9]+ Test.*Passed' "$log/ctest.log" | tail -n 60; }
    count_ctest "$1"
}

bash "$root/deploy/setup.sh" || exit 1
need_packages libcmocka-dev libsimde-dev python3-venv universal-ctags man-db
build_lode -DLODE_TESTS=ON
run_ctest "$build" "Tests (Release)"

cycles=200
[ "$quick" = yes ] && cycles=20
say "Kill -9 loop, $cycles cycles"
if "$build/tests/fault/fault_crash" --cycles "$cycles" >"$log/kill9.log" 2>&1; then
    passed=$((passed + 1))
else
    tail -n 20 "$log/kill9.log"
    failed=$((failed + 1))
fi

if [ "$quick" = no ]; then
    say "CUDA sources: compile, link, open"
    if bash "$root/deploy/dev/check_cuda.sh"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi

    asan=$root/build-asan
    run_logged asan-cmake "the sanitizer build could not be configured" \
        cmake -S "$root" -B "$asan" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLODE_TESTS=ON \
        -DLODE_SANITIZE=address,undefined
    run_logged asan-build "the sanitizer build failed" ninja -C "$asan"
    run_ctest "$asan" "Tests (ASan+UBSan)"

    venv=$build/venv
    if ! cmp -s "$root/tests/e2e/requirements.txt" "$venv/installed.txt"; then
        say "Installing the client packages that the end-to-end tests use"
        run_logged venv "the Python environment could not be made" python3 -m venv "$venv"
        run_logged pip "a client package could not be installed" \
            "$venv/bin/pip" install -q --disable-pip-version-check -r "$root/tests/e2e/requirements.txt"
        cp "$root/tests/e2e/requirements.txt" "$venv/installed.txt"
    fi
    say "End-to-end tests"
    (cd "$root" && "$venv/bin/python" -m pytest -q --maxfail=20 -p no:cacheprovider tests/e2e \
        --junitxml="$log/e2e.xml" >"$log/e2e.log" 2>&1) || tail -n 60 "$log/e2e.log"
    counts=$(python3 "$root/deploy/dev/count_ctest.py" --junit "$log/e2e.xml") || counts="0 1"
    passed=$((passed + ${counts% *}))
    failed=$((failed + ${counts#* }))
fi

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
