/* SPDX-License-Identifier: MIT */
/* The loss of a device: a backend that is the cpu's, with a GPU's traits, whose runs fail when the
 * test wants it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/log.h"
#include "encoder/encoder_internal.h"
#include "model_fixture.h"

enum { DIM = 32, TEXTS = 300, THREADS = 2 };

/* --- a device that can be lost --- */

static pthread_mutex_t one_run = PTHREAD_MUTEX_INITIALIZER;
static atomic_int good_runs;      /* until the first that fails */
static enum lode_code fault_code; /* of those that fail */
static atomic_int faults;

static enum lode_code device_open(const struct lode_backend_opts *opts, struct lode_backend **out,
                                  struct lode_err *err)
{
    struct lode_backend_opts own = *opts;
    own.precision = LODE_PRECISION_F32;
    return lode_cpu_backend.open(&own, out, err);
}

static const char *device_describe(const struct lode_backend *be)
{
    (void)be;
    return "fake (a device)";
}

static struct lode_backend_traits device_traits(const struct lode_backend *be)
{
    (void)be;
    return (struct lode_backend_traits){.threads = THREADS,
                                        .runs = 2,
                                        .unit_tokens = UINT32_MAX,
                                        .run_min = 4096,
                                        .run_max = 32768,
                                        .waiting_max = 1 << 20};
}

static enum lode_precision device_precision(const struct lode_backend *be)
{
    (void)be;
    return LODE_PRECISION_F16;
}

static enum lode_code device_run(struct lode_backend *be, const struct lode_piece *pieces,
                                 size_t count, const struct lode_shape *shape, lode_piece_fn fn,
                                 void *arg, struct lode_err *err)
{
    enum lode_code rc;
    if (atomic_fetch_sub(&good_runs, 1) <= 0) {
        atomic_fetch_add(&faults, 1);
        return lode_fail(err, fault_code, "it fell off the bus");
    }
    pthread_mutex_lock(&one_run);
    rc = lode_cpu_backend.run(be, pieces, count, shape, fn, arg, err);
    pthread_mutex_unlock(&one_run);
    return rc;
}

static struct lode_encoder *open_device(const struct fixture *f, struct lode_metrics *metrics,
                                        int good)
{
    static struct lode_backend_ops ops;
    struct lode_encoder *enc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_encoder_opts opts = LODE_ENCODER_OPTS_DEFAULT;
    ops = lode_cpu_backend;
    ops.name = "fake";
    ops.open = device_open;
    ops.describe = device_describe;
    ops.traits = device_traits;
    ops.precision = device_precision;
    ops.run = device_run;
    const struct lode_backend_choice choice = {.ops = &ops, .device = 0, .why = "asked for"};
    opts.model_dir = f->dir;
    opts.threads = THREADS;
    opts.dtype = "f32";
    opts.metrics = metrics;
    atomic_store(&good_runs, good);
    atomic_store(&faults, 0);
    fault_code = LODE_EDEVICE;
    if (lode_encoder_open_on(&choice, &opts, &enc, &err)) fail_msg("%s", err.msg);
    return enc;
}

/* --- texts, and what the processor makes of them --- */

struct material {
    struct fixture f;
    char words[TEXTS][96];
    struct lode_str texts[TEXTS];
    float *want, *got;
};

static enum lode_code embed(struct lode_encoder *enc, const struct material *m, enum lode_lane lane,
                            float *out, struct lode_err *err)
{
    struct lode_embed_opts opts = LODE_EMBED_OPTS_DEFAULT;
    opts.lane = lane;
    return lode_encoder_embed(enc, m->texts, TEXTS, &opts, out, NULL, err);
}

