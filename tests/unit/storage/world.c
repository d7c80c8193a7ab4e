/* SPDX-License-Identifier: MIT */
/* See world.h. */
#include "world.h"

#include <ftw.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* --- scratch --- */

void scratch_make(char dir[WORLD_PATH])
{
    const char *base = getenv("TMPDIR");
    snprintf(dir, WORLD_PATH, "%s/lode-test-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(dir)) fail_msg("mkdtemp %s", dir);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void scratch_remove(const char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void world_reopen(struct world *w)
{
    struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    opts.create = true;
    world_close(w);
    good(lode_store_open(w->data, &opts, &w->store, &err));
}

void world_close(struct world *w)
{
    lode_store_close(w->store);
    w->store = NULL;
}

void world_begin(struct world *w)
{
    memset(w, 0, sizeof *w);
    scratch_make(w->dir);
    snprintf(w->data, sizeof w->data, "%s/data", w->dir);
    world_reopen(w);
}

void world_end(struct world *w)
{
    world_close(w);
    scratch_remove(w->dir);
}

int world_setup(void **state)
{
    struct world *w = malloc(sizeof *w);
    if (!w) return 1;
    world_begin(w);
    *state = w;
    return 0;
}

int world_teardown(void **state)
{
    struct world *w = *state;
    world_end(w);
    free(w);
    return 0;
}

/* --- writing --- */

enum lode_code apply1(struct lode_store *s, struct lode_op op, struct lode_err *err)
{
    return lode_store_apply(s, &op, 1, NULL, err);
}

lode_cid make_collection(struct lode_store *s, const char *name, uint32_t dim,
                         enum lode_metric metric)
{
    struct lode_collection_spec spec;
    lode_collection_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    spec.dim = dim;
    spec.metric = metric;
    good(apply1(s, (struct lode_op){.kind = LODE_OP_CREATE_COLLECTION, .u.spec = &spec}, &err));
    struct lode_rtxn *txn = begin(s);
    const lode_cid cid = collection(txn, name).cid;
    lode_rtxn_end(txn);
    return cid;
}

uint64_t next_random(uint64_t *state)
{
    uint64_t x = (*state += 0x9e3779b97f4a7c15u);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void fill_vector(float *v, uint32_t dim, uint64_t seed)
{
    uint64_t state = seed * 2654435761u + 1;
    for (uint32_t i = 0; i < dim; i++) v[i] = (float)below(&state, 2001) / 1000.0f - 1.0f;
}

void put_point(struct lode_store *s, lode_cid cid, uint64_t id, uint64_t seed, const char *payload)
{
    float v[WORLD_DIM];
    fill_vector(v, WORLD_DIM, seed);
    good(apply1(
        s,
        (struct lode_op){
            .kind = LODE_OP_PUT_POINT,
            .cid = cid,
            .u.point = {.id = lode_point_id_num(id), .vector = v, .payload = lode_str_of(payload)}},
        &err));
}

void document_text(char *out, uint32_t chunks, uint64_t seed)
{
    out[0] = '\0';
    for (uint32_t i = 0; i < chunks; i++)
        snprintf(out + (size_t)i * 10, 11, "%03u-%05u ", i % 1000, (unsigned)(seed % 100000));
}

struct lode_text_key text_key(uint64_t seed)
{
    struct lode_text_key key = {{1}};
    memcpy(key.bytes + 8, &seed, sizeof seed);
    return key;
}

void put_document(struct lode_store *s, lode_cid cid, const char *id, uint32_t chunks,
                  uint64_t seed)
{
    float v[WORLD_CHUNKS_MAX][WORLD_DIM];
    struct lode_write_chunk list[WORLD_CHUNKS_MAX];
    struct lode_text_key keys[WORLD_CHUNKS_MAX];
    char text[WORLD_CHUNKS_MAX * 10 + 1];
    assert_true(chunks <= WORLD_CHUNKS_MAX);
    document_text(text, chunks, seed);
    for (uint32_t i = 0; i < chunks; i++) {
        fill_vector(v[i], WORLD_DIM, seed + i);
        keys[i] = text_key(seed + i);
        list[i] = (struct lode_write_chunk){.vector = v[i],
                                            .start = i * 10,
                                            .end = i * 10 + 10,
                                            .heading = LODE_STR("A > B"),
                                            .key = &keys[i],
                                            .tokens = i + 1,
                                            .truncated = i % 2 == 1};
    }
    struct lode_write_document doc = {.id = lode_str_of(id),
                                      .title = LODE_STR("Title"),
                                      .source = LODE_STR("/src/file.txt"),
                                      .root = LODE_STR("/src"),
                                      .text = lode_str_of(text),
                                      .metadata = LODE_STR("{\"k\":1}"),
                                      .chunks = list,
                                      .chunk_count = chunks};
    memset(doc.hash, (int)(seed & 0xff), sizeof doc.hash);
    good(apply1(s, (struct lode_op){.kind = LODE_OP_PUT_DOCUMENT, .cid = cid, .u.document = &doc},
                &err));
}

bool delete_point(struct lode_store *s, lode_cid cid, uint64_t id)
{
    struct lode_op op = {
        .kind = LODE_OP_DELETE_POINT, .cid = cid, .u.point.id = lode_point_id_num(id)};
    good(lode_store_apply(s, &op, 1, NULL, &err));
    return op.found;
}

bool delete_document(struct lode_store *s, lode_cid cid, const char *id)
{
    struct lode_op op = {
        .kind = LODE_OP_DELETE_DOCUMENT, .cid = cid, .u.document_id = lode_str_of(id)};
    good(lode_store_apply(s, &op, 1, NULL, &err));
    return op.found;
}

/* --- looking --- */

struct lode_rtxn *begin(struct lode_store *s)
{
    struct lode_rtxn *txn = NULL;
    good(lode_rtxn_begin(s, &txn, &err));
    return txn;
}

struct lode_collection collection(const struct lode_rtxn *txn, const char *name)
{
    struct lode_collection c;
    good(lode_collection_get(txn, lode_str_of(name), &c, &err));
    return c;
}

static void expect_vector(const struct lode_rtxn *txn, const struct lode_collection *c,
                          lode_slot slot, uint64_t seed)
{
    float want[WORLD_DIM];
    const float *v = NULL;
    fill_vector(want, WORLD_DIM, seed);
    good(lode_vector_get(txn, c, slot, &v, &err));
    assert_memory_equal(v, want, sizeof want);
}

void expect_point(struct lode_store *s, const char *name, uint64_t id, uint64_t seed,
                  const char *payload)
{
    struct lode_rtxn *txn = begin(s);
    const struct lode_collection c = collection(txn, name);
    const struct lode_point_id pid = lode_point_id_num(id);
    struct lode_point p;
    lode_slot slot = 0;
    good(lode_point_slot(txn, &c, &pid, &slot, &err));
    good(lode_point_get(txn, &c, slot, &p, &err));
    assert_true(p.id.num == id);
    assert_true(lode_str_eqz(p.payload, payload));
    expect_vector(txn, &c, slot, seed);
    lode_rtxn_end(txn);
}

void expect_no_point(struct lode_store *s, const char *name, uint64_t id)
{
    struct lode_rtxn *txn = begin(s);
    const struct lode_collection c = collection(txn, name);
    const struct lode_point_id pid = lode_point_id_num(id);
    lode_slot slot;
    bad(LODE_ENOTFOUND, "there is no point", lode_point_slot(txn, &c, &pid, &slot, &err));
    lode_rtxn_end(txn);
}

void expect_document(struct lode_store *s, const char *name, const char *id, uint32_t chunks,
                     uint64_t seed)
{
    char text[WORLD_CHUNKS_MAX * 10 + 1];
    struct lode_rtxn *txn = begin(s);
    const struct lode_collection c = collection(txn, name);
    struct lode_document doc;
    struct lode_str stored;
    document_text(text, chunks, seed);
    good(lode_document_get(txn, &c, lode_str_of(id), &doc, &err));
    assert_int_equal(doc.chunks, chunks);
    good(lode_document_text(txn, &c, lode_str_of(id), &stored, &err));
    assert_true(lode_str_eqz(stored, text));
    for (uint32_t i = 0; i < chunks; i++) {
        const struct lode_point_id pid = lode_chunk_point_id(lode_str_of(id), i);
        struct lode_point p;
        lode_slot slot = 0;
        good(lode_point_slot(txn, &c, &pid, &slot, &err));
        good(lode_point_get(txn, &c, slot, &p, &err));
        assert_true(p.is_chunk);
        assert_int_equal(p.chunk, i);
        assert_true(lode_str_eqz(p.document_id, id));
        good(lode_point_text(txn, &c, &p, &stored, &err));
        assert_true(stored.len == 10 && memcmp(stored.ptr, text + i * 10, 10) == 0);
        expect_vector(txn, &c, slot, seed + i);
    }
    lode_rtxn_end(txn);
}

static void show(void *arg, const char *table, const char *record, const char *problem)
{
    (void)arg;
    print_error("check: %s: %s: %s\n", table, record, problem);
}

void expect_clean(struct lode_store *s)
{
    struct lode_check_report report;
    good(lode_store_check(s, show, NULL, NULL, NULL, &report, &err));
    assert_int_equal(report.problems, 0);
}
