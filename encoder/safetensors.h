/* SPDX-License-Identifier: MIT */
/* A safetensors file, mapped read-only and trusted in nothing.
 *
 *   0        8                8+N                                    end of file
 *   | N: u64 | N bytes JSON   | tensor bytes, touching, in file order |
 *
 * The JSON is one object: "__metadata__" (strings) and one entry per tensor,
 *   "name": {"dtype": "F32", "shape": [rows, cols], "data_offsets": [begin, end]}
 * with offsets counted from 8+N.
 *
 * Opening refuses (LODE_ECORRUPT, naming the tensor and the rule) a length that leaves the file,
 * JSON that is not strict, duplicate names, an unknown dtype, a shape whose size is not
 * end - begin, and tensors that overlap, leave a hole or stop before the end of the file. */
#ifndef LODE_ENCODER_SAFETENSORS_H
#define LODE_ENCODER_SAFETENSORS_H

#include "base/err.h"
#include "base/str.h"
#include "encoder/dtype.h"

enum { LODE_TENSOR_RANK_MAX = 8 }; /* dimensions; BERT needs two, nothing known needs more */

struct lode_tensor_view { /* borrows the file: valid until lode_safetensors_close */
    struct lode_str name;
    enum lode_dtype dtype;
    unsigned rank;
    uint64_t shape[LODE_TENSOR_RANK_MAX];
    uint64_t count;      /* elements */
    const uint8_t *data; /* count * bytes of dtype; alignment 1 */
    size_t bytes;
};

struct lode_safetensors;

enum lode_code lode_safetensors_open(const char *path, struct lode_safetensors **out,
                                     struct lode_err *err);
/* The same over bytes that the caller keeps until close: for tests and fuzzing. name is for
 * messages. */
enum lode_code lode_safetensors_open_bytes(const void *p, size_t len, const char *name,
                                           struct lode_safetensors **out, struct lode_err *err);
void lode_safetensors_close(struct lode_safetensors *st); /* NULL is fine */
size_t lode_safetensors_count(const struct lode_safetensors *st);
/* i < count, in file order of the bytes. */
const struct lode_tensor_view *lode_safetensors_at(const struct lode_safetensors *st, size_t i);
/* NULL when there is none of that name. */
const struct lode_tensor_view *lode_safetensors_find(const struct lode_safetensors *st,
                                                     struct lode_str name);

#endif
