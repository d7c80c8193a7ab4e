/* SPDX-License-Identifier: MIT */
/* kill -9 at random moments. A child writes points and documents from several threads and reports
 * each acknowledged write through a pipe; the parent kills it after 0 to 300 ms, reopens the store
 * and compares: every acknowledged write is there, what was not acknowledged is there whole or not
 * at all, the cache has no vector but a chunk's own, and lode_store_check is clean. One more
 * thread fills the cache of calls beyond its bound. The next cycle goes on with the same directory.
 *
 *   fault_crash [--cycles N] [--seed S] [--dir D] */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "storage/cache.h"
#include "storage/collections.h"
#include "storage/documents.h"
#include "storage/maintain.h"
#include "storage/points.h"
#include "storage/vectors.h"
#include "storage/write.h"

enum {
    THREADS = 4,
    KEYS = 40,
    DIM = 16,
    CHUNKS_MAX = 5,
    KILL_MS = 300,
    ID_BYTES = 32,
    TEXT_BYTES = CHUNKS_MAX * 10 + 1, /* ten characters a chunk */
    PATH_BYTES = 300,
    PIPE_BYTES = 1 << 20,
    EMBED_ROWS = 20,
    EMBED_BYTES = 64 << 10
};

/* A key belongs to one thread, which writes rising versions of it: version v is a point or a
 * document with v in every part, or (every 7th) a delete. Even keys are points, odd documents. */
struct ack {
    uint32_t thread, key, version;
};
struct shadow {     /* what the parent knows of a key */
    uint32_t acked; /* last acknowledged version; 0: none */
};
static struct shadow shadows[THREADS][KEYS];

static void die(const char *what, const struct lode_err *err)
{
    fprintf(stderr, "fault_crash: %s: %s\n", what, err ? err->msg : "");
    exit(1);
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = (*state += 0x9e3779b97f4a7c15u);
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    return x ^ (x >> 31);
}

static bool is_delete(uint32_t version)
{
    return version % 7 == 0;
}

static uint32_t chunks_of(uint32_t version)
{
    return 1 + version % CHUNKS_MAX;
}

static void vector_of(float *v, uint32_t version, uint32_t chunk)
{
    for (uint32_t i = 0; i < DIM; i++) v[i] = (float)version + (float)chunk * 0.125f + (float)i;
}

/* Of the text that has vector_of(version, chunk). */
static struct lode_text_key key_of(uint32_t version, uint32_t chunk)
{
    struct lode_text_key key = {{1}};
    memcpy(key.bytes + 4, &version, sizeof version);
    memcpy(key.bytes + 8, &chunk, sizeof chunk);
    return key;
}

static void text_of(char out[TEXT_BYTES], uint32_t version)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < chunks_of(version) && used < TEXT_BYTES; i++)
        used += (size_t)snprintf(out + used, TEXT_BYTES - used, "%08u.%u", version, i % 10);
}

static void id_of(char out[ID_BYTES], uint32_t thread, uint32_t key)
{
    snprintf(out, ID_BYTES, "doc/%u/%u", thread, key);
}

/* --- the child --- */

struct job {
    struct lode_store *store;
    lode_cid cid;
    uint32_t thread;
    int out;
    uint64_t seed;
};

static enum lode_code write_point(struct job *j, uint32_t key, uint32_t version,
                                  struct lode_err *err)
{
    char payload[40];
    float v[DIM];
    vector_of(v, version, 0);
    snprintf(payload, sizeof payload, "{\"v\":%u}", version);
    struct lode_op op = {.kind = is_delete(version) ? LODE_OP_DELETE_POINT : LODE_OP_PUT_POINT,
                         .cid = j->cid,
                         .u.point = {.id = lode_point_id_num(j->thread * 1000 + key),
                                     .vector = v,
                                     .payload = lode_str_of(payload)}};
    return lode_store_apply(j->store, &op, 1, NULL, err);
}

