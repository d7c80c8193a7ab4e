/* SPDX-License-Identifier: MIT */
/* The CUDA backend: which devices, what is set aside on them, and which of them takes a piece. A
 * device that fails is taken out of service, and its piece goes to another; when none is left, run
 * says LODE_EDEVICE and the encoder goes on with the processor. */
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/log.h"
#include "base/mem.h"
#include "encoder/cuda/cuda_internal.h"

enum {
    RUN_MIN = 8192,        /* tokens: a millisecond or two of a large device */
    WAITING_MAX = 16 << 20, /* tokens: 1,024 requests of 16 full windows; some 6 s of BERT-base */
    MEMORY_PERCENT = 50    /* of a device's free memory that scratch may take by itself */
};

/* --- devices --- */

/* Reads device `ordinal`; LODE_EDEVICE when it cannot run this build. */
static enum lode_code read_device(int ordinal, struct device *d, struct lode_err *err)
{
    struct cudaDeviceProp prop;
    LODE_CUDA_TRY(cudaGetDeviceProperties(&prop, ordinal), err);
    d->ordinal = ordinal;
    d->compute = prop.major * 10 + prop.minor;
    d->multiprocessors = (unsigned)prop.multiProcessorCount;
    d->l2_bytes = (size_t)prop.l2CacheSize;
    atomic_init(&d->lost, false);
    snprintf(d->name, sizeof d->name, "%.60s", prop.name);
    if (d->compute >= LODE_CUDA_COMPUTE_MIN) return LODE_OK;
    return lode_fail(err, LODE_EDEVICE,
                     "CUDA device %d (%s) has compute capability %d.%d; 8.0 is needed", ordinal,
                     d->name, prop.major, prop.minor);
}

static enum lode_code count_devices(int *count, struct lode_err *err)
{
    const cudaError_t e = cudaGetDeviceCount(count);
    if (e == cudaSuccess && *count > 0) return LODE_OK;
    (void)cudaGetLastError();
    if (e == cudaSuccess || e == cudaErrorNoDevice)
        return lode_fail(err, LODE_EDEVICE, "no CUDA device is visible");
    if (e == cudaErrorInsufficientDriver)
        return lode_fail(err, LODE_EDEVICE, "there is no NVIDIA driver, or one too old for CUDA %d",
                         CUDART_VERSION / 1000);
    return lode_fail(err, LODE_EDEVICE, "no CUDA device can be used: %s", cudaGetErrorString(e));
}

/* The devices that were asked for. Of "all", those that are too old are left out. */
static enum lode_code find_devices(int ordinal, struct device *devices, unsigned *found,
                                   struct lode_err *err)
{
    int count = 0;
    *found = 0;
    LODE_TRY(count_devices(&count, err));
    if (count > LODE_CUDA_DEVICES_MAX) count = LODE_CUDA_DEVICES_MAX;
    if (ordinal >= count)
        return lode_fail(err, LODE_EDEVICE, "there is no CUDA device %d; %d are visible", ordinal,
                         count);
    for (int i = 0; i < count; i++) {
        if (ordinal >= 0 && i != ordinal) continue;
        if (read_device(i, &devices[*found], err) == LODE_OK) ++*found;
    }
    if (*found == 0) return err->code;
    *err = LODE_ERR_INIT;
    return LODE_OK;
}

enum lode_code lode_cuda_probe(int ordinal, struct lode_err *err)
{
    struct device devices[LODE_CUDA_DEVICES_MAX];
    unsigned found = 0;
    return find_devices(ordinal, devices, &found, err);
}

/* --- open and close --- */

static void close_backend(struct lode_backend *be)
{
    if (!be) return;
    for (unsigned i = 0; i < be->slot_count; i++) lode_slot_close(&be->slots[i]);
    lode_pool_free(be->pool);
    pthread_cond_destroy(&be->freed);
    pthread_mutex_destroy(&be->lock);
    lode_free(be);
}

static enum lode_code set_precision(struct lode_backend *be, struct lode_err *err)
{
    be->precision = be->opts.precision;
    if (be->precision == LODE_PRECISION_AUTO) be->precision = LODE_PRECISION_BF16;
    be->type = be->precision == LODE_PRECISION_F32   ? LODE_ELEMENT_F32
               : be->precision == LODE_PRECISION_F16 ? LODE_ELEMENT_F16
                                                     : LODE_ELEMENT_BF16;
    if (be->precision == LODE_PRECISION_INT8)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "dtype 'int8' is for the cpu; cuda has f32, bf16, f16 and fp8");
    for (unsigned i = 0; be->precision == LODE_PRECISION_FP8 && i < be->device_count; i++)
        if (be->devices[i].compute < 90) /* cuBLASLt's scales a row begin with Hopper */
            return lode_fail(err, LODE_EUNSUPPORTED,
                             "dtype 'fp8' needs compute capability 9.0; CUDA device %d has %d.%d",
                             be->devices[i].ordinal, be->devices[i].compute / 10,
                             be->devices[i].compute % 10);
    return LODE_OK;
}

