#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run one test program in an emulated x86 processor that has AVX-512, and exit with its status.

The program, the shared libraries it loads and init.c become an initial RAM disk; a kernel boots it
from a CD image in Bochs; what the program prints comes back over the emulated serial line.
"""
import argparse
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time

BEGIN = b"\n[lode-emu begin]\n"
END_MARK = b"\n[lode-emu exit "
END = re.compile(re.escape(END_MARK) + rb"(\d+)\]\n")
TIMED_OUT = 124
NO_RESULT = 125

# Debian's 6.1 kernel dies early on Bochs 3.0's sapphire_rapids with these: AMX comes without the XFD
# that the kernel needs for it, and five-level paging ends in a jump to nowhere.
ALWAYS_WITHOUT = ["amx", "amx_int8", "amx_bf16", "la57"]

# No speculation work-arounds: they cost emulated time and prove nothing. With fsrm the kernel loops in
# its own exception entry as soon as it patches its memmove.
KERNEL_LINE = ("console=ttyS0,115200 quiet loglevel=1 nokaslr mitigations=off tsc=reliable "
               "clearcpuid=fsrm rdinit=/init")

ISOLINUX = f"DEFAULT lode\nPROMPT 0\nLABEL lode\n KERNEL /vmlinuz\n INITRD /initrd\n APPEND {KERNEL_LINE}\n"

# sync=none lets emulated time run as fast as the emulator does; ips only scales the guest's clocks.
BOCHS = """display_library: nogui
megs: {megs}
romimage: file={emu}/bios.bin
vgaromimage: file={emu}/vgabios.bin
cpu: model={model}, count=1, ips=50000000, reset_on_triple_fault=0, ignore_bad_msrs=1{without}
clock: sync=none
ata0-master: type=cdrom, path={work}/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={work}/serial
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
log: {work}/log
"""


class Cpio:
    """The "newc" archive that the kernel unpacks as its first root."""

    def __init__(self):
        self.parts, self.inode, self.have = [], 0, set()

    def add(self, name, mode, data=b"", rdev=(0, 0)):
        name = name.strip("/")
        if name in self.have:
            return
        self.have.add(name)
        parent = os.path.dirname(name)
        if parent:
            self.add(parent, stat.S_IFDIR | 0o755)
        self.inode += 1
        path = name.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *rdev, len(path), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        self.parts += [head, b"\0" * (-len(head) % 4), data, b"\0" * (-len(data) % 4)]

    def add_host(self, path, name=None):
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.stat(path).st_mode)
            self.add(name or os.path.abspath(path), stat.S_IFREG | mode, file.read())

    def add_tree(self, path):
        if not os.path.isdir(path):
            self.add_host(path)
        for folder, _, names in os.walk(path):
            for name in names:
                self.add_host(os.path.join(folder, name))

    def bytes(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)


def libraries(program):
    """The files the loader opens for program; none for a static one."""
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return re.findall(r"(/\S+) \(0x", told.stdout)


def initrd(options):
    disk = Cpio()
    disk.add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
    disk.add_host(os.path.join(options.emu, "init"), "init")
    disk.add_host(options.program, "test")
    disk.add("args", stat.S_IFREG | 0o644, "\n".join(options.args).encode())
    for path in libraries(options.program):
        disk.add_host(path)
    for path in options.file:
        disk.add_tree(path)
    return disk.bytes()


def write(path, content):
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())


def boot_image(options, work):
    root = os.path.join(work, "cd")
    os.makedirs(os.path.join(root, "isolinux"))
    write(os.path.join(root, "initrd"), initrd(options))
    write(os.path.join(root, "isolinux/isolinux.cfg"), ISOLINUX)
    for name, at in (("vmlinuz", ""), ("isolinux.bin", "isolinux"), ("ldlinux.c32", "isolinux")):
        with open(os.path.join(options.emu, name), "rb") as file:
            write(os.path.join(root, at, name), file.read())
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-o", os.path.join(work, "boot.iso"),
                    "-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat", "-no-emul-boot",
                    "-boot-load-size", "4", "-boot-info-table", root],
                   check=True, stderr=subprocess.DEVNULL)


def configure(options, work):
    without = ",".join(ALWAYS_WITHOUT + options.without)
    write(os.path.join(work, "bochsrc"),
          BOCHS.format(emu=options.emu, work=work, megs=options.megs, model=options.model,
                       without=f', exclude_features="{without}"'))


def printed(seen, begin):
    """Where the program's output stops in seen, and its exit status once that is there."""
    end = END.search(seen, begin - 1)
    if end:
        return max(end.start(), begin), int(end.group(1))
    line = seen.rfind(b"\n", begin - 1)  # the last line may be half of the end mark
    half = END_MARK.startswith(seen[line:][:len(END_MARK)])
    return max(line if half else len(seen), begin), None


def relay(emulator, serial, deadline):
    """Copies what the program prints to our output; returns its exit status."""
    seen, shown = b"", None
    while True:
        over = "" if emulator.poll() is None else f"stopped ({emulator.returncode})"
        over = over or ("ran out of time" if time.monotonic() > deadline else "")
        if os.path.exists(serial):
            with open(serial, "rb") as file:
                seen = file.read()
        if shown is None and BEGIN in seen:
            shown = seen.index(BEGIN) + len(BEGIN)
        if shown is not None:
            stop, status = printed(seen, shown)
            sys.stdout.buffer.write(seen[shown:stop])
            sys.stdout.flush()
            shown = stop
            if status is not None:
                return status
        if over:
            sys.stdout.buffer.write(seen[-3000:] if shown is None else seen[shown:])
            print(f"\nemulator {over} before the test ended; its log ends:", flush=True)
            subprocess.run(["tail", "-n", "8", os.path.join(os.path.dirname(serial), "log")],
                           check=False)
            return TIMED_OUT if emulator.returncode is None else NO_RESULT
        time.sleep(0.2)


def run(options, work):
    boot_image(options, work)
    configure(options, work)
    command = [os.path.join(options.emu, "bochs"), "-q", "-f", os.path.join(work, "bochsrc")]
    emulator = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
    try:
        return relay(emulator, os.path.join(work, "serial"), time.monotonic() + options.timeout)
    finally:
        emulator.kill()
        emulator.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--emu", default=os.environ.get("LODE_EMU", "/opt/lode-emu"),
                        help="where setup.sh installed the emulator ($LODE_EMU)")
    parser.add_argument("--model", default="sapphire_rapids",
                        help="processor: corei7_skylake_x, corei7_icelake_u, tigerlake, sapphire_rapids")
    parser.add_argument("--without", action="append", default=[],
                        help="a feature to take away, e.g. avx512bf16 or avx512vnni")
    parser.add_argument("--file", action="append", default=[],
                        help="a file or folder the program reads, kept at its own path")
    parser.add_argument("--megs", type=int, default=512, help="memory of the machine")
    parser.add_argument("--timeout", type=float, default=300, help="seconds")
    parser.add_argument("program")
    parser.add_argument("args", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the emulator too
    with tempfile.TemporaryDirectory(prefix="lode-emu-") as work:
        return run(options, work)


if __name__ == "__main__":
    sys.exit(main())
