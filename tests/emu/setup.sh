#!/bin/sh
# SPDX-License-Identifier: MIT
# setup.sh BOCHS_SOURCE KERNEL_DEB [PREFIX]: installs what run.py needs into PREFIX (/opt/lode-emu).
# BOCHS_SOURCE is the unpacked source of Bochs 3.0 or newer, KERNEL_DEB the package of Debian's cloud
# kernel; README.md says how to get both. One build takes about two minutes on two cores.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
source=$1
kernel_deb=$2
prefix=${3:-/opt/lode-emu}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$prefix"

# No window, no devices that the run does not use, no debugger: the plain loop is the fastest.
# EVEX brings AVX-512 with VNNI and BF16. Contraction is off so that no emulated rounding can change.
cp -R "$source" "$work/bochs"
cd "$work/bochs"
flags="-O3 -march=native -ffp-contract=off -w"
CFLAGS="$flags" CXXFLAGS="$flags -std=c++17" ./configure --prefix="$prefix" --with-nogui \
    --enable-cpu-level=6 --enable-x86-64 --enable-pci --enable-avx --enable-evex --enable-amx \
    --enable-all-optimizations --disable-plugins --disable-debugger --disable-docbook
make -j"$(nproc)"
install -s bochs "$prefix/bochs"

dpkg-deb -x "$kernel_deb" "$work/kernel"
cp "$work"/kernel/boot/vmlinuz-* "$prefix/vmlinuz"

cp /usr/share/bochs/BIOS-bochs-latest "$prefix/bios.bin"
cp /usr/share/vgabios/vgabios.bin "$prefix/vgabios.bin"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$prefix/"

${CC:-cc} -O2 -Wall -Wextra -static -o "$prefix/init" "$here/init.c"
${CC:-cc} -O2 -Wall -Wextra -o "$prefix/probe" "$here/probe.c"
"$here/run.py" --emu "$prefix" "$prefix/probe"
