/* SPDX-License-Identifier: MIT */
/* Searches over a real store: every metric against a plain scan, filters, thresholds, paging, one
 * hit a document, points as queries, and what is refused. */
#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/vec.h"
#include "query/search.h"
#include "storage/collections.h"
#include "storage/write.h"

enum { DIM = 8, POINTS = 500, DOCUMENTS = 40, CHUNKS = 5 };

struct world {
    char dir[64];
    struct lode_store *store;
    struct lode_index *index;
    struct lode_searcher searcher;
    struct lode_arena arena;
    float rows[POINTS][DIM]; /* of "points", as given */
};

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

static void random_row(uint64_t *seed, float *out)
{
    for (int d = 0; d < DIM; d++) out[d] = (float)(next_random(seed) % 2001) / 1000.0f - 1.0f;
}

static struct lode_collection collection(const struct world *w, const char *name)
{
    struct lode_rtxn *txn = NULL;
    struct lode_collection c;
    struct lode_err err = LODE_ERR_INIT;
    assert_int_equal(lode_rtxn_begin(w->store, &txn, &err), LODE_OK);
    assert_int_equal(lode_collection_get(txn, lode_str_of(name), &c, &err), LODE_OK);
    lode_rtxn_end(txn);
    return c;
}

static void apply(const struct world *w, struct lode_op *ops, size_t count)
{
    struct lode_err err = LODE_ERR_INIT;
    if (lode_store_apply(w->store, ops, count, NULL, &err)) fail_msg("%s", err.msg);
}

static void make_collection(const struct world *w, const char *name, enum lode_metric metric,
                            const char *fingerprint)
{
    struct lode_collection_spec spec;
    lode_collection_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "%s", name);
    snprintf(spec.fingerprint, sizeof spec.fingerprint, "%s", fingerprint);
    spec.dim = DIM;
    spec.metric = metric;
    struct lode_op op = {.kind = LODE_OP_CREATE_COLLECTION, .u.spec = &spec};
    apply(w, &op, 1);
}

/* Points 0 .. POINTS-1 with payload {"n": i, "even": bool}. */
static void fill_points(struct world *w, const char *name)
{
    static struct lode_op ops[POINTS];
    static char payloads[POINTS][48];
    static float prepared[POINTS][DIM];
    const struct lode_collection c = collection(w, name);
    struct lode_err err = LODE_ERR_INIT;
    uint64_t seed = 7;
    for (size_t i = 0; i < POINTS; i++) {
        random_row(&seed, w->rows[i]);
        memcpy(prepared[i], w->rows[i], sizeof prepared[i]);
        assert_int_equal(lode_vector_prepare(&c.spec, prepared[i], DIM, "v", &err), LODE_OK);
        snprintf(payloads[i], sizeof payloads[i], "{\"n\":%zu,\"even\":%s}", i,
                 i % 2 ? "false" : "true");
        ops[i] = (struct lode_op){.kind = LODE_OP_PUT_POINT,
                                  .cid = c.cid,
                                  .u.point = {.id = lode_point_id_num(i),
                                              .vector = prepared[i],
                                              .payload = lode_str_of(payloads[i])}};
    }
    apply(w, ops, POINTS);
}

