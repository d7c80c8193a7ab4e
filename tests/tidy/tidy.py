#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""House rules that a machine can check, over the whole tree. Usage: tidy.py [ROOT]. Prints one line per fault and
exits with 1 if there is any. Exceptions, each with its reason, are in exceptions.txt beside this file."""
import os
import re
import sys

# A layer may include itself and the layers in its set.
LAYERS = {
    'base': set(),
    'storage': {'base'},
    'encoder': {'base'},
    'indexer': {'base', 'storage', 'encoder'},
    'query': {'base', 'storage', 'encoder', 'indexer'},
    'gateway': {'base', 'storage', 'encoder', 'indexer', 'query'},
}

# Third-party headers (by the start of their name) and the only places that may include them.
HOMES = {
    'lmdb.h': ('storage/store_internal.h', 'storage/store.c'),
    'faiss/': ('indexer/faiss_shim.cpp',),
    'oneapi/': ('encoder/cpu/gemm_onednn.c',),
    'dnnl': ('encoder/cpu/gemm_onednn.c',),
    'cblas.h': ('encoder/cpu/', 'indexer/faiss_shim.cpp'),
    'cuda': ('encoder/cuda/', 'tests/gpu/'),
    'cublas': ('encoder/cuda/', 'tests/gpu/'),
    'lode_ptx.cuh': ('encoder/cuda/', 'tests/gpu/'),  # ours; a fake device has its own of the same name
    'sanitizer/': ('tests/',),
    'cjson/': ('base/json.c',),
    'roaring/': ('base/bitmap.c',),
    'openssl/': ('base/digest.c',),
    'event2/': ('gateway/http/',),
    'utf8proc.h': ('encoder/tokenizer/', 'indexer/', 'base/'),
    'libstemmer.h': ('indexer/analyze.c',),
    'expat.h': ('indexer/readers/',),
    'zlib.h': ('indexer/readers/',),
    'omp.h': ('encoder/cpu/', 'indexer/faiss_shim.cpp'),
    'simde/': ('tests/', 'base/vec_', 'encoder/cpu/'),
    'cmocka.h': ('tests/',),
}

# C, C++, POSIX, Linux and compiler headers; any other <header> must have a home above.
SYSTEM = set('''
assert.h ctype.h errno.h fenv.h float.h inttypes.h limits.h locale.h math.h setjmp.h signal.h stdarg.h stdatomic.h
stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h strings.h time.h uchar.h wchar.h
arpa/inet.h dirent.h dlfcn.h fcntl.h fnmatch.h ftw.h getopt.h glob.h libgen.h malloc.h netdb.h netinet/in.h
netinet/tcp.h poll.h pthread.h sched.h semaphore.h spawn.h syslog.h termios.h ucontext.h unistd.h utime.h
sys/auxv.h sys/epoll.h sys/eventfd.h sys/file.h sys/inotify.h sys/ioctl.h sys/mman.h sys/mount.h sys/prctl.h sys/random.h
sys/resource.h
sys/select.h sys/sendfile.h sys/signalfd.h sys/socket.h sys/stat.h sys/statfs.h sys/statvfs.h sys/syscall.h
sys/sysinfo.h sys/time.h sys/timerfd.h sys/types.h sys/uio.h sys/un.h sys/utsname.h sys/wait.h
cpuid.h immintrin.h nmmintrin.h x86intrin.h arm_neon.h
algorithm atomic cmath condition_variable cstdarg cstddef cstdint cstdio cstdlib cstring deque exception functional
limits map memory mutex new queue set stdexcept string thread type_traits unordered_map utility vector
'''.split())

BANNED = {  # call: what to use instead
    'strcpy': 'lode_buf or snprintf', 'strcat': 'lode_buf or snprintf', 'sprintf': 'snprintf',
    'vsprintf': 'vsnprintf', 'gets': 'fgets', 'atoi': 'lode_str_u64', 'atol': 'lode_str_u64',
    'atoll': 'lode_str_u64', 'atof': 'lode_str_f64', 'strtok': 'lode_str_split', 'gmtime': 'gmtime_r',
    'localtime': 'localtime_r', 'ctime': 'lode_time_format', 'asctime': 'lode_time_format',
    'setlocale': 'nothing: the locale stays "C"', 'alloca': 'lode_arena', 'system': 'posix_spawn',
}
HEAP = {'malloc', 'calloc', 'realloc', 'strdup', 'strndup', 'aligned_alloc'}  # layers allocate through base/mem.h
ENVIRONMENT = {'getenv', 'secure_getenv', 'setenv', 'putenv'}
MAY_READ_ENVIRONMENT = ('base/cpu.c', 'base/mem.c', 'gateway/config.c', 'gateway/cli/', 'tests/')

LINE_MAX = 100
FUNCTION_MAX = 70
FILE_MAX = 600
UNFINISHED = re.compile(r'\b(' + '|'.join(('TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X')) + r')\b')
C_ENDS = ('.c', '.h', '.cpp', '.cu', '.cuh')
SCRIPT_ENDS = ('.py', '.sh')
TEXT_ENDS = C_ENDS + SCRIPT_ENDS + ('.txt', '.cmake', '.md')
GENERATED = re.compile(r'_tables?\.(c|h)$')
SKIPPED_FOLDERS = re.compile(r'^(\..*|__pycache__|corpus)$')
SKIPPED_AT_ROOT = re.compile(r'^(build.*|shared|models)$')
CALL = re.compile(r'(?<![\w.>])([a-z_][a-z0-9_]*)\s*\(')
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_only(text):
    """text with comments and literals blanked, line numbers kept."""
    def blank(match):
        return '\n' * match.group(0).count('\n') + ' '
    return NOT_CODE.sub(blank, text)


def find_files(root):
    for folder, subfolders, names in os.walk(root):
        at_root = folder == root
        subfolders[:] = sorted(s for s in subfolders if not SKIPPED_FOLDERS.match(s)
                               and not (at_root and SKIPPED_AT_ROOT.match(s)))
        for name in sorted(names):
            if name.endswith(TEXT_ENDS):
                yield os.path.relpath(os.path.join(folder, name), root)


class Checker:
    def __init__(self, root, exceptions):
        self.root = root
        self.exceptions = exceptions
        self.used = set()
        self.faults = []

    def fault(self, rule, path, line, message):
        if (rule, path) in self.exceptions:
            self.used.add((rule, path))
        else:
            self.faults.append('%s:%d: [%s] %s' % (path, line, rule, message))

    def check_first_line(self, path, lines):
        if path.endswith(C_ENDS):
            wanted, at = '/* SPDX-License-Identifier: MIT */', 0
        elif path.endswith(SCRIPT_ENDS):
            wanted, at = '# SPDX-License-Identifier: MIT', 1 if lines and lines[0].startswith('#!') else 0
        else:
            return
        if len(lines) <= at or lines[at] != wanted:
            self.fault('spdx', path, at + 1, 'must be "%s"' % wanted)

    def check_words(self, path, lines):
        if path.endswith('.md'):
            return
        for number, line in enumerate(lines, 1):
            if UNFINISHED.search(line):
                self.fault('unfinished', path, number, line.strip())

    def check_shape(self, path, lines):
        """Lengths of lines, functions and the file. A body opens with '{' and closes with '}' in column 0."""
        if GENERATED.search(path):
            return
        if len(lines) > FILE_MAX:
            self.fault('file-length', path, len(lines), '%d lines, at most %d' % (len(lines), FILE_MAX))
        opened = None
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_MAX:
                self.fault('line-length', path, number, '%d columns, at most %d' % (len(line), LINE_MAX))
            if line.endswith((' ', '\t')) or '\t' in line:
                self.fault('white-space', path, number, 'tab or space at the end')
            if line == '{':
                opened = number
            elif line == '}' and opened:
                if number - opened + 1 > FUNCTION_MAX:
                    self.fault('function-length', path, opened,
                               '%d lines, at most %d' % (number - opened + 1, FUNCTION_MAX))
                opened = None

    def check_include(self, path, number, quoted, target):
        layer = path.split('/')[0]
        if quoted:
            beside = os.path.join(self.root, os.path.dirname(path), target)
            known = os.path.exists(os.path.join(self.root, target))
            if not known and not (layer == 'tests' and os.path.exists(beside)):
                self.fault('include-root', path, number, '"%s" is not a path from the root' % target)
            folder = os.path.dirname(target)
            inside = os.path.basename(target).endswith('internal.h')
            if inside and not os.path.dirname(path).startswith(folder) and not path.startswith('tests/'):
                self.fault('internal', path, number, '"%s" belongs to its folder' % target)
            upper = target.split('/')[0]
            if layer in LAYERS and upper in LAYERS and upper != layer and upper not in LAYERS[layer]:
                self.fault('direction', path, number, '%s may not include "%s"' % (layer, target))
            return
        for start, homes in HOMES.items():
            if target.startswith(start):
                if not path.startswith(homes):
                    self.fault('home', path, number, '<%s> lives in %s' % (target, ', '.join(homes)))
                return
        if target not in SYSTEM:
            self.fault('home', path, number, '<%s> has no home in tidy.py' % target)

    def check_includes(self, path, lines):
        for number, line in enumerate(lines, 1):
            match = INCLUDE.match(line)
            if match:
                self.check_include(path, number, match.group(1) == '"', match.group(2))

    def check_calls(self, path, text):
        layer = path.split('/')[0]
        for number, line in enumerate(code_only(text).split('\n'), 1):
            for call in CALL.findall(line):
                if call in BANNED and not (call == 'system' and layer == 'tests'):
                    self.fault('banned', path, number, '%s: use %s' % (call, BANNED[call]))
                if call in HEAP and layer in LAYERS and path != 'base/mem.c':
                    self.fault('heap', path, number, '%s: allocate through base/mem.h' % call)
                if call in ENVIRONMENT and not path.startswith(MAY_READ_ENVIRONMENT):
                    self.fault('environment', path, number, '%s: settings come as arguments' % call)

    def check_readmes(self, paths):
        folders = {os.path.dirname(p) for p in paths if p.endswith(C_ENDS) and not p.startswith('tests/')}
        if any(p.startswith('tests/') for p in paths):
            folders.add('tests')
        for folder in sorted(folders):
            if not os.path.exists(os.path.join(self.root, folder, 'README.md')):
                self.fault('readme', folder, 1, 'a folder with source needs a README.md')

    def check_file(self, path):
        with open(os.path.join(self.root, path), encoding='utf-8') as f:
            text = f.read()
        lines = text.split('\n')
        if lines[-1] == '':
            lines.pop()
        self.check_first_line(path, lines)
        self.check_words(path, lines)
        if path.endswith(C_ENDS):
            self.check_shape(path, lines)
            self.check_includes(path, lines)
            self.check_calls(path, text)

    def check_tree(self):
        paths = list(find_files(self.root))
        for path in paths:
            self.check_file(path)
        self.check_readmes(paths)
        for rule, path in sorted(set(self.exceptions) - self.used):
            self.faults.append('tests/tidy/exceptions.txt:1: [stale] %s %s is not needed' % (rule, path))
        return self.faults


def read_exceptions(path):
    """Lines "rule path reason"; # starts a comment."""
    found = {}
    if not os.path.exists(path):
        return found
    with open(path, encoding='utf-8') as f:
        for line in f:
            line = line.strip()
            if not line or line.startswith('#'):
                continue
            rule, where, reason = line.split(None, 2)
            found[(rule, where)] = reason
    return found


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(here))
    exceptions = read_exceptions(os.path.join(root, 'tests', 'tidy', 'exceptions.txt'))
    faults = Checker(root, exceptions).check_tree()
    for line in faults:
        print(line)
    print('tidy: %d faults' % len(faults))
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
