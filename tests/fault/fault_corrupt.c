/* SPDX-License-Identifier: MIT */
/* One flipped bit in a stored value, again and again: whatever is read afterwards is the old answer
 * or an error that names the record; never another answer. And lode_store_check finds each. Bits
 * are flipped in the data file itself, where a raw walk found the values. The seed is printed;
 * LODE_TEST_SEED and LODE_TEST_TRIES change the run. */
#include "tests/unit/storage/world.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/bitmap.h"
#include "storage/oplog.h"
#include "storage/store_internal.h"

enum { POINTS = 150, DOCS = 12, CHUNKS = 4, TRIES = 300, STRUCTURE_TRIES = 150, VALUES_MAX = 4000 };
#define JOB "0a000000-0000-4000-8000-00000000000b"

static void fill(struct lode_store *s)
{
    const lode_cid cid = make_collection(s, "docs", WORLD_DIM, LODE_DOT);
    for (uint64_t i = 0; i < POINTS; i++) put_point(s, cid, i, i, "{\"city\":\"Bern\"}");
    for (uint64_t d = 0; d < DOCS; d++) {
        char id[16];
        snprintf(id, sizeof id, "doc-%u", (unsigned)d);
        put_document(s, cid, id, CHUNKS, d * 10);
    }
    for (uint64_t i = 0; i < 20; i++) delete_point(s, cid, i * 7);
    const struct lode_job job = {
        .id = JOB, .total = 5, .options = LODE_STR("{}"), .input = LODE_STR("the body")};
    struct lode_key key = {.id = "0123456789abcdef", .role = LODE_ROLE_READ, .name = "k"};
    good(apply1(s, (struct lode_op){.kind = LODE_OP_PUT_JOB, .u.job = &job}, &err));
    good(apply1(s, (struct lode_op){.kind = LODE_OP_PUT_KEY, .u.key = &key}, &err));
}

/* --- where the values are --- */

struct place {
    off_t at; /* in the file */
    size_t len;
    enum lode_table table;
    char words[200];
};
struct places {
    struct place list[VALUES_MAX];
    size_t count;
};

/* LMDB's map starts at page 0, so an offset from there is one in the file; LMDB does not tell where
 * the map is, /proc/self/maps does. */
static const char *map_start(const char *dir)
{
    char line[600], path[WORLD_PATH + 32];
    const char *start = NULL;
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    FILE *maps = fopen("/proc/self/maps", "r");
    assert_non_null(maps);
    while (!start && fgets(line, sizeof line, maps))
        if (strstr(line, path)) start = (const char *)(uintptr_t)strtoull(line, NULL, 16);
    fclose(maps);
    assert_non_null(start);
    return start;
}

static void find_values(struct lode_store *s, struct places *out)
{
    struct lode_rtxn *txn = begin(s);
    const char *start = map_start(lode_store_dir(s));
    out->count = 0;
    for (enum lode_table t = 0; t < LODE_T_COUNT; t++) {
        struct lode_cursor c;
        good(lode_cursor_open(txn, t, &c, &err));
        good(lode_cursor_first(&c, &err));
        while (c.on && out->count < VALUES_MAX) {
            struct place *p = &out->list[out->count++];
            *p = (struct place){.at = c.value.ptr - start, .len = c.value.len, .table = t};
            lode_record_words(txn, t, c.key, p->words, sizeof p->words);
            good(lode_cursor_next(&c, &err));
        }
        lode_cursor_close(&c);
    }
    lode_rtxn_end(txn);
    assert_true(out->count > POINTS && out->count < VALUES_MAX);
}

