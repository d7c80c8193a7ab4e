/* SPDX-License-Identifier: MIT */
/* Writes. A batch is an array of operations, applied in order in one transaction: all or none.
 * Concurrent callers are grouped into one commit (at most LODE_GROUP_BYTES or LODE_GROUP_MS of
 * waiting); when a group fails, its members run singly, so one bad batch never takes its neighbours
 * down. LODE_OK means: committed and synced to disk. Everything pointed to is borrowed until the
 * call returns. Any thread. Errors: LODE_ENOTFOUND (collection), LODE_ECONFLICT (vector size),
 * LODE_EFULL (disk or reserve; pure deletes still go through), LODE_ELIMIT (too large for one
 * transaction), LODE_EIO. After a failed sync the store refuses further writes until reopened. */
#ifndef LODE_STORAGE_WRITE_H
#define LODE_STORAGE_WRITE_H

#include "base/hash.h"
#include "storage/cache.h"
#include "storage/store.h"

enum lode_op_kind {
    LODE_OP_CREATE_COLLECTION, /* spec; LODE_EEXISTS when the name is taken */
    LODE_OP_DROP_COLLECTION,   /* cid; the rows go in bounded steps afterwards, resumed by the next
                                  open */
    LODE_OP_PUT_POINT,         /* cid, id, vector (prepared, see vectors.h), payload */
    LODE_OP_DELETE_POINT,      /* cid, id; a chunk point also leaves its document's list */
    LODE_OP_PUT_DOCUMENT,      /* cid, document; replaces the old one whole, chunks and all */
    LODE_OP_TOUCH_DOCUMENT,    /* cid, document id + source_stat + root: nothing else changed */
    LODE_OP_DELETE_DOCUMENT,   /* cid, document id; its points go with it */
    LODE_OP_PUT_JOB,           /* job */
    LODE_OP_DELETE_JOB,        /* job id */
    LODE_OP_PUT_KEY,           /* API key record */
    LODE_OP_DELETE_KEY,        /* key id */
    LODE_OP_SET_GENERATION     /* cid, generation: which index file is current; 0 = none */
};

struct lode_write_chunk {
    const float *vector; /* dim floats, prepared */
    uint32_t start, end; /* byte span in the text; start < end <= text length, except that an empty
                            text may have 0,0 */
    struct lode_str heading; /* <= LODE_HEADING_MAX */
    /* For the cache (cache.h): what was embedded. NULL: the vector is not found by its text. */
    const struct lode_text_key *key;
    uint32_t tokens;
    bool truncated;
};
struct lode_write_document {
    struct lode_str id, title, source, root, text, metadata;
    uint8_t hash[LODE_SHA256_BYTES];
    uint8_t source_stat[16];
    const struct lode_write_chunk *chunks;
    uint32_t chunk_count;
};
struct lode_op {
    enum lode_op_kind kind;
    lode_cid cid;
    const char *dtype; /* of puts: what the model computed the vectors in ("f32"), which the
                          collection records; NULL: they came from outside */
    union {
        const struct lode_collection_spec *spec;
        struct {
            struct lode_point_id id;
            const float *vector;
            struct lode_str payload; /* a JSON object or "" */
        } point;
        const struct lode_write_document *document;
        struct lode_str document_id;
        const struct lode_job *job; /* records.h */
        struct lode_str job_id;
        const struct lode_key *key; /* records.h */
        struct lode_str key_id;
        uint64_t generation;
    } u;
    bool found; /* out: deletes and touch: the thing existed; puts: it replaced an older one */
};
enum lode_code lode_store_apply(struct lode_store *store, struct lode_op *ops, size_t count,
                                lode_lsn *lsn, struct lode_err *err);

#endif