static int open_material(void **state)
{
    struct material *m = calloc(1, sizeof *m);
    struct lode_encoder_opts opts = LODE_ENCODER_OPTS_DEFAULT;
    struct lode_encoder *enc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    lode_log_setup(NULL, LODE_LOG_OFF);
    fixture_open(&m->f);
    m->want = calloc(TEXTS * DIM, sizeof(float));
    m->got = calloc(TEXTS * DIM, sizeof(float));
    for (size_t i = 0; i < TEXTS; i++) {
        snprintf(m->words[i], sizeof m->words[i], "%.*s %zu", (int)(i % 60),
                 "the cat sat on the mat and the dog ran to the cat and the dogs", i);
        m->texts[i] = lode_str_of(m->words[i]);
    }
    opts.model_dir = m->f.dir;
    opts.device = "cpu";
    opts.dtype = "f32";
    assert_int_equal(lode_encoder_open(&opts, &enc, &err), LODE_OK);
    assert_int_equal(embed(enc, m, LODE_LANE_QUERY, m->want, &err), LODE_OK);
    lode_encoder_close(enc);
    *state = m;
    return 0;
}

static int close_material(void **state)
{
    struct material *m = *state;
    fixture_close(&m->f);
    free(m->want);
    free(m->got);
    free(m);
    return 0;
}

static void expect_right(struct lode_encoder *enc, struct material *m, enum lode_lane lane)
{
    struct lode_err err = LODE_ERR_INIT;
    memset(m->got, 0, TEXTS * DIM * sizeof(float));
    if (embed(enc, m, lane, m->got, &err)) fail_msg("%s", err.msg);
    assert_memory_equal(m->got, m->want, TEXTS * DIM * sizeof(float));
}

/* --- tests --- */

static void a_lost_device_is_replaced_by_the_processor_and_no_call_sees_it(void **state)
{
    struct material *m = *state;
    struct lode_metrics *metrics = lode_metrics_new();
    struct lode_encoder *enc = open_device(&m->f, metrics, 1);
    struct lode_counter *lost =
        lode_metrics_counter(metrics, "lode_encoder_device_lost_total", "", "");
    const struct lode_encoder_info *before = lode_encoder_info(enc);
    expect_right(enc, m, LODE_LANE_QUERY);
    assert_ptr_equal(lode_encoder_info(enc), before);
    assert_string_equal(before->device, "fake (a device)");
    assert_string_equal(before->dtype, "f16");
    expect_right(enc, m, LODE_LANE_QUERY);
    const struct lode_encoder_info *after = lode_encoder_info(enc);
    assert_int_equal(strncmp(after->device, "cpu (", 5), 0);
    assert_non_null(strstr(after->device_why, "fell off the bus"));
    assert_string_equal(after->dtype, "f32");
    assert_string_equal(after->fingerprint, before->fingerprint);
    assert_string_equal(before->device, "fake (a device)"); /* who still holds it may read on */
    for (int i = 0; i < 3; i++) expect_right(enc, m, LODE_LANE_QUERY);
    assert_int_equal(atomic_load(&faults), 1);
    expect_right(enc, m, LODE_LANE_INGEST);
    expect_right(enc, m, LODE_LANE_INGEST);
    assert_int_equal(atomic_load(&faults), 2); /* each lane finds out for itself */
    assert_true(lode_metric_value(lost) == 1);
    lode_encoder_close(enc);
    lode_metrics_free(metrics);
}

static void lanes_then_have_the_bounds_of_the_processor(void **state)
{
    struct material *m = *state;
    struct lode_encoder *enc = open_device(&m->f, NULL, 2);
    const struct lode_batcher_opts *query = &enc->lanes[LODE_LANE_QUERY].batcher.opts;
    const struct lode_batcher_opts *ingest = &enc->lanes[LODE_LANE_INGEST].batcher.opts;
    assert_int_equal(query->runs, 2);
    assert_int_equal(query->texts_max, LODE_RUN_TEXTS_DEVICE_MAX);
    assert_int_equal(query->waiting_max, 1 << 20);
    assert_int_equal(ingest->calls_max, LODE_INGEST_CALLS_DEVICE_MAX);
    atomic_store(&good_runs, 0);
    expect_right(enc, m, LODE_LANE_INGEST);
    assert_int_equal(query->runs, 2);
    expect_right(enc, m, LODE_LANE_QUERY);
    assert_int_equal(query->runs, 1);
    assert_int_equal(query->texts_max, LODE_RUN_TEXTS_MAX);
    assert_int_equal(query->waiting_max, LODE_QUERY_WAITING_MAX);
    assert_int_equal(query->run_max, LODE_ENCODE_SLICE_TOKENS * THREADS);
    assert_int_equal(ingest->calls_max, LODE_INGEST_CALLS_MAX);
    lode_encoder_close(enc);
}