static void flip(const char *path, off_t at, unsigned bit)
{
    char c;
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c = (char)(c ^ (1 << bit));
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

/* --- reading everything: wrong answers are fatal, errors are counted --- */

struct reading {
    bool structure;  /* a page's own structure is damaged: then a record may be unreachable */
    unsigned errors; /* told as LODE_ECORRUPT, with a record's name */
    unsigned missed; /* answered as if the record were not there */
    unsigned wrong;  /* answered with other contents */
};

/* The answer must be the old one. */
static void same(struct reading *r, bool is_same)
{
    r->wrong += !is_same;
    if (!r->structure) assert_true(is_same);
}

static void counted(struct reading *r, uint64_t count, uint64_t want)
{
    r->missed += count != want;
    if (!r->structure) assert_int_equal(count, want);
}

/* True when rc is LODE_OK; else it must be a named corruption. */
static bool ok(struct reading *r, enum lode_code rc, struct lode_err *err)
{
    const char *message = err->msg;
    if (rc == LODE_OK) return true;
    if (rc == LODE_ENOTFOUND && r->structure) {
        r->missed++;
    } else {
        if (!r->structure && (rc != LODE_ECORRUPT || !strchr(message, ':')))
            fail_msg("%s, or names no record: %s", lode_code_name(rc), message);
        r->errors++;
    }
    *err = LODE_ERR_INIT;
    return false;
}

static void read_vector(struct reading *r, const struct lode_rtxn *txn,
                        const struct lode_collection *c, lode_slot slot, uint64_t seed)
{
    struct lode_err err = LODE_ERR_INIT;
    float want[WORLD_DIM];
    const float *v;
    if (!ok(r, lode_vector_get(txn, c, slot, &v, &err), &err)) return;
    fill_vector(want, WORLD_DIM, seed);
    same(r, memcmp(v, want, sizeof want) == 0);
}

static void read_points(struct reading *r, const struct lode_rtxn *txn,
                        const struct lode_collection *c)
{
    struct lode_err err = LODE_ERR_INIT;
    for (uint64_t i = 0; i < POINTS; i++) {
        const struct lode_point_id id = lode_point_id_num(i);
        struct lode_point p;
        lode_slot slot;
        const bool gone = i % 7 == 0 && i / 7 < 20;
        const enum lode_code rc = lode_point_slot(txn, c, &id, &slot, &err);
        if (gone) {
            same(r, rc != LODE_OK);
            err = LODE_ERR_INIT;
            continue;
        }
        if (!ok(r, rc, &err)) continue;
        read_vector(r, txn, c, slot, i);
        if (!ok(r, lode_point_get(txn, c, slot, &p, &err), &err)) continue;
        same(r, p.id.num == i && !p.is_chunk);
        same(r, lode_str_eqz(p.payload, "{\"city\":\"Bern\"}"));
    }
}

static void read_chunk(struct reading *r, const struct lode_rtxn *txn,
                       const struct lode_collection *c, const char *id, uint32_t chunk,
                       const char *text, uint64_t seed)
{
    struct lode_err err = LODE_ERR_INIT;
    const struct lode_point_id pid = lode_chunk_point_id(lode_str_of(id), chunk);
    struct lode_point p;
    struct lode_str got;
    lode_slot slot;
    if (!ok(r, lode_point_slot(txn, c, &pid, &slot, &err), &err)) return;
    read_vector(r, txn, c, slot, seed + chunk);
    if (!ok(r, lode_point_get(txn, c, slot, &p, &err), &err)) return;
    same(r, p.is_chunk && p.chunk == chunk && lode_str_eqz(p.document_id, id));
    same(r, lode_str_eqz(p.heading, "A > B") && lode_str_eqz(p.title, "Title"));
    if (!ok(r, lode_point_text(txn, c, &p, &got, &err), &err)) return;
    same(r, got.len == 10 && memcmp(got.ptr, text + (size_t)chunk * 10, 10) == 0);
}

static void read_documents(struct reading *r, const struct lode_rtxn *txn,
                           const struct lode_collection *c)
{
    struct lode_err err = LODE_ERR_INIT;
    char text[CHUNKS * 10 + 1];
    for (uint64_t d = 0; d < DOCS; d++) {
        struct lode_document doc;
        struct lode_str got;
        char id[16];
        snprintf(id, sizeof id, "doc-%u", (unsigned)d);
        document_text(text, CHUNKS, d * 10);
        if (ok(r, lode_document_get(txn, c, lode_str_of(id), &doc, &err), &err)) {
            same(r, doc.chunks == CHUNKS && doc.text_bytes == CHUNKS * 10);
            same(r, lode_str_eqz(doc.metadata, "{\"k\":1}"));
        }
        if (ok(r, lode_document_text(txn, c, lode_str_of(id), &got, &err), &err))
            same(r, lode_str_eqz(got, text));
        for (uint32_t i = 0; i < CHUNKS; i++) read_chunk(r, txn, c, id, i, text, d * 10);
    }
}

static bool count_id(void *arg, const struct lode_point_id *id, lode_slot slot)
{
    (void)id;
    (void)slot;
    ++*(unsigned *)arg;
    return true;
}
static bool count_document(void *arg, const struct lode_document *doc)
{
    (void)doc;
    ++*(unsigned *)arg;
    return true;
}
static bool count_change(void *arg, const struct lode_change *change)
{
    (void)change;
    ++*(unsigned *)arg;
    return true;
}

static void read_walks(struct reading *r, const struct lode_rtxn *txn,
                       const struct lode_collection *c)
{
    struct lode_err err = LODE_ERR_INIT;
    const struct lode_str source = LODE_STR("/src/file.txt");
    struct lode_bitmap *live = NULL;
    unsigned n = 0;
    if (ok(r, lode_live_get(txn, c, &live, &err), &err))
        counted(r, lode_bitmap_count(live), POINTS - 20 + DOCS * CHUNKS);
    lode_bitmap_free(live);
    if (ok(r, lode_point_each(txn, c, NULL, count_id, &n, &err), &err))
        counted(r, n, POINTS - 20 + DOCS * CHUNKS);
    n = 0;
    if (ok(r, lode_document_each(txn, c, count_document, &n, &err), &err)) counted(r, n, DOCS);
    n = 0;
    if (ok(r, lode_document_each_source(txn, c, source, count_document, &n, &err), &err))
        counted(r, n, DOCS);
    n = 0;
    if (ok(r, lode_log_each(txn, 1, count_change, &n, &err), &err))
        counted(r, n, 1 + POINTS + DOCS + 20 + 2);
}

static void read_records(struct reading *r, const struct lode_rtxn *txn)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_job job;
    struct lode_key key;
    if (ok(r, lode_job_get(txn, LODE_STR(JOB), &job, &err), &err))
        same(r, job.total == 5 && lode_str_eqz(job.input, "the body"));
    if (ok(r, lode_key_get(txn, LODE_STR("0123456789abcdef"), &key, &err), &err))
        same(r, key.role == LODE_ROLE_READ && strcmp(key.name, "k") == 0);
}

