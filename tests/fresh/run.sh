#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The way of a new user: a minimal Debian root made by debootstrap, a clean clone copied in, and the README's two commands
# run there: setup and quickstart on Debian 12 (bookworm), setup alone on Debian 13 (trixie).
# usage: tests/fresh/run.sh [bookworm|trixie ...]     needs root and debootstrap; prints what each step took
# Package sources and certificates are taken over from this machine, so that a mirror set up here is used there too.
set -euo pipefail
repo=$(cd "$(dirname "$0")/../.." && pwd)
suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(bookworm trixie)
[ "$(id -u)" = 0 ] || { echo "run.sh: debootstrap and chroot need root" >&2; exit 1; }
command -v debootstrap >/dev/null || apt-get install -y -qq debootstrap >/dev/null
work=${LODE_FRESH_DIR:-/var/tmp/lode-fresh}
mirror=${LODE_DEBIAN_MIRROR:-http://deb.debian.org/debian}
security=${LODE_DEBIAN_SECURITY:-http://deb.debian.org/debian-security}

in_root() { # ROOT COMMAND...: as a login there would, with only what package clients need from our environment
    local target=$1
    shift
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb \
        PIP_CERT=/etc/ssl/this-machine.crt \
        ${PIP_INDEX_URL:+PIP_INDEX_URL="$PIP_INDEX_URL"} ${http_proxy:+http_proxy="$http_proxy"} \
        ${https_proxy:+https_proxy="$https_proxy"} chroot "$target" "$@"
}

make_root() { # SUITE ROOT: a minbase root, kept for the next run
    local suite=$1 target=$2
    [ -f "$target/.made" ] && return 0
    rm -rf "$target"
    mkdir -p "$target"
    debootstrap --variant=minbase "$suite" "$target" "$mirror" >"$work/debootstrap-$suite.log" 2>&1
    printf 'deb %s %s main\ndeb %s %s-security main\n' "$mirror" "$suite" "$security" "$suite" \
        >"$target/etc/apt/sources.list"
    touch "$target/.made"
}

steps() { # SUITE ROOT
    local suite=$1 target=$2 start
    cp /etc/resolv.conf "$target/etc/resolv.conf" 2>/dev/null || true
    cp /etc/hosts "$target/etc/hosts" 2>/dev/null || true
    # Not under its usual name: installing ca-certificates would write that file anew.
    mkdir -p "$target/etc/ssl"
    cp -L "${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" "$target/etc/ssl/this-machine.crt"
    rm -rf "$target/root/lode"
    git clone -q "$repo" "$target/root/lode"
    start=$SECONDS
    in_root "$target" bash -c 'cd /root/lode && deploy/setup.sh'
    echo "== $suite: setup.sh passed in $((SECONDS - start)) s"
    # Again: quiet and quick when all is well.
    start=$SECONDS
    [ -z "$(in_root "$target" bash -c 'cd /root/lode && deploy/setup.sh')" ] || {
        echo "run.sh: a second setup.sh on $suite was not quiet" >&2
        return 1
    }
    echo "== $suite: second setup.sh, quiet, $((SECONDS - start)) s"
    [ "$suite" = bookworm ] || return 0
    start=$SECONDS
    in_root "$target" bash -c 'cd /root/lode && deploy/quickstart.sh --no-serve'
    echo "== $suite: quickstart.sh passed in $((SECONDS - start)) s after setup"
}

mkdir -p "$work"
for suite in "${suites[@]}"; do
    target=$work/$suite
    made=$SECONDS
    make_root "$suite" "$target"
    echo "== $suite: root made in $((SECONDS - made)) s"
    mount -t proc proc "$target/proc" 2>/dev/null || true
    mount --bind /dev "$target/dev" 2>/dev/null || true
    trap 'umount -l "$target/proc" "$target/dev" 2>/dev/null || true' EXIT
    steps "$suite" "$target"
    umount -l "$target/proc" "$target/dev" 2>/dev/null || true
done
echo "fresh: passed on ${suites[*]}"
