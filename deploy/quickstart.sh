#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# From a clean clone to a running search page: sets up, indexes FOLDER (default: the PostgreSQL manual),
# answers three questions on the terminal, then serves on 127.0.0.1. Run it again at any time.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'U'
usage: deploy/quickstart.sh [FOLDER] [--no-serve] [--port N] [--data DIR]
  FOLDER      what to index (text, Markdown, HTML, CSV, JSON, JSONL); default: the PostgreSQL manual
  --no-serve  stop after the three answers
  --port N    port of the server (default 8080, on 127.0.0.1)
  --data DIR  data directory (default $LODE_DATA, else ~/.local/share/lode)
U
}
folder='' serve=yes port=8080 data=${LODE_DATA:-$HOME/.local/share/lode}
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help) usage; exit 0 ;;
    --no-serve) serve=no ;;
    --port | --data)
        [ $# -ge 2 ] || die "$1 needs a value"
        if [ "$1" = --port ]; then port=$2; else data=$2; fi
        shift
        ;;
    -*) usage >&2; die "unknown option '$1'" ;;
    *)
        [ -z "$folder" ] || die "one folder at a time: '$folder' and '$1' were given"
        folder=$1
        ;;
    esac
    shift
done
case "$port" in '' | *[!0-9]*) die "--port takes a number, not '$port'" ;; esac
[ -z "$folder" ] || [ -e "$folder" ] || die "there is no folder '$folder'"

# The manual comes out of its Debian package without being installed (slim systems drop /usr/share/doc).
postgres_manual() {
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/lode version tmp
    for version in 15 17; do
        folder=$cache/postgresql-doc-$version/html
        [ -f "$folder/index.html" ] && return 0
    done
    apt-cache show postgresql-doc-15 >/dev/null 2>&1 || apt-cache show postgresql-doc-17 >/dev/null 2>&1 ||
        as_root apt-get update -qq >"$log/apt.log" 2>&1 || die "the package list could not be refreshed (see $log/apt.log)"
    for version in 15 17; do apt-cache show "postgresql-doc-$version" >/dev/null 2>&1 && break; done
    say "Getting the PostgreSQL $version manual"
    tmp=$(mktemp -d)
    (cd "$tmp" && apt-get download -qq "postgresql-doc-$version" >"$log/manual.log" 2>&1) ||
        die "the package postgresql-doc-$version could not be downloaded (see $log/manual.log); name a folder of your own instead"
    mkdir -p "$cache/postgresql-doc-$version"
    dpkg-deb -x "$tmp"/*.deb "$tmp/x"
    folder=$cache/postgresql-doc-$version/html
    rm -rf "$folder"
    mv "$tmp/x/usr/share/doc/postgresql-doc-$version/html" "$folder"
    rm -rf "$tmp"
}

bash "$root/deploy/setup.sh"
mkdir -p "$log"
lode=$build/lode
questions=("How do I take a backup while the server keeps running?"
    "How can I find out why a query is slow?"
    "What removes old row versions, and when does it run?")
if [ -z "$folder" ]; then
    postgres_manual
else # questions that this folder can answer: the titles of three of its documents
    questions=()
fi
say "Indexing $folder into $data"
"$lode" index --data "$data" "$folder" || die "indexing failed; run the same command again, it goes on where it stopped"
if [ ${#questions[@]} = 0 ]; then
    mapfile -t questions < <("$lode" documents list --data "$data" --json --limit 3 |
        python3 -c 'import json,sys
for line in sys.stdin:
    d = json.loads(line)
    for d in (d.get("documents", [d]) if isinstance(d, dict) else d):
        print(d.get("title") or d["id"])' | head -n 3)
fi
for question in "${questions[@]}"; do
    say
    say "? $question"
    "$lode" query --data "$data" -k 3 "$question" || [ $? = 1 ]
done
say
if [ "$serve" = no ]; then
    say "Serve it with: $lode serve --data $data --port $port"
    exit 0
fi
say "Search page: http://127.0.0.1:$port/    (Ctrl-C stops the server)"
exec "$lode" serve --data "$data" --port "$port"
