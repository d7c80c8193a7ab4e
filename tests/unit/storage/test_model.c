/* SPDX-License-Identifier: MIT */
/* Random operations against the store and against a naive model in memory; after each round every
 * answer of the store must be the model's. Reopens at random. LODE_TEST_SEED repeats a run. */
#include "world.h"

#include <time.h>

#include "base/bitmap.h"

enum { IDS = 60, DOCS = 12, CHUNKS = 6, ROUNDS = 60, BATCH = 12 };

struct model_point {
    bool there;
    uint64_t seed;
    char payload[24];
};
struct model_document {
    bool there;
    uint32_t chunks;  /* as put */
    uint32_t deleted; /* bit i: chunk i was deleted singly */
    uint64_t seed;
    char source[16];
};
struct model {
    struct model_point points[IDS];
    struct model_document docs[DOCS];
};

/* What the operations of one batch point to. */
struct batch {
    struct lode_op ops[BATCH];
    float vectors[BATCH][CHUNKS][WORLD_DIM];
    struct lode_write_chunk chunks[BATCH][CHUNKS];
    struct lode_write_document docs[BATCH];
    char texts[BATCH][CHUNKS * 10 + 1], payloads[BATCH][24], ids[BATCH][16], sources[BATCH][16];
    bool expect_found[BATCH];
};

static void doc_id(char out[16], uint32_t d)
{
    snprintf(out, 16, "doc-%u", d);
}

static void add_put_point(struct batch *b, size_t i, struct model *m, lode_cid cid, uint64_t *rng)
{
    const uint32_t id = below(rng, IDS);
    const uint64_t seed = next_random(rng) % 100000;
    struct model_point *p = &m->points[id];
    fill_vector(b->vectors[i][0], WORLD_DIM, seed);
    snprintf(b->payloads[i], sizeof b->payloads[i], "{\"n\":%u}", below(rng, 1000));
    b->expect_found[i] = p->there;
    b->ops[i] = (struct lode_op){.kind = LODE_OP_PUT_POINT,
                                 .cid = cid,
                                 .u.point = {.id = lode_point_id_num(id),
                                             .vector = b->vectors[i][0],
                                             .payload = lode_str_of(b->payloads[i])}};
    *p = (struct model_point){.there = true, .seed = seed};
    snprintf(p->payload, sizeof p->payload, "%s", b->payloads[i]);
}

static void add_delete_point(struct batch *b, size_t i, struct model *m, lode_cid cid,
                             uint64_t *rng)
{
    const uint32_t id = below(rng, IDS);
    b->expect_found[i] = m->points[id].there;
    b->ops[i] = (struct lode_op){
        .kind = LODE_OP_DELETE_POINT, .cid = cid, .u.point.id = lode_point_id_num(id)};
    m->points[id].there = false;
}

static void add_put_document(struct batch *b, size_t i, struct model *m, lode_cid cid,
                             uint64_t *rng)
{
    const uint32_t d = below(rng, DOCS);
    struct model_document *doc = &m->docs[d];
    b->expect_found[i] = doc->there;
    *doc = (struct model_document){
        .there = true, .chunks = below(rng, CHUNKS + 1), .seed = next_random(rng) % 90000};
    snprintf(doc->source, sizeof doc->source, "src-%u", below(rng, 3));
    snprintf(b->sources[i], sizeof b->sources[i], "%s", doc->source);
    doc_id(b->ids[i], d);
    document_text(b->texts[i], doc->chunks, doc->seed);
    for (uint32_t c = 0; c < doc->chunks; c++) {
        fill_vector(b->vectors[i][c], WORLD_DIM, doc->seed + c);
        b->chunks[i][c] = (struct lode_write_chunk){
            .vector = b->vectors[i][c], .start = c * 10, .end = c * 10 + 10};
    }
    b->docs[i] = (struct lode_write_document){.id = lode_str_of(b->ids[i]),
                                              .source = lode_str_of(b->sources[i]),
                                              .text = lode_str_of(b->texts[i]),
                                              .chunks = b->chunks[i],
                                              .chunk_count = doc->chunks};
    b->ops[i] =
        (struct lode_op){.kind = LODE_OP_PUT_DOCUMENT, .cid = cid, .u.document = &b->docs[i]};
}

static void add_delete_document(struct batch *b, size_t i, struct model *m, lode_cid cid,
                                uint64_t *rng)
{
    const uint32_t d = below(rng, DOCS);
    doc_id(b->ids[i], d);
    b->expect_found[i] = m->docs[d].there;
    b->ops[i] = (struct lode_op){
        .kind = LODE_OP_DELETE_DOCUMENT, .cid = cid, .u.document_id = lode_str_of(b->ids[i])};
    m->docs[d].there = false;
}

static void add_delete_chunk(struct batch *b, size_t i, struct model *m, lode_cid cid,
                             uint64_t *rng)
{
    const uint32_t d = below(rng, DOCS), c = below(rng, CHUNKS);
    struct model_document *doc = &m->docs[d];
    doc_id(b->ids[i], d);
    b->expect_found[i] = doc->there && c < doc->chunks && !(doc->deleted >> c & 1);
    b->ops[i] = (struct lode_op){.kind = LODE_OP_DELETE_POINT,
                                 .cid = cid,
                                 .u.point.id = lode_chunk_point_id(lode_str_of(b->ids[i]), c)};
    doc->deleted |= 1u << c;
}