/* Documents doc0 .. with CHUNKS chunks each; chunk 0 of each lies near the axis 0. */
static void fill_documents(struct world *w, const char *name)
{
    static const char text[] = "one. two. thr. fou. fiv.";
    const struct lode_collection c = collection(w, name);
    struct lode_err err = LODE_ERR_INIT;
    uint64_t seed = 9;
    for (size_t i = 0; i < DOCUMENTS; i++) {
        float vectors[CHUNKS][DIM];
        struct lode_write_chunk chunks[CHUNKS];
        char id[16];
        for (uint32_t j = 0; j < CHUNKS; j++) {
            random_row(&seed, vectors[j]);
            vectors[j][0] += i < 3 ? 9.0f : 0.0f; /* three documents whose chunks all come first */
            assert_int_equal(lode_vector_prepare(&c.spec, vectors[j], DIM, "v", &err), LODE_OK);
            chunks[j] = (struct lode_write_chunk){
                .vector = vectors[j], .start = j * 5, .end = j * 5 + 4, .heading = LODE_STR("H")};
        }
        snprintf(id, sizeof id, "doc%zu", i);
        const struct lode_write_document doc = {.id = lode_str_of(id),
                                                .title = LODE_STR("T"),
                                                .source = LODE_STR("S"),
                                                .text = LODE_STR(text),
                                                .metadata = LODE_STR("{\"m\":1}"),
                                                .chunks = chunks,
                                                .chunk_count = CHUNKS};
        struct lode_op op = {.kind = LODE_OP_PUT_DOCUMENT, .cid = c.cid, .u.document = &doc};
        apply(w, &op, 1);
    }
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct lode_store_opts store = LODE_STORE_OPTS_DEFAULT;
    struct lode_index_opts index = LODE_INDEX_OPTS_DEFAULT;
    struct lode_err err = LODE_ERR_INIT;
    assert_non_null(w);
    snprintf(w->dir, sizeof w->dir, "/tmp/lode-search-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    store.create = true;
    store.map_bytes = 64 << 20;
    assert_int_equal(lode_store_open(w->dir, &store, &w->store, &err), LODE_OK);
    index.store = w->store;
    index.build_min_rows = 100;
    assert_int_equal(lode_index_open(&index, &w->index, &err), LODE_OK);
    w->searcher = (struct lode_searcher){w->store, w->index, NULL, NULL};
    make_collection(w, "cosine", LODE_COSINE, "");
    make_collection(w, "dot", LODE_DOT, "");
    make_collection(w, "euclid", LODE_EUCLID, "");
    make_collection(w, "manhattan", LODE_MANHATTAN, "");
    make_collection(w, "docs", LODE_COSINE, "0123456789abcdef");
    fill_points(w, "cosine");
    fill_points(w, "dot");
    fill_points(w, "euclid");
    fill_points(w, "manhattan");
    fill_documents(w, "docs");
    lode_arena_init(&w->arena, 64 << 20);
    *state = w;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static int teardown(void **state)
{
    struct world *w = *state;
    lode_arena_release(&w->arena);
    lode_index_close(w->index);
    lode_store_close(w->store);
    assert_int_equal(nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(w);
    return 0;
}

/* --- asking --- */

static const float query_vector[DIM] = {0.9f, -0.2f, 0.4f, 0.1f, -0.7f, 0.3f, 0.5f, -0.6f};

static struct lode_search_request request(const char *name)
{
    struct lode_search_request req = LODE_SEARCH_REQUEST_DEFAULT;
    req.collection = lode_str_of(name);
    req.vector = query_vector;
    req.vector_len = DIM;
    return req;
}

static struct lode_search_result ask(struct world *w, const struct lode_search_request *req)
{
    struct lode_search_result result;
    struct lode_err err = LODE_ERR_INIT;
    lode_arena_reset(&w->arena);
    if (lode_search(&w->searcher, req, &w->arena, &result, &err)) fail_msg("%s", err.msg);
    assert_int_equal(result.dim, DIM);
    assert_true(result.plan.method[0] != '\0');
    return result;
}

static void refused(struct world *w, const struct lode_search_request *req, enum lode_code code,
                    const char *words)
{
    struct lode_search_result result;
    struct lode_err err = LODE_ERR_INIT;
    lode_arena_reset(&w->arena);
    assert_int_equal(lode_search(&w->searcher, req, &w->arena, &result, &err), code);
    if (!strstr(err.msg, words)) fail_msg("'%s' does not say '%s'", err.msg, words);
}

static struct lode_filter *filter(const char *text)
{
    struct lode_json *doc = NULL;
    struct lode_filter *f = NULL;
    struct lode_err err = LODE_ERR_INIT;
    assert_int_equal(lode_json_parse(lode_str_of(text), 1 << 16, &doc, &err), LODE_OK);
    assert_int_equal(lode_filter_parse(lode_json_root(doc), "filter", &f, &err), LODE_OK);
    lode_json_free(doc);
    return f;
}

/* What users expect to see, in double precision. */
static double true_score(enum lode_metric metric, const float *a, const float *b)
{
    double dot = 0, aa = 0, bb = 0, l2 = 0, l1 = 0;
    for (int d = 0; d < DIM; d++) {
        const double x = a[d], y = b[d];
        dot += x * y;
        aa += x * x;
        bb += y * y;
        l2 += (x - y) * (x - y);
        l1 += fabs(x - y);
    }
    switch (metric) {
    case LODE_COSINE:
        return dot / sqrt(aa * bb);
    case LODE_DOT:
        return dot;
    case LODE_EUCLID:
        return sqrt(l2);
    default:
        return l1;
    }
}

static void check_metric(struct world *w, const char *name, enum lode_metric metric)
{
    struct lode_search_request req = request(name);
    const double sign = metric == LODE_EUCLID || metric == LODE_MANHATTAN ? -1 : 1;
    const struct lode_search_result r = ask(w, &req);
    assert_int_equal(r.count, 10);
    for (size_t i = 0; i < r.count; i++) {
        const double expected = true_score(metric, query_vector, w->rows[r.hits[i].id.num]);
        size_t better = 0;
        assert_true(fabs((double)r.hits[i].score - expected) < 1e-5);
        for (size_t p = 0; p < POINTS; p++) {
            better += sign * true_score(metric, query_vector, w->rows[p]) > sign * expected + 1e-6;
        }
        assert_true(better <= i);
    }
}

static void every_metric_finds_the_true_best_and_shows_its_score(void **state)
{
    check_metric(*state, "cosine", LODE_COSINE);
    check_metric(*state, "dot", LODE_DOT);
    check_metric(*state, "euclid", LODE_EUCLID);
    check_metric(*state, "manhattan", LODE_MANHATTAN);
}

static void a_filter_leaves_only_what_matches(void **state)
{
    struct lode_search_request req = request("cosine");
    struct lode_filter *f = filter("{\"must\":[{\"key\":\"even\",\"match\":{\"value\":true}},"
                                   "{\"key\":\"n\",\"range\":{\"lt\":100}}]}");
    req.filter = f;
    req.limit = 100;
    struct lode_search_result r = ask(*state, &req);
    assert_int_equal(r.count, 50);
    assert_int_equal(r.plan.candidates, 50);
    for (size_t i = 0; i < r.count; i++) {
        assert_true(r.hits[i].id.num < 100);
        assert_int_equal(r.hits[i].id.num % 2, 0);
    }
    lode_filter_free(f);
    f = filter("{\"must\":[{\"has_id\":[3,1,100000,7]},{\"key\":\"n\",\"range\":{\"gt\":2}}]}");
    req.filter = f;
    r = ask(*state, &req);
    assert_int_equal(r.count, 2);
    lode_filter_free(f);
    f = filter("{\"must\":{\"key\":\"n\",\"match\":{\"value\":-1}}}");
    req.filter = f;
    r = ask(*state, &req);
    assert_int_equal(r.count, 0);
    lode_filter_free(f);
}

static void offset_and_limit_cut_the_same_list(void **state)
{
    struct world *w = *state;
    struct lode_search_request req = request("dot");
    uint64_t ids[20];
    req.limit = 20;
    struct lode_search_result r = ask(w, &req);
    for (size_t i = 0; i < 20; i++) ids[i] = r.hits[i].id.num;
    req.limit = 5;
    req.offset = 12;
    r = ask(w, &req);
    assert_int_equal(r.count, 5);
    for (size_t i = 0; i < 5; i++) assert_int_equal(r.hits[i].id.num, ids[12 + i]);
    req.offset = POINTS - 2;
    assert_int_equal(ask(w, &req).count, 2);
    req.offset = POINTS + 5;
    assert_int_equal(ask(w, &req).count, 0);
}

static void a_threshold_is_a_minimum_for_cosine_and_a_maximum_for_distances(void **state)
{
    struct world *w = *state;
    struct lode_search_request req = request("cosine");
    req.limit = 100;
    req.has_threshold = true;
    req.threshold = 0.6f;
    struct lode_search_result r = ask(w, &req);
    assert_true(r.count > 0);
    assert_true(r.count < 100);
    for (size_t i = 0; i < r.count; i++) assert_true(r.hits[i].score >= 0.6f);
    req.collection = LODE_STR("euclid");
    req.threshold = 1.3f;
    r = ask(w, &req);
    assert_true(r.count > 0);
    assert_true(r.count < 100);
    for (size_t i = 0; i < r.count; i++) assert_true(r.hits[i].score <= 1.3f);
}

static void a_point_as_query_is_not_among_its_own_hits(void **state)
{
    struct lode_search_request req = request("euclid");
    const struct lode_point_id id = lode_point_id_num(33);
    req.vector = NULL;
    req.point = &id;
    req.limit = LODE_K_MAX;
    const struct lode_search_result r = ask(*state, &req);
    assert_int_equal(r.count, POINTS - 1);
    for (size_t i = 0; i < r.count; i++) assert_int_not_equal(r.hits[i].id.num, 33);
}

static uint64_t document_number(const struct lode_hit *h)
{
    uint64_t n = UINT64_MAX;
    assert_true(lode_str_u64(lode_str_sub(h->document_id, 3, SIZE_MAX), DOCUMENTS - 1, &n));
    return n;
}

static void a_document_shows_once_when_asked_for_even_if_its_chunks_come_first(void **state)
{
    static const float axis[DIM] = {1.0f};
    struct lode_search_request req = request("docs");
    bool seen[DOCUMENTS] = {false};
    req.vector = axis;
    req.limit = 10;
    struct lode_search_result r = ask(*state, &req);
    for (size_t i = 0; i < 10; i++) assert_true(document_number(&r.hits[i]) < 3);
    req.best_chunk_per_document = true;
    for (req.limit = 1; req.limit <= DOCUMENTS + 1; req.limit += 13) {
        memset(seen, 0, sizeof seen);
        r = ask(*state, &req);
        assert_int_equal(r.count, req.limit < DOCUMENTS ? req.limit : DOCUMENTS);
        for (size_t i = 0; i < r.count; i++) {
            const uint64_t doc = document_number(&r.hits[i]);
            assert_false(seen[doc]);
            seen[doc] = true;
        }
    }
}

static void hits_hold_what_was_wanted(void **state)
{
    struct lode_search_request req = request("docs");
    req.want_text = req.want_vector = true;
    req.limit = 3;
    struct lode_search_result r = ask(*state, &req);
    for (size_t i = 0; i < r.count; i++) {
        const struct lode_hit *h = &r.hits[i];
        assert_true(h->is_chunk);
        assert_true(lode_str_eqz(h->title, "T"));
        assert_true(lode_str_eqz(h->source, "S"));
        assert_true(lode_str_eqz(h->heading, "H"));
        assert_true(lode_str_eqz(h->payload, "{\"m\":1}"));
        assert_int_equal(h->text.len, 4);
        assert_int_equal(h->start, h->chunk * 5);
        assert_true(fabsf(lode_vec()->dot(h->vector, h->vector, DIM) - 1.0f) < 1e-5f);
    }
    req.want_text = req.want_vector = req.want_payload = false;
    r = ask(*state, &req);
    assert_int_equal(r.hits[0].text.len, 0);
    assert_int_equal(r.hits[0].payload.len, 0);
    assert_null(r.hits[0].vector);
}

static void the_graph_finds_what_the_scan_finds_and_sees_later_writes(void **state)
{
    struct world *w = *state;
    const struct lode_collection c = collection(w, "cosine");
    struct lode_search_request req = request("cosine");
    struct lode_err err = LODE_ERR_INIT;
    bool built = false;
    const struct lode_search_result before = ask(w, &req);
    uint64_t ids[10];
    for (size_t i = 0; i < 10; i++) ids[i] = before.hits[i].id.num;
    assert_int_equal(lode_index_build(w->index, c.cid, true, NULL, NULL, NULL, &built, &err),
                     LODE_OK);
    assert_true(built);
    req.mode = LODE_SEARCH_ANN;
    req.ef = 200;
    struct lode_search_result r = ask(w, &req);
    assert_string_equal(r.plan.method, "hnsw");
    for (size_t i = 0; i < 10; i++) assert_int_equal(r.hits[i].id.num, ids[i]);

    float exact[DIM];
    memcpy(exact, query_vector, sizeof exact);
    assert_int_equal(lode_vector_prepare(&c.spec, exact, DIM, "v", &err), LODE_OK);
    struct lode_op ops[] = {
        {.kind = LODE_OP_PUT_POINT,
         .cid = c.cid,
         .u.point = {.id = lode_point_id_num(7777), .vector = exact, .payload = LODE_STR("{}")}},
        {.kind = LODE_OP_DELETE_POINT, .cid = c.cid, .u.point = {.id = lode_point_id_num(ids[0])}}};
    apply(w, ops, 2);
    r = ask(w, &req);
    assert_int_equal(r.hits[0].id.num, 7777);
    assert_int_equal(r.hits[1].id.num, ids[1]);
    assert_int_equal(r.plan.delta, 1);

    struct lode_filter *f = filter("{\"must\":{\"key\":\"even\",\"match\":{\"value\":true}}}");
    req.filter = f;
    r = ask(w, &req);
    for (size_t i = 0; i < r.count; i++) assert_int_equal(r.hits[i].id.num % 2, 0);
    assert_int_equal(r.plan.delta, 0); /* the new point does not pass the filter */
    lode_filter_free(f);
}

static void wrong_requests_are_refused_by_name(void **state)
{
    struct lode_search_request req = request("cosine");
    const struct lode_point_id absent = lode_point_id_num(424242);
    static const float zero[DIM] = {0};
    const float infinite[DIM] = {INFINITY};
    req.vector = NULL;
    refused(*state, &req, LODE_EINVAL, "exactly one");
    req.text = LODE_STR("words");
    refused(*state, &req, LODE_EUNSUPPORTED, "no model is loaded");
    req.vector = query_vector;
    refused(*state, &req, LODE_EINVAL, "exactly one");
    req = request("cosine");
    req.vector = NULL;
    req.point = &absent;
    refused(*state, &req, LODE_ENOTFOUND, "424242");
    req = request("nowhere");
    refused(*state, &req, LODE_ENOTFOUND, "nowhere");
    req = request("cosine");
    req.vector_len = DIM - 1;
    refused(*state, &req, LODE_EINVAL, "vector");
    req = request("cosine");
    req.vector = zero;
    refused(*state, &req, LODE_EINVAL, "vector");
    req.vector = infinite;
    refused(*state, &req, LODE_EINVAL, "vector");
    req = request("cosine");
    req.limit = 0;
    refused(*state, &req, LODE_EINVAL, "limit");
    req.limit = LODE_K_MAX + 1;
    refused(*state, &req, LODE_ELIMIT, "limit");
    req = request("cosine");
    req.offset = LODE_OFFSET_MAX + 1;
    refused(*state, &req, LODE_ELIMIT, "offset");
    req = request("cosine");
    req.ef = LODE_EF_MAX + 1;
    refused(*state, &req, LODE_ELIMIT, "ef");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_metric_finds_the_true_best_and_shows_its_score),
        cmocka_unit_test(a_filter_leaves_only_what_matches),
        cmocka_unit_test(offset_and_limit_cut_the_same_list),
        cmocka_unit_test(a_threshold_is_a_minimum_for_cosine_and_a_maximum_for_distances),
        cmocka_unit_test(a_point_as_query_is_not_among_its_own_hits),
        cmocka_unit_test(a_document_shows_once_when_asked_for_even_if_its_chunks_come_first),
        cmocka_unit_test(hits_hold_what_was_wanted),
        cmocka_unit_test(wrong_requests_are_refused_by_name),
        cmocka_unit_test(the_graph_finds_what_the_scan_finds_and_sees_later_writes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
