/* SPDX-License-Identifier: MIT */
/* The html reader over any bytes. */
#include "reader_target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_read(data, size, "input.html");
    return 0;
}
