/* SPDX-License-Identifier: MIT */
/* The format: 6 bytes of magic, version, header length (2 bytes in version 1, else 4), a Python
 * dictionary as text, then the numbers, at a multiple of 16 (NumPy's lib/format.py). */
#include "base/limits.h"
#include "gateway/cli/npy.h"

static enum lode_code refuse(const char *path, const char *what, struct lode_err *err)
{
    return lode_fail(err, LODE_EINVAL,
                     "%s: %s; it must be an .npy of two-dimensional little-endian float32", path,
                     what);
}

/* The header text and where the numbers start; false when the file is no .npy. */
static bool find_header(const struct lode_mapped *m, struct lode_str *header, size_t *data)
{
    static const uint8_t magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    if (m->len < 12 || memcmp(m->ptr, magic, sizeof magic) != 0) return false;
    const bool small = m->ptr[6] == 1;
    const size_t at = small ? 10 : 12;
    size_t n = m->ptr[8] | (size_t)m->ptr[9] << 8;
    if (!small) n |= (size_t)m->ptr[10] << 16 | (size_t)m->ptr[11] << 24;
    if (n > m->len - at) return false;
    *header = lode_str_n((const char *)m->ptr + at, n);
    *data = at + n;
    return true;
}

/* The two numbers of "'shape': (100, 384)". */
static bool find_shape(struct lode_str header, uint64_t *rows, uint64_t *dim)
{
    const size_t at = lode_str_find(header, LODE_STR("'shape'"));
    if (at == SIZE_MAX) return false;
    struct lode_str rest = lode_str_sub(header, at, SIZE_MAX);
    lode_str_split(&rest, '(');
    struct lode_str inside = rest.ptr ? lode_str_split(&rest, ')') : LODE_STR_NONE;
    const struct lode_str first = lode_str_trim(lode_str_split(&inside, ','));
    if (!inside.ptr) return false;
    const struct lode_str second = lode_str_trim(lode_str_split(&inside, ','));
    return !lode_str_trim(inside).len && /* a third number would be a third dimension */
           lode_str_u64(first, UINT32_MAX - 1, rows) && lode_str_u64(second, LODE_DIM_MAX, dim) &&
           *dim > 0;
}

enum lode_code lode_npy_open(const char *path, struct npy *out, struct lode_err *err)
{
    struct lode_str header = LODE_STR_NONE;
    size_t data = 0;
    uint64_t rows = 0, dim = 0;
    enum lode_code rc = LODE_OK;
    *out = (struct npy){.map = LODE_MAPPED_INIT};
    LODE_TRY(lode_map_file(path, &out->map, err));
    if (!find_header(&out->map, &header, &data))
        rc = refuse(path, "no .npy header", err);
    else if (lode_str_find(header, LODE_STR("'<f4'")) == SIZE_MAX)
        rc = refuse(path, "not float32", err);
    else if (lode_str_find(header, LODE_STR("'fortran_order': False")) == SIZE_MAX)
        rc = refuse(path, "not in C order", err);
    else if (!find_shape(header, &rows, &dim))
        rc = refuse(path, "its shape is not (rows, size) with a size from 1 to 4096", err);
    else if (data % sizeof(float))
        rc = refuse(path, "the numbers are not aligned", err);
    else if ((out->map.len - data) / sizeof(float) / dim < rows)
        rc = refuse(path, "cut short", err);
    if (rc) {
        lode_npy_close(out);
        return rc;
    }
    out->rows = (const float *)(const void *)(out->map.ptr + data);
    out->count = (size_t)rows;
    out->dim = (uint32_t)dim;
    return LODE_OK;
}

void lode_npy_close(struct npy *n)
{
    lode_unmap(&n->map);
    n->rows = NULL;
}