static enum lode_code write_document(struct job *j, uint32_t key, uint32_t version,
                                     struct lode_err *err)
{
    char id[ID_BYTES], text[TEXT_BYTES];
    float v[CHUNKS_MAX][DIM];
    struct lode_write_chunk chunks[CHUNKS_MAX];
    struct lode_text_key keys[CHUNKS_MAX];
    id_of(id, j->thread, key);
    text_of(text, version);
    for (uint32_t i = 0; i < chunks_of(version); i++) {
        vector_of(v[i], version, i);
        keys[i] = key_of(version, i);
        chunks[i] = (struct lode_write_chunk){
            .vector = v[i], .start = i * 10, .end = i * 10 + 10, .key = &keys[i]};
    }
    const struct lode_write_document doc = {.id = lode_str_of(id),
                                            .source = LODE_STR("s"),
                                            .text = lode_str_of(text),
                                            .chunks = chunks,
                                            .chunk_count = chunks_of(version)};
    struct lode_op op = {.kind = LODE_OP_PUT_DOCUMENT, .cid = j->cid, .u.document = &doc};
    if (is_delete(version))
        op = (struct lode_op){
            .kind = LODE_OP_DELETE_DOCUMENT, .cid = j->cid, .u.document_id = doc.id};
    return lode_store_apply(j->store, &op, 1, NULL, err);
}

static void *write_for_ever(void *arg)
{
    struct job *j = arg;
    struct lode_err err = LODE_ERR_INIT;
    uint32_t versions[KEYS];
    for (uint32_t k = 0; k < KEYS; k++) versions[k] = shadows[j->thread][k].acked;
    for (;;) {
        const uint32_t key = (uint32_t)(next_random(&j->seed) % KEYS);
        const uint32_t version = ++versions[key];
        const enum lode_code rc =
            key % 2 ? write_document(j, key, version, &err) : write_point(j, key, version, &err);
        if (rc) die("child: write", &err);
        const struct ack ack = {j->thread, key, version};
        if (write(j->out, &ack, sizeof ack) != sizeof ack) _exit(1);
    }
    return NULL;
}

static void *cache_for_ever(void *arg)
{
    struct job *j = arg;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_embeds_stats stats;
    struct lode_embed_row rows[EMBED_ROWS];
    float v[EMBED_ROWS][DIM];
    for (;;) {
        for (uint32_t i = 0; i < EMBED_ROWS; i++) {
            const uint32_t n = (uint32_t)(next_random(&j->seed) % 2000);
            vector_of(v[i], n, 0);
            rows[i] = (struct lode_embed_row){.key = key_of(n, 0), .dim = DIM, .vector = v[i]};
        }
        const struct lode_embeds_write write = {
            .rows = rows, .count = EMBED_ROWS, .bytes_max = EMBED_BYTES};
        if (lode_embeds_put(j->store, &write, &stats, &err)) die("child: cache", &err);
    }
    return NULL;
}

static struct lode_store *open_store(const char *dir)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    struct lode_store *store;
    opts.create = true;
    if (lode_store_open(dir, &opts, &store, &err)) die("open", &err);
    return store;
}

static lode_cid docs_cid(struct lode_store *store)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_collection_spec spec;
    struct lode_rtxn *txn;
    struct lode_collection c;
    lode_collection_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "docs");
    spec.dim = DIM;
    spec.metric = LODE_DOT;
    struct lode_op op = {.kind = LODE_OP_CREATE_COLLECTION, .u.spec = &spec};
    const enum lode_code rc = lode_store_apply(store, &op, 1, NULL, &err);
    if (rc && rc != LODE_EEXISTS) die("create", &err);
    if (lode_rtxn_begin(store, &txn, &err)) die("read", &err);
    if (lode_collection_get(txn, LODE_STR("docs"), &c, &err)) die("collection", &err);
    lode_rtxn_end(txn);
    return c.cid;
}

static void child(const char *dir, int out, uint64_t seed)
{
    static struct job jobs[THREADS + 1];
    pthread_t threads[THREADS + 1];
    struct lode_store *store = open_store(dir);
    const lode_cid cid = docs_cid(store);
    for (uint32_t i = 0; i <= THREADS; i++) {
        void *(*const run)(void *) = i < THREADS ? write_for_ever : cache_for_ever;
        jobs[i] = (struct job){
            .store = store, .cid = cid, .thread = i, .out = out, .seed = seed * 31 + i};
        if (pthread_create(&threads[i], NULL, run, &jobs[i])) die("thread", NULL);
    }
    for (;;) pause();
}