static enum lode_code start(struct lode_backend *be, struct lode_err *err)
{
    LODE_TRY(find_devices(be->opts.device, be->devices, &be->device_count, err));
    LODE_TRY(set_precision(be, err));
    if (be->device_count == 1)
        snprintf(be->description, sizeof be->description, "cuda (%s)", be->devices[0].name);
    else
        snprintf(be->description, sizeof be->description, "cuda (%u x %s)", be->device_count,
                 be->devices[0].name);
    return lode_pool_new(be->opts.threads ? be->opts.threads : lode_cpu_count(), &be->pool, err);
}

static enum lode_code cuda_open(const struct lode_backend_opts *opts, struct lode_backend **out,
                                struct lode_err *err)
{
    if (opts->gemm)
        return lode_fail(err, LODE_EUNSUPPORTED, "gemm '%s' is for the cpu", opts->gemm);
    struct lode_backend *be = lode_calloc(1, sizeof *be);
    if (!be) return lode_fail_nomem(err, sizeof *be, "backend");
    be->opts = *opts;
    pthread_mutex_init(&be->lock, NULL);
    pthread_cond_init(&be->freed, NULL);
    const enum lode_code rc = start(be, err);
    if (rc)
        close_backend(be);
    else
        *out = be;
    return rc;
}

static const char *cuda_describe(const struct lode_backend *be)
{
    return be->description;
}

static enum lode_precision cuda_precision(const struct lode_backend *be)
{
    return be->precision;
}

static struct lode_backend_traits cuda_traits(const struct lode_backend *be)
{
    const uint32_t most = be->tokens_max ? be->tokens_max : LODE_CUDA_RUN_TOKENS;
    return (struct lode_backend_traits){.threads = lode_pool_threads(be->pool),
                                        .runs = be->device_count * LODE_CUDA_SLOTS,
                                        .unit_tokens = UINT32_MAX,
                                        .run_min = most < RUN_MIN ? most : RUN_MIN,
                                        .run_max = most,
                                        .waiting_max = WAITING_MAX};
}

/* --- scratch --- */

static enum lode_code check_shape(const struct lode_backend *be, const struct lode_shape *shape,
                                  struct lode_err *err)
{
    if (shape->hidden > LODE_CUDA_WIDTH_MAX || shape->head_dim > LODE_CUDA_PLAIN_DIM_MAX)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "device cuda: a model of width %u with heads of %u is beyond %d and %d",
                         shape->hidden, shape->head_dim, LODE_CUDA_WIDTH_MAX,
                         LODE_CUDA_PLAIN_DIM_MAX);
    if (shape->head_dim % 8)
        return lode_fail(err, LODE_EUNSUPPORTED, "device cuda: heads of %u are no multiple of 8",
                         shape->head_dim);
    if (be->precision == LODE_PRECISION_FP8 && shape->inner > LODE_CUDA_FP8_WIDTH_MAX)
        return lode_fail(err, LODE_EUNSUPPORTED,
                         "dtype 'fp8': an intermediate size of %u is beyond %d", shape->inner,
                         LODE_CUDA_FP8_WIDTH_MAX);
    return LODE_OK;
}

/* Bytes that scratch may take on the device that has the least. */
static enum lode_code budget(const struct lode_backend *be, size_t *bytes, struct lode_err *err)
{
    *bytes = be->opts.memory;
    if (be->opts.memory) return LODE_OK;
    *bytes = SIZE_MAX;
    for (unsigned i = 0; i < be->device_count; i++) {
        size_t free = 0, total = 0;
        LODE_CUDA_TRY(cudaSetDevice(be->devices[i].ordinal), err);
        LODE_CUDA_TRY(cudaMemGetInfo(&free, &total), err);
        const size_t share = free / 100 * MEMORY_PERCENT;
        if (share < *bytes) *bytes = share;
    }
    return LODE_OK;
}

/* The longest run, halved until two of them fit; at least one text of the model's window must. */
static enum lode_code fit(struct lode_backend *be, uint32_t window, struct lode_err *err)
{
    size_t bytes = 0;
    uint32_t tokens = LODE_CUDA_RUN_TOKENS;
    LODE_TRY(budget(be, &bytes, err));
    while (tokens / 2 >= window && LODE_CUDA_SLOTS * lode_slot_bytes(be, tokens) > bytes)
        tokens /= 2;
    if (LODE_CUDA_SLOTS * lode_slot_bytes(be, tokens) > bytes)
        return lode_fail(err, LODE_ENOMEM,
                         "device cuda: runs of %u tokens need %zu MiB, and %zu MiB may be used",
                         tokens, LODE_CUDA_SLOTS * lode_slot_bytes(be, tokens) >> 20, bytes >> 20);
    be->tokens_max = tokens;
    return LODE_OK;
}