static void read_all(struct lode_store *s, struct reading *r)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_rtxn *txn;
    struct lode_collection c;
    if (!ok(r, lode_rtxn_begin(s, &txn, &err), &err)) return;
    if (ok(r, lode_collection_get(txn, LODE_STR("docs"), &c, &err), &err)) {
        read_points(r, txn, &c);
        read_documents(r, txn, &c);
        read_walks(r, txn, &c);
    }
    read_records(r, txn);
    lode_rtxn_end(txn);
}

/* --- the test --- */

struct findings {
    unsigned count;
    bool named; /* one of them is the flipped record */
    const struct place *place;
};
static void look_for(void *arg, const char *table, const char *record, const char *problem)
{
    struct findings *f = arg;
    (void)problem;
    f->count++;
    if (strcmp(table, lode_table_name(f->place->table)) != 0) return;
    /* A document whose own id is damaged is named by its key. */
    if (strcmp(record, f->place->words) == 0 || strstr(record, "document with key"))
        f->named = true;
}

/* With the bit flipped: what opening, reading and checking say. */
static void one_try(struct world *w, const struct place *p, struct reading *r)
{
    const struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_check_report report;
    struct findings f = {.place = p};
    *r = (struct reading){0};
    if (!ok(r, lode_store_open(w->data, &opts, &w->store, &err), &err)) return;
    read_all(w->store, r);
    if (ok(r, lode_store_check(w->store, look_for, NULL, &f, NULL, &report, &err), &err) &&
        !f.named)
        fail_msg("check did not name %s: %s", lode_table_name(p->table), p->words);
    world_close(w);
}