/* --- the parent --- */

struct reader {
    const struct lode_rtxn *txn;
    const struct lode_collection *c;
};

/* The version that is stored as this point or document, 0 when there is none. Dies when it is not
 * whole. */
static uint32_t stored_point(const struct reader *r, uint32_t thread, uint32_t key)
{
    struct lode_err err = LODE_ERR_INIT;
    const struct lode_point_id id = lode_point_id_num(thread * 1000 + key);
    struct lode_point p;
    const float *v;
    float want[DIM];
    lode_slot slot;
    unsigned version = 0;
    char payload[64];
    const enum lode_code rc = lode_point_slot(r->txn, r->c, &id, &slot, &err);
    if (rc == LODE_ENOTFOUND) return 0;
    if (rc || lode_point_get(r->txn, r->c, slot, &p, &err)) die("point", &err);
    if (lode_vector_get(r->txn, r->c, slot, &v, &err)) die("vector", &err);
    snprintf(payload, sizeof payload, LODE_STR_FMT, LODE_STR_ARG(p.payload));
    if (sscanf(payload, "{\"v\":%u}", &version) != 1) die("payload", NULL);
    vector_of(want, version, 0);
    if (memcmp(v, want, sizeof want) != 0) die("vector and payload of one point differ", NULL);
    return version;
}

static uint64_t cache_hits;

static void whole_chunk(const struct reader *r, const char *id, uint32_t chunk, uint32_t version)
{
    struct lode_err err = LODE_ERR_INIT;
    const struct lode_point_id pid = lode_chunk_point_id(lode_str_of(id), chunk);
    struct lode_point p;
    struct lode_str text;
    const float *v;
    float want[DIM];
    char expected[16];
    lode_slot slot;
    if (lode_point_slot(r->txn, r->c, &pid, &slot, &err)) die("chunk", &err);
    if (lode_point_get(r->txn, r->c, slot, &p, &err)) die("chunk", &err);
    if (lode_point_text(r->txn, r->c, &p, &text, &err)) die("chunk", &err);
    if (lode_vector_get(r->txn, r->c, slot, &v, &err)) die("chunk", &err);
    vector_of(want, version, chunk);
    snprintf(expected, sizeof expected, "%08u.%u", version, chunk % 10);
    if (memcmp(v, want, sizeof want) != 0 || !lode_str_eqz(text, expected))
        die("a document has parts of two versions", NULL);
    const struct lode_text_key key = key_of(version, chunk);
    struct lode_cached cached;
    if (lode_cache_get(r->txn, r->c, &key, &cached)) { /* not when a later copy of it is gone */
        cache_hits++;
        if (memcmp(cached.vector, want, sizeof want) != 0)
            die("the cache has another vector for a chunk", NULL);
    }
}

static uint32_t stored_document(const struct reader *r, uint32_t thread, uint32_t key)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_document doc;
    struct lode_str text;
    char id[ID_BYTES], head[9] = "";
    id_of(id, thread, key);
    const enum lode_code rc = lode_document_get(r->txn, r->c, lode_str_of(id), &doc, &err);
    if (rc == LODE_ENOTFOUND) return 0;
    if (rc || lode_document_text(r->txn, r->c, lode_str_of(id), &text, &err)) die("document", &err);
    if (text.len < 8) die("document: text", NULL);
    memcpy(head, text.ptr, 8);
    const uint32_t version = (uint32_t)strtoul(head, NULL, 10);
    if (doc.chunks != chunks_of(version)) die("document: count of chunks", NULL);
    for (uint32_t i = 0; i < doc.chunks; i++) whole_chunk(r, id, i, version);
    return version;
}

/* Stored must be the last acknowledged version, or the next, which may have been under way when the
 * kill came. Returns which it is. */