static void one_batch(struct lode_store *s, struct model *m, lode_cid cid, uint64_t *rng)
{
    static struct batch b;
    static void (*const add[])(struct batch *, size_t, struct model *, lode_cid, uint64_t *) = {
        add_put_point,    add_put_point,       add_delete_point, add_put_document,
        add_put_document, add_delete_document, add_delete_chunk};
    const size_t count = 1 + below(rng, BATCH);
    for (size_t i = 0; i < count; i++)
        add[below(rng, sizeof add / sizeof add[0])](&b, i, m, cid, rng);
    good(lode_store_apply(s, b.ops, count, NULL, &err));
    for (size_t i = 0; i < count; i++)
        if (b.ops[i].found != b.expect_found[i]) fail_msg("operation %zu: found differs", i);
}

/* --- compare --- */

static uint64_t compare_points(struct lode_store *s, const struct model *m)
{
    uint64_t live = 0;
    for (uint32_t id = 0; id < IDS; id++) {
        const struct model_point *p = &m->points[id];
        live += p->there;
        if (p->there)
            expect_point(s, "docs", id, p->seed, p->payload);
        else
            expect_no_point(s, "docs", id);
    }
    return live;
}

static uint64_t compare_document(const struct lode_rtxn *txn, const struct lode_collection *c,
                                 const char *id, const struct model_document *want)
{
    char text[CHUNKS * 10 + 1];
    struct lode_document doc;
    struct lode_str got;
    uint64_t live = 0;
    good(lode_document_get(txn, c, lode_str_of(id), &doc, &err));
    good(lode_document_text(txn, c, lode_str_of(id), &got, &err));
    document_text(text, want->chunks, want->seed);
    assert_true(lode_str_eqz(got, text));
    assert_true(lode_str_eqz(doc.source, want->source));
    for (uint32_t i = 0; i < want->chunks; i++) {
        const struct lode_point_id pid = lode_chunk_point_id(lode_str_of(id), i);
        struct lode_err gone = LODE_ERR_INIT;
        struct lode_point p;
        float v[WORLD_DIM];
        const float *stored;
        lode_slot slot;
        const enum lode_code rc = lode_point_slot(txn, c, &pid, &slot, &gone);
        assert_int_equal(rc, want->deleted >> i & 1 ? LODE_ENOTFOUND : LODE_OK);
        if (rc) continue;
        live++;
        good(lode_point_get(txn, c, slot, &p, &err));
        good(lode_point_text(txn, c, &p, &got, &err));
        assert_true(got.len == 10 && memcmp(got.ptr, text + (size_t)i * 10, 10) == 0);
        good(lode_vector_get(txn, c, slot, &stored, &err));
        fill_vector(v, WORLD_DIM, want->seed + i);
        assert_memory_equal(stored, v, sizeof v);
    }
    assert_int_equal(doc.chunks, live);
    return live;
}

static bool count(void *arg, const struct lode_document *doc)
{
    (void)doc;
    ++*(unsigned *)arg;
    return true;
}

static void compare(struct lode_store *s, const struct model *m)
{
    uint64_t live = compare_points(s, m);
    unsigned docs = 0, of_source[3] = {0}, seen = 0;
    struct lode_rtxn *txn = begin(s);
    const struct lode_collection c = collection(txn, "docs");
    for (uint32_t d = 0; d < DOCS; d++) {
        char id[16];
        struct lode_document doc;
        doc_id(id, d);
        if (!m->docs[d].there) {
            bad(LODE_ENOTFOUND, id, lode_document_get(txn, &c, lode_str_of(id), &doc, &err));
            continue;
        }
        docs++;
        of_source[m->docs[d].source[4] - '0']++;
        live += compare_document(txn, &c, id, &m->docs[d]);
    }
    assert_int_equal(c.points, live);
    assert_int_equal(c.documents, docs);
    good(lode_document_each(txn, &c, count, &seen, &err));
    assert_int_equal(seen, docs);
    for (char i = 0; i < 3; i++) {
        const char name[] = {'s', 'r', 'c', '-', (char)('0' + i), '\0'};
        seen = 0;
        good(lode_document_each_source(txn, &c, lode_str_of(name), count, &seen, &err));
        assert_int_equal(seen, of_source[(int)i]);
    }
    struct lode_bitmap *bits = NULL;
    good(lode_live_get(txn, &c, &bits, &err));
    assert_int_equal(lode_bitmap_count(bits), live);
    lode_bitmap_free(bits);
    lode_rtxn_end(txn);
}

static void the_store_answers_as_a_naive_model_does(void **state)
{
    struct world *w = *state;
    const char *given = getenv("LODE_TEST_SEED");
    const uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    uint64_t rng = seed;
    static struct model m;
    printf("LODE_TEST_SEED=%llu\n", (unsigned long long)seed);
    lode_cid cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
    for (int round = 0; round < ROUNDS; round++) {
        const uint32_t batches = 1 + below(&rng, 12);
        for (uint32_t i = 0; i < batches; i++) one_batch(w->store, &m, cid, &rng);
        if (below(&rng, 3) == 0) world_reopen(w);
        if (below(&rng, 20) == 0) { /* a fresh collection of the same name */
            good(apply1(w->store, (struct lode_op){.kind = LODE_OP_DROP_COLLECTION, .cid = cid},
                        &err));
            cid = make_collection(w->store, "docs", WORLD_DIM, LODE_DOT);
            memset(&m, 0, sizeof m);
        }
        compare(w->store, &m);
        expect_clean(w->store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
        the_store_answers_as_a_naive_model_does, world_setup, world_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
