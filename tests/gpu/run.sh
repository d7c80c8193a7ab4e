#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Everything that needs a GPU, in order, each step within ten minutes: run it in a checkout or in a bundle of deploy/gpu-bundle.sh.
# Prints figures and writes them to a file; without a device every step says why it is skipped, and nothing fails.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

usage() {
    cat <<'U'
usage: tests/gpu/run.sh [STEP...]
  build   builds the encoder, the CUDA module and their tests, where the programs at hand do not run here
  ops     every kernel and the host side against plain C, then under compute-sanitizer memcheck and racecheck
  models  whole model beside sentence-transformers: least cosine of 1,000 texts, f32 bf16 f16 fp8
  speed   rates of the usual shapes, and one query at a time
  peers   beside sentence-transformers on the same device, f16 and bf16
  search  exact search on the device
  serve   end to end over HTTP: 1,024 requests in flight, base64 (where the bundle was made with --serve, or lode was built)
  soak    five minutes of mixed load, device memory sampled
  Without a step: all of them.
  MODEL=DIR  the model folder (default: models/all-MiniLM-L6-v2)   WORK=DIR    what is made here (default: build/gpu-work)
  SOAK_SECONDS=300   PYTHON=python3   CUDA_HOME=DIR   RESULTS=FILE (default: $WORK/results.txt)
U
}
case "${1:-}" in -h | --help) usage; exit 0 ;; esac

MODEL=${MODEL:-$root/models/all-MiniLM-L6-v2}
WORK=${WORK:-$root/build/gpu-work}
PYTHON=${PYTHON:-python3}
mkdir -p "$WORK"
RESULTS=${RESULTS:-$WORK/results.txt}
programs=$root/bin
failed=0

say() { printf '%s\n' "$*" | tee -a "$RESULTS"; }
fault() { say "FAILED: $*"; failed=$((failed + 1)); }

# cuBLASLt of a toolkit, or of the wheels that torch brings along.
for home in "${CUDA_HOME:-}" /usr/local/cuda "$root/build/cuda-toolkit"; do
    [ -n "$home" ] && [ -d "$home/bin" ] && PATH=$PATH:$home/bin && LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}:$home/lib64
done
wheels=$("$PYTHON" - 2>/dev/null <<'P'
import glob, importlib.util
found = importlib.util.find_spec("nvidia")
folders = list(found.submodule_search_locations) if found else []
print(":".join(p for f in folders for p in glob.glob(f + "/cu13/lib") + glob.glob(f + "/cublas/lib")))
P
)
export PATH LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}:$root/lib:$wheels

runs() { # 2 is the usage; other codes are the loader's or a crash
    [ -x "$1/lode-encode-bench" ] || return 1
    "$1/lode-encode-bench" >/dev/null 2>&1
    [ $? = 2 ] && [ -x "$1/test_cuda_ops_device" ]
}

build() {
    local bundled=() nvcc
    runs "$programs" && { say "build: $programs runs here"; return; }
    programs=$root/build-gpu
    # A bundle brings the two libraries that a bare machine lacks.
    [ -f "$root/include/cjson/cJSON.h" ] && bundled=(
        "-DCJSON_INCLUDE=$root/include" "-DCJSON_LIBRARY=$root/lib/libcjson.so"
        "-DCMOCKA_INCLUDE=$root/include" "-DCMOCKA_LIBRARY=$root/lib/libcmocka.so")
    nvcc=$(bash "$root/deploy/cuda-toolkit.sh") || { fault "build: no CUDA toolkit"; return 1; }
    if ! { cmake -S "$root" -B "$programs" -G Ninja -DLODE_ENCODER_ONLY=ON -DLODE_CUDA=ON -DLODE_TESTS=ON \
        -DLODE_ONEDNN=OFF "-DLODE_NVCC=$nvcc" "${bundled[@]}" &&
        ninja -C "$programs"; } >"$WORK/build.log" 2>&1; then
        tail -n 20 "$WORK/build.log"
        fault "build: see $WORK/build.log"
        return 1
    fi
    say "build: $programs"
}

bench() { "$programs/lode-encode-bench" "$@"; }

# device STEP: false, with the reason told, when there is none.
device() { # STEP [MODEL]
    local words
    words=$(bench "${2:-$MODEL}" --device cuda --latency --count 2 --rounds 1 2>&1) && return 0
    case $words in
    *"CUDA module"* | *"CUDA device"*) say "$1: skipped: $words" ;;
    *) fault "$1: $words" ;;
    esac
    return 1
}

one_test() { # NAME WORDS COMMAND...
    local log=$WORK/$1.log words=$2
    shift 2
    if "$@" >"$log" 2>&1; then
        say "ops: $words: $(grep -c '\[       OK \]' "$log") tests passed"
    else
        grep -E 'FAILED|ERROR|====' "$log" | head -n 30
        fault "ops: $words: see $log"
    fi
}

