/* SPDX-License-Identifier: MIT */
/* Names and order of the nouns in types.h. */
#include "storage/types.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/hash.h"

static const char *const metric_names[] = {"Cosine", "Dot", "Euclid", "Manhattan"};
enum { METRICS = sizeof metric_names / sizeof metric_names[0] };

const char *lode_metric_name(enum lode_metric m)
{
    lode_check((unsigned)m < METRICS);
    return metric_names[m];
}

bool lode_metric_parse(struct lode_str name, enum lode_metric *out)
{
    for (unsigned i = 0; i < METRICS; i++) {
        if (!lode_str_eqz(name, metric_names[i])) continue;
        *out = (enum lode_metric)i;
        return true;
    }
    return false;
}

int lode_point_id_cmp(const struct lode_point_id *a, const struct lode_point_id *b)
{
    if (a->is_uuid != b->is_uuid) return a->is_uuid ? 1 : -1;
    if (a->is_uuid) {
        const int order = memcmp(a->uuid, b->uuid, LODE_UUID_BYTES);
        return (order > 0) - (order < 0);
    }
    return (a->num > b->num) - (a->num < b->num);
}

struct lode_point_id lode_chunk_point_id(struct lode_str doc_id, uint32_t chunk)
{
    /* A random UUID, fixed for ever: it is what makes chunk ids ours and repeatable. */
    static const uint8_t space[LODE_UUID_BYTES] = {0x5f, 0x3a, 0x9c, 0x41, 0x0e, 0x77, 0x4d, 0x12,
                                                   0xb6, 0x28, 0x91, 0xe4, 0x3c, 0xd0, 0x8a, 0x65};
    struct lode_point_id id = {.is_uuid = true};
    char name[LODE_DOC_ID_MAX + 16];
    if (doc_id.len > LODE_DOC_ID_MAX) { /* never stored, so any id that no other has will do */
        uint8_t full[LODE_SHA256_BYTES];
        lode_sha256(doc_id.ptr, doc_id.len, full);
        memcpy(id.uuid, full, LODE_UUID_BYTES);
        return id;
    }
    if (doc_id.len) memcpy(name, doc_id.ptr, doc_id.len);
    name[doc_id.len] = '\0';
    const int digits = snprintf(name + doc_id.len + 1, 15, "%" PRIu32, chunk);
    lode_uuid_v5(space, lode_str_n(name, doc_id.len + 1 + (size_t)digits), id.uuid);
    return id;
}