static enum lode_code cuda_reserve(struct lode_backend *be, const struct lode_shape *shape,
                                   uint32_t window, struct lode_err *err)
{
    LODE_TRY(check_shape(be, shape, err));
    be->shape = *shape;
    LODE_TRY(fit(be, window, err));
    for (unsigned slot = 0; slot < LODE_CUDA_SLOTS; slot++)
        for (unsigned i = 0; i < be->device_count; i++) {
            LODE_TRY(lode_slot_open(&be->slots[be->slot_count], be, &be->devices[i], be->tokens_max,
                                    err));
            be->slot_count++;
        }
    lode_info("cuda: runs of up to %u tokens, %zu MiB of scratch a device%s", be->tokens_max,
              LODE_CUDA_SLOTS * lode_slot_bytes(be, be->tokens_max) >> 20,
              be->opts.background ? " for ingest" : "");
    return LODE_OK;
}

/* --- runs --- */

static unsigned slots_in_use(const struct lode_backend *be, const struct device *d)
{
    unsigned n = 0;
    for (unsigned i = 0; i < be->slot_count; i++)
        n += be->slots[i].device == d && be->slots[i].busy;
    return n;
}

/* A free slot of the least busy device that works; NULL: none works. Waits for one. */
static struct slot *take_slot(struct lode_backend *be)
{
    struct slot *best = NULL;
    pthread_mutex_lock(&be->lock);
    for (bool any = true; any && !best;) {
        any = false;
        for (unsigned i = 0; i < be->slot_count; i++) {
            struct slot *s = &be->slots[i];
            if (atomic_load(&s->device->lost)) continue;
            any = true;
            if (s->busy) continue;
            if (!best || slots_in_use(be, s->device) < slots_in_use(be, best->device)) best = s;
        }
        if (any && !best) pthread_cond_wait(&be->freed, &be->lock);
    }
    if (best) best->busy = true;
    pthread_mutex_unlock(&be->lock);
    return best;
}

static void give_slot(struct lode_backend *be, struct slot *s)
{
    pthread_mutex_lock(&be->lock);
    s->busy = false;
    pthread_cond_broadcast(&be->freed);
    pthread_mutex_unlock(&be->lock);
}

static void lose(struct device *d, const struct lode_err *err)
{
    if (!atomic_exchange(&d->lost, true))
        lode_warn("cuda: device %d (%s) is out of service until a restart: %s", d->ordinal, d->name,
                  err->msg);
}

static enum lode_code run_piece(struct lode_backend *be, const struct lode_piece *piece,
                                lode_piece_fn fn, void *arg, struct lode_err *err)
{
    for (;;) {
        struct slot *s = take_slot(be);
        if (!s) return lode_fail(err, LODE_EDEVICE, "no CUDA device is in service");
        struct lode_err fault = LODE_ERR_INIT;
        const enum lode_code rc = lode_slot_run(s, piece, fn, arg, &fault);
        if (rc == LODE_EDEVICE) lose(s->device, &fault);
        give_slot(be, s);
        if (rc == LODE_EDEVICE) continue;
        if (rc) *err = fault;
        return rc;
    }
}

static enum lode_code cuda_run(struct lode_backend *be, const struct lode_piece *pieces,
                               size_t count, const struct lode_shape *shape, lode_piece_fn fn,
                               void *arg, struct lode_err *err)
{
    (void)shape; /* reserve's */
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].tokens > be->tokens_max || pieces[i].seqs > LODE_CUDA_RUN_SEQS)
            return lode_fail(err, LODE_ELIMIT,
                             "a run of %u texts with %u tokens; device cuda has room for %d and %u",
                             pieces[i].seqs, pieces[i].tokens, LODE_CUDA_RUN_SEQS, be->tokens_max);
        LODE_TRY(run_piece(be, &pieces[i], fn, arg, err));
    }
    return LODE_OK;
}

static void cuda_tasks(struct lode_backend *be, size_t count, lode_task_fn fn, void *arg)
{
    lode_pool_run(be->pool, count, fn, arg);
}

/* --- measuring --- */

static void cuda_profile(const struct lode_backend *be, double seconds[LODE_STEP_COUNT])
{
    memcpy(seconds, be->spent, sizeof be->spent);
}

const struct lode_backend_ops lode_cuda_backend = {.name = "cuda",
                                                   .open = cuda_open,
                                                   .close = close_backend,
                                                   .describe = cuda_describe,
                                                   .traits = cuda_traits,
                                                   .precision = cuda_precision,
                                                   .linear_new = lode_cuda_linear_new,
                                                   .linear_free = lode_cuda_linear_free,
                                                   .constants_new = lode_cuda_constants_new,
                                                   .constants_free = lode_cuda_constants_free,
                                                   .reserve = cuda_reserve,
                                                   .tasks = cuda_tasks,
                                                   .run = cuda_run,
                                                   .profile = cuda_profile,
                                                   .peak = lode_cuda_peak,
                                                   .embed = lode_cuda_op_embed,
                                                   .qkv = lode_cuda_op_qkv,
                                                   .attention = lode_cuda_op_attention,
                                                   .project = lode_cuda_op_project,
                                                   .feed_forward = lode_cuda_op_feed_forward,
                                                   .add_norm = lode_cuda_op_add_norm,
                                                   .pool = lode_cuda_op_pool};
