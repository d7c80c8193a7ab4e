/* SPDX-License-Identifier: MIT */
/* Any bytes as a safetensors file: refused in words, or every promised byte can be read. */
#include <stdint.h>
#include <stdlib.h>

#include "encoder/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lode_safetensors *st = NULL;
    struct lode_err err = LODE_ERR_INIT;
    if (lode_safetensors_open_bytes(data, size, "fuzz", &st, &err)) {
        if (err.msg[0] == '\0') abort();
        return 0;
    }
    volatile uint8_t sink = 0;
    for (size_t i = 0; i < lode_safetensors_count(st); i++) {
        const struct lode_tensor_view *t = lode_safetensors_at(st, i);
        for (size_t k = 0; k < t->bytes; k++) sink = (uint8_t)(sink ^ t->data[k]);
        if (lode_safetensors_find(st, t->name) != t) abort();
        if (t->bytes != t->count * lode_dtype_bytes(t->dtype)) abort();
    }
    lode_safetensors_close(st);
    return 0;
}