static unsigned tries_or(unsigned usual)
{
    const char *given = getenv("LODE_TEST_TRIES");
    uint64_t tries = usual;
    if (given && !lode_str_u64(lode_str_of(given), UINT32_MAX, &tries))
        fail_msg("LODE_TEST_TRIES must be a number, not '%s'", given);
    return (unsigned)tries;
}

static void one_flipped_bit_in_a_value_never_gives_a_wrong_answer(void **state)
{
    struct world *w = *state;
    const char *given = getenv("LODE_TEST_SEED");
    const uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    const unsigned tries = tries_or(TRIES);
    uint64_t rng = seed;
    static struct places places;
    struct reading r = {0};
    unsigned told = 0, by_table[LODE_T_COUNT] = {0};
    char path[WORLD_PATH + 32];
    printf("LODE_TEST_SEED=%llu\n", (unsigned long long)seed);
    fill(w->store);
    world_reopen(w);
    find_values(w->store, &places);
    read_all(w->store, &r);
    assert_int_equal(r.errors, 0);
    world_close(w);
    snprintf(path, sizeof path, "%s/data.mdb", w->data);
    for (unsigned i = 0; i < tries; i++) {
        /* every table in turn, so that the small ones get their share */
        const struct place *p = &places.list[below(&rng, (uint32_t)places.count)];
        for (unsigned j = 0; j < 2000 && p->table != i % LODE_T_COUNT; j++)
            p = &places.list[below(&rng, (uint32_t)places.count)];
        const off_t at = p->at + (off_t)below(&rng, (uint32_t)p->len);
        const unsigned bit = below(&rng, 8);
        flip(path, at, bit);
        one_try(w, p, &r);
        told += r.errors > 0;
        by_table[p->table]++;
        flip(path, at, bit);
    }
    for (enum lode_table t = 0; t < LODE_T_COUNT; t++)
        printf("%s %u, ", lode_table_name(t), by_table[t]);
    printf("\n%u of %u flips met by a read, the others by check only\n", told, tries);
    world_reopen(w);
    r = (struct reading){0};
    read_all(w->store, &r);
    assert_int_equal(r.errors, 0);
    expect_clean(w->store);
    assert_true(told > tries * 3 / 4);
}

/* --- bits of LMDB's own pages --- */

/* Answers of a child that met a damaged page. */
enum { AS_BEFORE = 0, TOLD = 10, FOUND_BY_CHECK, MISSED, WRONG };

static int child_verdict(const struct world *w)
{
    const struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    struct reading r = {.structure = true};
    struct lode_err err = LODE_ERR_INIT;
    struct lode_check_report report = {0};
    struct lode_store *s;
    static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) signal(signals[i], SIG_DFL);
    if (!freopen("/dev/null", "w", stderr)) return WRONG;
    if (lode_store_open(w->data, &opts, &s, &err)) return TOLD;
    read_all(s, &r);
    if (r.wrong) return WRONG;
    if (r.errors) return TOLD;
    if (!r.missed) return AS_BEFORE;
    const bool found =
        lode_store_check(s, NULL, NULL, NULL, NULL, &report, &err) || report.problems > 0;
    return found ? FOUND_BY_CHECK : MISSED;
}

