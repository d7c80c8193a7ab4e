#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tidy.py against small trees with one fault each: it must find that fault and no other."""
import os
import tempfile
import unittest

import tidy

SPDX = '/* SPDX-License-Identifier: MIT */\n'


def faults(files, exceptions=None):
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, 'w', encoding='utf-8') as f:
                f.write(text)
        return tidy.Checker(root, exceptions or {}).check_tree()


class TidyFinds(unittest.TestCase):
    def expect(self, rule, path, text, more=None):
        files = {'base/README.md': '', 'query/README.md': '', 'base/a.h': SPDX, 'query/q.h': SPDX,
                 'query/q_internal.h': SPDX, path: text}
        files.update(more or {})
        found = faults(files)
        self.assertEqual(len(found), 1, found)
        self.assertIn('[%s]' % rule, found[0])
        self.assertTrue(found[0].startswith(path), found)
        self.assertEqual(faults(files, {(rule, path): 'because'}), [])

    def test_a_clean_tree_has_no_faults(self):
        self.assertEqual(faults({'base/README.md': '', 'base/a.c': SPDX + '#include "base/a.h"\n',
                                 'base/a.h': SPDX + 'int f(void);\n'}), [])

    def test_a_missing_licence_line(self):
        self.expect('spdx', 'base/a.c', 'int x;\n')

    def test_an_upward_include(self):
        self.expect('direction', 'base/a.c', SPDX + '#include "query/q.h"\n')

    def test_an_include_that_is_not_from_the_root(self):
        self.expect('include-root', 'base/a.c', SPDX + '#include "a.h"\n')

    def test_an_internal_header_outside_its_folder(self):
        self.expect('internal', 'gateway/a.c', SPDX + '#include "query/q_internal.h"\n',
                    {'gateway/README.md': ''})

    def test_a_third_party_header_away_from_home(self):
        self.expect('home', 'base/a.c', SPDX + '#include <lmdb.h>\n')

    def test_a_third_party_header_without_a_home(self):
        self.expect('home', 'base/a.c', SPDX + '#include <curl/curl.h>\n')

    def test_a_cuda_header_above_the_cuda_folder(self):
        self.expect('home', 'encoder/a.c', SPDX + '#include <cuda_runtime_api.h>\n', {'encoder/README.md': ''})
        self.expect('home', 'encoder/a.c', SPDX + '#include <cublasLt.h>\n', {'encoder/README.md': ''})

    def test_cuda_headers_at_home(self):
        text = SPDX + '#include <cuda_bf16.h>\n#include <lode_ptx.cuh>\n'
        self.assertEqual(faults({'encoder/cuda/README.md': '', 'encoder/cuda/a.cu': text}), [])

    def test_a_long_kernel(self):
        body = '__global__ void f(int n)\n{\n' + '    g();\n' * 69 + '}\n'
        self.expect('function-length', 'encoder/cuda/a.cu', SPDX + body, {'encoder/cuda/README.md': ''})

    def test_a_long_line_in_a_kernel_header(self):
        self.expect('line-length', 'encoder/cuda/a.cuh', SPDX + '/* ' + 'x' * 96 + ' */\n',
                    {'encoder/cuda/README.md': ''})

    def test_a_long_function(self):
        body = 'int f(void)\n{\n' + '    g();\n' * 69 + '}\n'
        self.expect('function-length', 'base/a.c', SPDX + body)

    def test_a_function_of_the_longest_allowed_length(self):
        body = 'int f(void)\n{\n' + '    g();\n' * 68 + '}\n'
        self.assertEqual(faults({'base/README.md': '', 'base/a.c': SPDX + body}), [])

    def test_a_long_file(self):
        self.expect('file-length', 'base/a.c', SPDX + 'int x;\n' * 600)

    def test_a_long_generated_file_passes(self):
        self.assertEqual(faults({'base/README.md': '', 'base/a_tables.c': SPDX + 'int x;\n' * 700}), [])

    def test_a_long_line(self):
        self.expect('line-length', 'base/a.c', SPDX + '/* ' + 'x' * 96 + ' */\n')

    def test_space_at_the_end_of_a_line(self):
        self.expect('white-space', 'base/a.c', SPDX + 'int x; \n')

    def test_a_banned_call(self):
        self.expect('banned', 'base/a.c', SPDX + 'x = atoi(y);\n')

    def test_a_banned_name_in_a_comment_or_text_passes(self):
        text = SPDX + '/* atoi(x)\n * strcpy(y) */\nf("sprintf(z)"); s->system(1); my_atoi(2);\n'
        self.assertEqual(faults({'base/README.md': '', 'base/a.c': text}), [])

    def test_allocation_past_the_memory_door(self):
        self.expect('heap', 'base/a.c', SPDX + 'x = malloc(1);\n')

    def test_reading_the_environment_in_a_layer(self):
        self.expect('environment', 'query/a.c', SPDX + 'x = getenv("A");\n')

    def test_a_note_that_something_is_unfinished(self):
        self.expect('unfinished', 'base/a.c', SPDX + '/* TO' + 'DO: more */\n')

    def test_a_folder_without_a_readme(self):
        found = faults({'storage/a.c': SPDX})
        self.assertEqual(len(found), 1)
        self.assertIn('[readme]', found[0])

    def test_an_exception_that_is_not_needed(self):
        found = faults({'base/README.md': ''}, {('banned', 'base/a.c'): 'why'})
        self.assertEqual(len(found), 1)
        self.assertIn('[stale]', found[0])


if __name__ == '__main__':
    unittest.main()
