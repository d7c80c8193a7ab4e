/* SPDX-License-Identifier: MIT */
/* Nouns shared by storage and everything above it. */
#ifndef LODE_STORAGE_TYPES_H
#define LODE_STORAGE_TYPES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/str.h"
#include "base/uuid.h"

typedef uint32_t lode_cid; /* internal number of a collection; never reused */
typedef uint32_t
    lode_slot; /* number of one vector version in its collection: written once, never reused */
typedef uint64_t lode_lsn; /* number of a commit, rising by one */
#define LODE_SLOT_NONE UINT32_MAX

enum lode_metric { LODE_COSINE, LODE_DOT, LODE_EUCLID, LODE_MANHATTAN };
const char *lode_metric_name(
    enum lode_metric m); /* Qdrant's: "Cosine", "Dot", "Euclid", "Manhattan" */
bool lode_metric_parse(struct lode_str name, enum lode_metric *out);

/* The user's id of a point: a u64 or a UUID (Qdrant's two kinds). Ordered: numbers first, then
 * UUIDs bytewise. */
struct lode_point_id {
    bool is_uuid;
    uint64_t num;                  /* when !is_uuid */
    uint8_t uuid[LODE_UUID_BYTES]; /* when is_uuid */
};
static inline struct lode_point_id lode_point_id_num(uint64_t num)
{
    return (struct lode_point_id){.is_uuid = false, .num = num};
}
int lode_point_id_cmp(const struct lode_point_id *a, const struct lode_point_id *b);
/* Chunk number `chunk` of document `doc_id` is the point UUIDv5(fixed namespace, doc_id NUL decimal
 * chunk). */
struct lode_point_id lode_chunk_point_id(struct lode_str doc_id, uint32_t chunk);

enum {
    LODE_FINGERPRINT_TEXT = 65
}; /* SHA-256 in hex + NUL; "" = any (vectors come from outside) */

/* How the collection cuts documents. max_tokens 0: min(window, 200). */
enum lode_chunk_kind { LODE_CHUNK_SENTENCE, LODE_CHUNK_NONE };
struct lode_chunk_spec {
    enum lode_chunk_kind kind;
    uint32_t max_tokens;
};

struct lode_collection_spec {
    char name[LODE_NAME_MAX + 1];
    uint32_t dim; /* 1 .. LODE_DIM_MAX */
    enum lode_metric metric;
    char fingerprint[LODE_FINGERPRINT_TEXT]; /* of the model whose vectors it holds */
    char model[LODE_NAME_MAX + 1];           /* its name, for people */
    struct lode_chunk_spec chunk;
    double recall_target; /* 0.5 .. 1; default 0.98 */
};

enum { LODE_DTYPES_TEXT = 32 }; /* room for six names or so, and NUL */

struct lode_collection {
    struct lode_collection_spec spec;
    lode_cid cid;
    int64_t created_ms; /* wall time */
    uint64_t points;    /* live ones, chunks included */
    uint64_t documents;
    lode_slot next_slot; /* slots [0, next_slot) were given out */
    lode_lsn lsn;        /* of the last commit that changed the collection */
    uint64_t generation; /* number of its current index generation; 0: none */
    /* Number types that its embedded vectors were computed in, in order of their first write, such
     * as "f32,int8"; ask lode_collection_dtypes. Not recorded: the record is of an earlier program.
     */
    char dtypes[LODE_DTYPES_TEXT];
    bool dtypes_recorded;
};

#endif