/* An offset of the file that lies in no value. */
static off_t pick_structure(const struct places *places, off_t size, uint64_t *rng)
{
    for (;;) {
        const off_t at = (off_t)(next_random(rng) % (uint64_t)size);
        bool in_value = false;
        for (size_t i = 0; !in_value && i < places->count; i++) {
            const struct place *p = &places->list[i];
            in_value = at >= p->at && at < p->at + (off_t)p->len;
        }
        if (!in_value) return at;
    }
}

static void one_flipped_bit_in_a_page_never_gives_other_contents(void **state)
{
    struct world *w = *state;
    const char *given = getenv("LODE_TEST_SEED");
    uint64_t rng = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    const unsigned tries = tries_or(STRUCTURE_TRIES);
    static struct places places;
    unsigned verdicts[WRONG + 1] = {0}, died = 0;
    char path[WORLD_PATH + 32];
    printf("LODE_TEST_SEED=%llu\n", (unsigned long long)rng);
    fill(w->store);
    world_reopen(w);
    find_values(w->store, &places);
    world_close(w);
    snprintf(path, sizeof path, "%s/data.mdb", w->data);
    const int fd = open(path, O_RDONLY);
    const off_t size = lseek(fd, 0, SEEK_END);
    close(fd);
    for (unsigned i = 0; i < tries; i++) {
        const off_t at = pick_structure(&places, size, &rng);
        const unsigned bit = below(&rng, 8);
        int status = 0;
        fflush(stdout);
        flip(path, at, bit);
        const pid_t pid = fork();
        if (pid == 0) {
            alarm(20);
            _exit(child_verdict(w));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        flip(path, at, bit);
        if (!WIFEXITED(status)) {
            died++;
            continue;
        }
        const int verdict = WEXITSTATUS(status);
        verdicts[verdict]++;
        if (verdict >= MISSED)
            fail_msg("offset %lld bit %u: verdict %d", (long long)at, bit, verdict);
    }
    printf("%u flips outside values: %u as before, %u told, %u records missed and found by check, "
           "%u ended the process\n",
           tries, verdicts[AS_BEFORE], verdicts[TOLD], verdicts[FOUND_BY_CHECK], died);
    world_reopen(w);
    expect_clean(w->store);
}

/* LMDB takes the meta page with the higher transaction number: a flipped bit of that number can
 * bring the commit before the last back. */
static void a_damaged_meta_page_does_not_bring_an_older_state_back(void **state)
{
    struct world *w = *state;
    enum { TXNID_AT = 144, PAGE = 4096, BITS = 24 }; /* LMDB 0.9's meta page on 64-bit machines */
    unsigned told = 0;
    char path[WORLD_PATH + 32];
    fill(w->store);
    world_close(w);
    snprintf(path, sizeof path, "%s/data.mdb", w->data);
    for (unsigned page = 0; page < 2; page++)
        for (unsigned bit = 0; bit < BITS; bit++) {
            if (bit == 1) continue; /* two less is what the page held before: nothing tells */
            const off_t at = (off_t)page * PAGE + TXNID_AT + bit / 8;
            int status = 0;
            fflush(stdout);
            flip(path, at, bit % 8);
            const pid_t pid = fork();
            if (pid == 0) _exit(child_verdict(w));
            assert_int_equal(waitpid(pid, &status, 0), pid);
            flip(path, at, bit % 8);
            assert_true(WIFEXITED(status));
            if (WEXITSTATUS(status) > TOLD)
                fail_msg("page %u bit %u: verdict %d", page, bit, WEXITSTATUS(status));
            told += WEXITSTATUS(status) == TOLD;
        }
    assert_true(told > BITS / 2);
    world_reopen(w);
    expect_clean(w->store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_flipped_bit_in_a_value_never_gives_a_wrong_answer,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(one_flipped_bit_in_a_page_never_gives_other_contents,
                                        world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_damaged_meta_page_does_not_bring_an_older_state_back,
                                        world_setup, world_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