ops() {
    local test tool sanitizer
    device ops || return
    sanitizer=$(command -v compute-sanitizer || true)
    export LODE_TEST_CUDA_MODULE=$programs/liblode_cuda.so LODE_MODEL=
    # The golden vectors are of the f32 weights; what f16 weights give, the step models compares with its like.
    head -c 300 "$MODEL/model.safetensors" | grep -q '"F16"' || LODE_MODEL=$MODEL
    cd "$root" || return # tests find their golden files from here
    for test in "$programs"/test_cuda_*_device; do
        one_test "$(basename "$test")" "$(basename "$test")" timeout 60 "$test"
    done
    [ -n "$sanitizer" ] || { say "ops: compute-sanitizer is not installed: memcheck and racecheck skipped"; return; }
    for tool in memcheck racecheck; do
        one_test "$tool" "kernels under $tool" timeout 170 "$sanitizer" --tool $tool --error-exitcode 9 \
            "$programs/test_cuda_ops_device"
        one_test "$tool-scan" "exact search under $tool" timeout 280 "$sanitizer" --tool $tool --error-exitcode 9 \
            "$programs/test_cuda_scan_device"
    done
}

texts() { # KIND COUNT -> a file
    local file=$WORK/texts-$1-$2.txt
    [ -s "$file" ] || "$PYTHON" "$root/tests/gpu/texts.py" "$MODEL" "$1" "$2" >"$file"
    printf '%s' "$file"
}

shape() { # NAME LAYERS HIDDEN HEADS INNER -> a model folder with random weights
    local folder=$WORK/$1
    [ -f "$folder/.made" ] || {
        rm -rf "$folder"
        "$PYTHON" "$root/tests/bench/make_random_model.py" "$MODEL" "$folder" --layers "$2" --hidden "$3" --heads "$4" \
            --inner "$5" --window 512 --f16 && touch "$folder/.made"
    }
    printf '%s' "$folder"
}

python_has() { "$PYTHON" -c "import $1" 2>/dev/null || { say "$2: skipped: $PYTHON has no $1"; return 1; }; }

models() {
    device models || return
    python_has sentence_transformers models || return
    "$PYTHON" "$root/tests/gpu/compare_st.py" "$programs/lode-encode-bench" "$MODEL" "$(texts mixed 1000)" 2>"$WORK/models.log" |
        tee -a "$RESULTS"
    [ "${PIPESTATUS[0]}" = 0 ] || fault "models: see $WORK/models.log"
}

rate() { # WORDS MODEL ARGUMENT...
    local words=$1 line
    shift
    if line=$(bench "$@" --device cuda 2>&1); then
        say "speed: $words: $(grep seq/s <<<"$line")"
    else
        fault "speed: $words: $line"
    fi
}

speed() {
    local base large dtype kind
    device speed || return
    python_has numpy speed || return
    base=$(shape bert-base 12 768 12 3072)
    large=$(shape bert-large 24 1024 16 4096)
    for dtype in bf16 fp8; do # the model alone: token ids in, vectors out
        rate "BERT-base, 512 tokens, $dtype" "$base" --tokens 512 --count 8192 --batch 512 --callers 8 --model-only \
            --dtype $dtype
        rate "BERT-base, 50 tokens, $dtype" "$base" --tokens 50 --count 65536 --batch 1024 --callers 8 --model-only \
            --dtype $dtype
        rate "MiniLM, 128 tokens, $dtype" "$MODEL" --tokens 128 --count 65536 --batch 1024 --callers 8 --model-only \
            --dtype $dtype
        rate "BERT-large, lengths like SQuAD's (texts.py), $dtype" "$large" --texts "$(texts squad 8192)" --batch 512 \
            --callers 8 --model-only --dtype $dtype
    done
    # With tokenising; over HTTP: step serve.
    rate "BERT-base, 512 tokens, from text" "$base" --tokens 512 --count 8192 --batch 512 --callers 8
    rate "BERT-base, 50 tokens, from text, 16 a call" "$base" --tokens 50 --count 32768 --batch 16 --callers 64
    rate "MiniLM, 128 tokens, from text" "$MODEL" --tokens 128 --count 65536 --batch 1024 --callers 8
    for dtype in bf16 f16 f32; do
        rate "MiniLM, one query of 16 tokens at a time, $dtype" "$MODEL" --latency --model-only --dtype $dtype
    done
    for kind in "$base" "$MODEL"; do
        say "speed: time of each step, $(basename "$kind"), 512 tokens: $(bench "$kind" --device cuda --dtype bf16 --tokens 512 \
            --count 2048 --batch 512 --profile 2>&1 | tail -n 1)"
    done
}

