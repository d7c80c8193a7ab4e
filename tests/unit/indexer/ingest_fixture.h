/* SPDX-License-Identifier: MIT */
/* A temporary folder with a store, the tiny golden model, one collection and a folder of documents.
 * Every test ends with a check of the whole store. */
#ifndef LODE_TESTS_INGEST_FIXTURE_H
#define LODE_TESTS_INGEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "indexer/ingest.h"
#include "storage/collections.h"
#include "storage/documents.h"
#include "storage/maintain.h"
#include "storage/points.h"
#include "storage/write.h"

struct fixture {
    char dir[64]; /* of everything; the working directory of the test */
    char *old_cwd;
    struct lode_store *store;
    struct lode_encoder *encoder;
    struct lode_metrics *metrics;
    struct lode_collection c;
    struct lode_ingest_opts opts;
    struct lode_ingest_progress p; /* of the last run */
    struct lode_err err;
    size_t failures;
    char failed_source[256], failed_reason[512]; /* of the last run: the first one */
    struct lode_cancel cancel;
    bool cancel_at_failure;
};

static void on_failed(void *arg, const char *source, const char *reason)
{
    struct fixture *f = arg;
    if (f->failures++ == 0) {
        snprintf(f->failed_source, sizeof f->failed_source, "%s", source);
        snprintf(f->failed_reason, sizeof f->failed_reason, "%s", reason);
    }
    if (f->cancel_at_failure) lode_cancel_set(&f->cancel);
}

static inline void must(struct fixture *f, enum lode_code rc)
{
    if (rc) fail_msg("%s: %s", lode_code_name(rc), f->err.msg);
}

static inline void reload(struct fixture *f)
{
    struct lode_rtxn *txn;
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    must(f, lode_collection_get(txn, LODE_STR("docs"), &f->c, &f->err));
    lode_rtxn_end(txn);
}

static inline void make_collection(struct fixture *f, enum lode_chunk_kind kind, uint32_t dim)
{
    struct lode_collection_spec spec;
    const struct lode_encoder_info *info = lode_encoder_info(f->encoder);
    lode_lsn lsn;
    lode_collection_spec_init(&spec);
    snprintf(spec.name, sizeof spec.name, "docs");
    snprintf(spec.fingerprint, sizeof spec.fingerprint, "%s", info->fingerprint);
    spec.metric = LODE_COSINE;
    spec.dim = dim ? dim : info->dim;
    spec.chunk.kind = kind;
    struct lode_op op = {.kind = LODE_OP_CREATE_COLLECTION, .u.spec = &spec};
    must(f, lode_store_apply(f->store, &op, 1, &lsn, &f->err));
    reload(f);
    f->opts = (struct lode_ingest_opts){.store = f->store,
                                        .encoder = f->encoder,
                                        .cid = f->c.cid,
                                        .failed = on_failed,
                                        .cancel = &f->cancel,
                                        .arg = f};
}

static inline void open_store(struct fixture *f)
{
    struct lode_store_opts opts = LODE_STORE_OPTS_DEFAULT;
    opts.create = true;
    opts.map_bytes = (size_t)1 << 30;
    must(f, lode_store_open("store", &opts, &f->store, &f->err));
}

static inline void start(struct fixture *f, enum lode_chunk_kind kind)
{
    struct lode_encoder_opts opts = LODE_ENCODER_OPTS_DEFAULT;
    memset(f, 0, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/lode-ingest-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->old_cwd = getcwd(NULL, 0);
    assert_int_equal(chdir(f->dir), 0);
    assert_int_equal(mkdir("in", 0700), 0);
    opts.model_dir = LODE_GOLDEN_DIR "/tiny-bert";
    opts.threads = 1;
    f->metrics = opts.metrics = lode_metrics_new();
    must(f, lode_encoder_open(&opts, &f->encoder, &f->err));
    open_store(f);
    make_collection(f, kind, 0);
}

static inline int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static inline void on_finding(void *arg, const char *table, const char *record, const char *problem)
{
    (void)arg;
    fail_msg("store check: %s: %s: %s", table, record, problem);
}

static inline void finish(struct fixture *f)
{
    struct lode_check_report report;
    must(f, lode_store_check(f->store, on_finding, NULL, NULL, NULL, &report, &f->err));
    lode_store_close(f->store);
    lode_encoder_close(f->encoder);
    lode_metrics_free(f->metrics);
    assert_int_equal(chdir(f->old_cwd), 0);
    free(f->old_cwd);
    nftw(f->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- files --- */

static inline void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(text, 1, strlen(text), file);
    fclose(file);
}

/* As put, but keeps the file's times: only reading can tell that it changed (the size must
 * agree). */
static inline void put_unseen(const char *path, const char *text)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal((size_t)st.st_size, strlen(text));
    put(path, text);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* --- runs --- */

static inline enum lode_code try_index(struct fixture *f, const char *a, const char *b)
{
    const char *const paths[] = {a, b};
    f->failures = 0;
    f->failed_source[0] = f->failed_reason[0] = 0;
    const enum lode_code rc = lode_ingest_paths(&f->opts, paths, b ? 2 : 1, &f->p, &f->err);
    reload(f);
    return rc;
}

static inline void index_in(struct fixture *f)
{
    must(f, try_index(f, "in", NULL));
}

/* --- what is stored --- */

static inline bool stored(struct fixture *f, const char *id)
{
    struct lode_rtxn *txn;
    struct lode_document doc;
    struct lode_err ignored = LODE_ERR_INIT;
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    const enum lode_code rc = lode_document_get(txn, &f->c, lode_str_of(id), &doc, &ignored);
    lode_rtxn_end(txn);
    return rc == LODE_OK;
}

static inline void assert_text(struct fixture *f, const char *id, const char *text)
{
    struct lode_rtxn *txn;
    struct lode_str got;
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    must(f, lode_document_text(txn, &f->c, lode_str_of(id), &got, &f->err));
    if (!lode_str_eqz(got, text)) fail_msg("%s is '%.*s'", id, (int)got.len, got.ptr);
    lode_rtxn_end(txn);
}

static inline void assert_source(struct fixture *f, const char *id, const char *source)
{
    struct lode_rtxn *txn;
    struct lode_document doc;
    must(f, lode_rtxn_begin(f->store, &txn, &f->err));
    must(f, lode_document_get(txn, &f->c, lode_str_of(id), &doc, &f->err));
    if (!lode_str_eqz(doc.source, source))
        fail_msg("%s has source '%.*s'", id, (int)doc.source.len, doc.source.ptr);
    lode_rtxn_end(txn);
}

#endif