static uint32_t compare_key(const struct reader *r, uint32_t thread, uint32_t key)
{
    const uint32_t acked = shadows[thread][key].acked, sent = acked + 1;
    const uint32_t stored =
        key % 2 ? stored_document(r, thread, key) : stored_point(r, thread, key);
    const bool acked_there = acked && !is_delete(acked);
    if (stored == 0 && !acked_there) return acked;
    if (stored == 0 && is_delete(sent)) return sent;
    if (stored == acked && acked_there) return acked;
    if (stored == sent && !is_delete(sent)) return sent;
    fprintf(stderr, "fault_crash: thread %u key %u: stored %u, acknowledged %u, under way %u\n",
            thread, key, stored, acked, sent);
    exit(1);
}

static void problem(void *arg, const char *table, const char *record, const char *text)
{
    (void)arg;
    fprintf(stderr, "check: %s: %s: %s\n", table, record, text);
}

static double verify(const char *dir)
{
    struct lode_err err = LODE_ERR_INIT;
    struct lode_check_report report;
    struct lode_collection c;
    struct lode_rtxn *txn;
    const uint64_t start = lode_now_ns();
    struct lode_store *store = open_store(dir);
    if (lode_rtxn_begin(store, &txn, &err)) die("read", &err);
    const double ready_s = lode_seconds_since(start);
    if (lode_collection_get(txn, LODE_STR("docs"), &c, &err) == LODE_OK) {
        const struct reader r = {txn, &c};
        for (uint32_t t = 0; t < THREADS; t++)
            for (uint32_t k = 0; k < KEYS; k++) shadows[t][k].acked = compare_key(&r, t, k);
    } else {
        for (uint32_t t = 0; t < THREADS; t++)
            for (uint32_t k = 0; k < KEYS; k++)
                if (shadows[t][k].acked) die("the collection is gone", NULL);
    }
    lode_rtxn_end(txn);
    if (lode_store_check(store, problem, NULL, NULL, NULL, &report, &err)) die("check", &err);
    if (report.problems) die("check found problems", NULL);
    lode_store_close(store);
    return ready_s;
}

static uint64_t drain(int in)
{
    struct ack ack;
    uint64_t count = 0;
    while (read(in, &ack, sizeof ack) == (ssize_t)sizeof ack) {
        shadows[ack.thread][ack.key].acked = ack.version;
        count++;
    }
    return count;
}

static void sleep_us(uint64_t us)
{
    const struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    nanosleep(&t, NULL);
}

static uint64_t cycle(const char *dir, uint64_t *rng, double *ready_s)
{
    int fds[2];
    if (pipe(fds)) die("pipe", NULL);
    fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES); /* nobody reads until the kill */
    const uint64_t seed = next_random(rng), wait_us = next_random(rng) % (KILL_MS * 1000);
    const pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        child(dir, fds[1], seed);
    }
    close(fds[1]);
    sleep_us(wait_us);
    int status;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status)) die("the child ended by itself", NULL);
    const uint64_t acks = drain(fds[0]);
    close(fds[0]);
    const double s = verify(dir);
    if (s > *ready_s) *ready_s = s;
    return acks;
}

int main(int argc, char **argv)
{
    uint64_t cycles = 30, seed = (uint64_t)time(NULL), acks = 0;
    char dir[PATH_BYTES], data[PATH_BYTES + 8], command[PATH_BYTES + 32];
    const char *base = getenv("TMPDIR");
    double ready_s = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--cycles") == 0) cycles = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--seed") == 0) seed = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--dir") == 0) base = argv[i + 1];
    }
    snprintf(dir, sizeof dir, "%s/lode-crash-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(dir)) die("mkdtemp", NULL);
    snprintf(data, sizeof data, "%s/data", dir);
    printf("fault_crash --cycles %" PRIu64 " --seed %" PRIu64 "\n", cycles, seed);
    uint64_t rng = seed;
    for (uint64_t i = 0; i < cycles; i++) acks += cycle(data, &rng, &ready_s);
    printf("%" PRIu64 " kills, %" PRIu64 " acknowledged writes, 0 lost, 0 half, check clean; "
           "%" PRIu64 " cache hits, slowest reopen %.0f ms\n",
           cycles, acks, cache_hits, ready_s * 1000);
    if (acks && !cache_hits) die("the cache has nothing", NULL);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) ? 1 : 0;
}