enum { CALLERS = 6, CALLS = 12 };

struct caller {
    struct lode_encoder *enc;
    const struct material *m;
    enum lode_lane lane;
    bool wrong;
};

static void *call_often(void *arg)
{
    struct caller *c = arg;
    struct lode_err err = LODE_ERR_INIT;
    float *out = calloc(TEXTS * DIM, sizeof *out);
    for (int i = 0; i < CALLS; i++) {
        const struct lode_encoder_info *info = lode_encoder_info(c->enc);
        if (embed(c->enc, c->m, c->lane, out, &err) || strlen(info->device) == 0 ||
            memcmp(out, c->m->want, TEXTS * DIM * sizeof *out) != 0)
            c->wrong = true;
    }
    free(out);
    return NULL;
}

static void callers_of_both_lanes_come_through_a_loss_at_any_time(void **state)
{
    struct material *m = *state;
    for (int good = 0; good < 20; good += 7) {
        struct lode_encoder *enc = open_device(&m->f, NULL, good);
        struct caller callers[CALLERS];
        pthread_t threads[CALLERS];
        for (unsigned i = 0; i < CALLERS; i++) {
            callers[i] = (struct caller){
                .enc = enc, .m = m, .lane = i % 2 ? LODE_LANE_INGEST : LODE_LANE_QUERY};
            assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
        }
        for (unsigned i = 0; i < CALLERS; i++) {
            pthread_join(threads[i], NULL);
            assert_false(callers[i].wrong);
        }
        assert_int_equal(strncmp(lode_encoder_info(enc)->device, "cpu (", 5), 0);
        lode_encoder_close(enc);
    }
}

static void weights_that_changed_since_the_start_are_not_taken(void **state)
{
    struct material *m = *state;
    struct lode_encoder *enc = open_device(&m->f, NULL, 0);
    struct lode_err err = LODE_ERR_INIT;
    struct lode_buf file;
    fixture_read(TINY "/model.safetensors", &file);
    file.ptr[file.len - 4] ^= 1;
    fixture_write_bytes(&m->f, "model.safetensors", file.ptr, file.len);
    lode_buf_release(&file);
    for (int i = 0; i < 2; i++) {
        err = LODE_ERR_INIT;
        assert_int_equal(embed(enc, m, LODE_LANE_QUERY, m->got, &err), LODE_EDEVICE);
        assert_non_null(strstr(err.msg, "fell off the bus"));
        assert_non_null(strstr(err.msg, "have changed"));
    }
    assert_string_equal(lode_encoder_info(enc)->device, "fake (a device)");
    lode_encoder_close(enc);
}

static void other_errors_of_a_run_stay_errors_and_the_device_stays(void **state)
{
    struct material *m = *state;
    struct lode_encoder *enc = open_device(&m->f, NULL, 0);
    struct lode_err err = LODE_ERR_INIT;
    fault_code = LODE_ENOMEM;
    assert_int_equal(embed(enc, m, LODE_LANE_QUERY, m->got, &err), LODE_ENOMEM);
    assert_string_equal(err.msg, "it fell off the bus");
    atomic_store(&good_runs, 1000);
    expect_right(enc, m, LODE_LANE_QUERY);
    assert_string_equal(lode_encoder_info(enc)->device, "fake (a device)");
    lode_encoder_close(enc);
}

#define WITH_MATERIAL(test) cmocka_unit_test_setup_teardown(test, open_material, close_material)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MATERIAL(a_lost_device_is_replaced_by_the_processor_and_no_call_sees_it),
        WITH_MATERIAL(lanes_then_have_the_bounds_of_the_processor),
        WITH_MATERIAL(callers_of_both_lanes_come_through_a_loss_at_any_time),
        WITH_MATERIAL(weights_that_changed_since_the_start_are_not_taken),
        WITH_MATERIAL(other_errors_of_a_run_stay_errors_and_the_device_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