peers() {
    local file
    device peers || return
    python_has sentence_transformers peers || return
    file=$(texts mixed 20000)
    "$PYTHON" "$root/tests/gpu/time_st.py" "$programs/lode-encode-bench" "$MODEL" "$file" 2>"$WORK/peers.log" | tee -a "$RESULTS"
    [ "${PIPESTATUS[0]}" = 0 ] || fault "peers: see $WORK/peers.log"
}

search() {
    local program=$programs/lode-scan-bench
    device search || return
    [ -x "$program" ] || { say "search: skipped: $program was not built"; return; }
    "$program" 2>&1 | tee -a "$RESULTS"
    [ "${PIPESTATUS[0]}" = 0 ] || fault "search"
}

# What `lode serve` reaches: LABEL TOKENS TEXTS-A-REQUEST
load() {
    local reply
    reply=$("$programs/lode_load_embed" --url "http://127.0.0.1:$port" --model bert-base --inflight 1024 --tokens "$2" \
        --texts-per-request "$3" --encoding base64 --warm 5 --seconds 20 2>&1) && say "serve: $1: $(tail -n 4 <<<"$reply" | tr '\n' ' ')" ||
        fault "serve: $1: $reply"
}

serve() {
    local base server port=${PORT:-18080}
    python_has numpy serve || return
    [ -x "$programs/lode" ] && [ -x "$programs/lode_load_embed" ] ||
        { say "serve: skipped: $programs holds no lode with lode_load_embed (deploy/gpu-bundle.sh --serve)"; return; }
    base=$(shape bert-base 12 768 12 3072)
    device serve "$base" || return
    rm -rf "$WORK/data"
    "$programs/lode" serve --data "$WORK/data" --model "$base" --device cuda --embed-cache 0 --port "$port" >"$WORK/serve.log" 2>&1 &
    server=$!
    for _ in $(seq 120); do
        "$PYTHON" -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$port/readyz')" 2>/dev/null && break
        kill -0 $server 2>/dev/null || { fault "serve: $(tail -n 1 "$WORK/serve.log")"; return; }
        sleep 1
    done
    load "BERT-base, 512 tokens, one text a request" 512 1
    load "BERT-base, 512 tokens, 16 texts a request" 512 16
    load "BERT-base, 50 tokens, one text a request" 50 1
    load "BERT-base, 50 tokens, 16 texts a request" 50 16
    kill $server && wait $server
}

soak() {
    local seconds=${SOAK_SECONDS:-300} file load samples=$WORK/memory.txt
    device soak || return
    command -v nvidia-smi >/dev/null || { say "soak: skipped: no nvidia-smi to read the memory with"; return; }
    file=$(texts mixed 20000)
    : >"$samples"
    bench "$MODEL" --device cuda --texts "$file" --batch 16 --callers 32 --rounds 2 --seconds "$seconds" \
        >"$WORK/soak.log" 2>&1 &
    load=$!
    while kill -0 $load 2>/dev/null; do
        printf '%s %s\n' "$SECONDS" "$(nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits | head -n 1)" >>"$samples"
        sleep 2
    done
    wait $load || { fault "soak: $(tail -n 1 "$WORK/soak.log")"; return; }
    # After the first minute (or fifth of a shorter run) the most that was used may not grow by over 16 MiB; the end is left out.
    awk -v all="$seconds" 'NR == 1 { from = $1 + (all < 300 ? all / 5 : 60) }
        $1 >= from { n++; used[n] = $2 }
        END { n -= 2; if (n < 3) { print "too few samples"; exit 1 }
              first = used[1]; most = first; for (i = 1; i <= n; i++) if (used[i] > most) most = used[i]
              printf "device memory %d MiB after the first minute, %d MiB at most later\n", first, most; exit most > first + 16 }' \
        "$samples" >"$WORK/soak.txt" && say "soak: $seconds s: $(cat "$WORK/soak.txt"); $(grep seq/s "$WORK/soak.log")" ||
        fault "soak: $(cat "$WORK/soak.txt"), see $samples"
}

say "# $(date -u +%FT%TZ) $(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | head -n 1)"
steps=("$@")
[ $# = 0 ] && steps=(ops models speed peers search serve soak)
if ! compgen -G '/dev/nvidia[0-9]*' >/dev/null && [ ! -e /dev/dxg ] && [ "${steps[*]}" != build ]; then
    for step in "${steps[@]}"; do say "$step: skipped: this machine has no NVIDIA device"; done
    exit 0
fi
if [ "${steps[*]}" != serve ] || [ ! -x "$programs/lode" ]; then build || exit 1; fi
for step in "${steps[@]}"; do
    case $step in
    build) ;;
    ops | models | speed | peers | search | serve | soak) "$step" ;;
    *) usage >&2; exit 2 ;;
    esac
done
say "# results in $RESULTS; $failed failed"
[ $failed = 0 ]
