/* SPDX-License-Identifier: MIT */
/* The readers of JSON lines and of JSON over any bytes. */
#include "reader_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_read(data, size, "input.jsonl");
    fuzz_read(data, size, "input.json");
    return 0;
}
