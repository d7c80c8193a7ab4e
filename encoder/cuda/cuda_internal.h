/* SPDX-License-Identifier: MIT */
/* What the host files of the CUDA encoder share.
 *
 *   backend   all devices of one lane; hands pieces to slots and retries them when a device is lost
 *   device    a GPU as this backend sees it
 *   slot      one run's worth of everything: stream, arena, pinned staging, plans, graphs. A device
 *             has SLOTS of them, so that a run's copies and launches overlap another's arithmetic;
 *             a slot is used by one thread at a time, hence nothing in it needs a lock.
 *
 * Every size below is in tokens of a padded piece: T rounded up to LODE_CUDA_ROWS_UNIT. */
#ifndef LODE_ENCODER_CUDA_CUDA_INTERNAL_H
#define LODE_ENCODER_CUDA_CUDA_INTERNAL_H

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/thread.h"
#include "encoder/backend/backend.h"
#include "encoder/cuda/kernels.h"

enum {
    LODE_CUDA_DEVICES_MAX = 16,     /* of a host */
    LODE_CUDA_SLOTS = 2,            /* of a device: one computes while the other copies and packs */
    LODE_CUDA_ROWS_UNIT = 16,       /* rows of a product: fp8 wants multiples of 16 */
    LODE_CUDA_RUN_TOKENS = 32768,   /* of a run where memory allows: fills an H200 at every width */
    LODE_CUDA_RUN_SEQS = 4096,      /* of a run: what its result rows are laid out for */
    LODE_CUDA_WORKSPACE = 32 << 20, /* bytes for cuBLASLt: what NVIDIA advises for Hopper */
    LODE_CUDA_COMPUTE_MIN = 80 /* compute capability times ten: bf16 on tensor cores, cp.async */
};

/* --- errors (cuda_error.c) --- */

/* LODE_OK, or fills err: LODE_ENOMEM when device memory is short, else LODE_EDEVICE. */
enum lode_code lode_cuda_check(cudaError_t e, const char *what, struct lode_err *err);
enum lode_code lode_cublas_check(cublasStatus_t s, const char *what, struct lode_err *err);
#define LODE_CUDA_TRY(call, err) LODE_TRY(lode_cuda_check((call), #call, (err)))

/* --- a device --- */

struct device {
    int ordinal;
    char name[64];
    int compute; /* capability times ten */
    unsigned multiprocessors;
    size_t l2_bytes;
    atomic_bool lost; /* an error that its context does not survive */
};

/* --- weights (weights.c): the same on every device --- */

struct lode_linear {
    uint32_t in, out;
    enum lode_activation act;
    bool fp8;
    struct {
        void *weight;            /* (out,in) in the backend's element, or e4m3 */
        float *scales;           /* (out), fp8 only */
        void *bias;              /* (out) in the backend's element */
    } on[LODE_CUDA_DEVICES_MAX]; /* by ordinal; NULL: not there */
};

struct lode_constants {
    const float *values; /* of the model, on the host */
    size_t count;
    float *on[LODE_CUDA_DEVICES_MAX];
};

/* --- a piece, packed for the device (pack.c) --- */

struct shape_key {  /* what a graph is made for: equal keys give equal launches */
    uint32_t rows;  /* T, padded */
    uint32_t seqs;  /* S; a power of two where a graph is used */
    uint32_t tiles; /* likewise */
};

/* The one block that goes to the device before a run. Offsets in bytes, each 16-byte aligned. */
struct pack_layout {
    struct shape_key key;
    size_t ids, positions, types, cu, tiles, bytes;
    bool graph; /* small enough that launches cost more than the work */
};
/* Tiles that a piece takes. */
uint32_t lode_pack_tiles(const struct lode_piece *piece);
struct pack_layout lode_pack_plan(const struct lode_piece *piece);
size_t lode_pack_bytes_max(uint32_t tokens); /* of any piece of so many tokens */
/* Fills the block. Padding rows are token 0 at position 0 of no sequence; padding sequences have no
 * tokens, padding tiles length 0. */
void lode_pack_fill(const struct lode_piece *piece, const struct pack_layout *layout, void *block);

/* --- products (matmul.c) --- */

struct plan;
struct matmul { /* of a slot */
    cublasLtHandle_t blas;
    void *workspace; /* LODE_CUDA_WORKSPACE bytes on the device */
    struct plan *plans;
    size_t plan_count, plan_cap;
    cudaEvent_t start, stop; /* for timing candidates */
};
enum lode_code lode_matmul_open(struct matmul *m, void *workspace, struct lode_err *err);
void lode_matmul_close(struct matmul *m);
struct matmul_args {
    const struct lode_linear *linear;
    int ordinal;
    enum lode_element type; /* of y, and of x but in fp8 */
    const void *x;          /* (rows,in) of type, or e4m3 codes */
    const float *x_scales;  /* (rows), fp8 only */
    void *y;                /* (rows,out) */
    uint32_t rows;
    bool capturing; /* the plan must exist: nothing may be timed */
};
/* y = x w^T + bias. A new shape is planned on first use: cuBLASLt's candidates are timed on the
 * stream, and the fastest is kept. */
enum lode_code lode_matmul_run(struct matmul *m, const struct matmul_args *a, cudaStream_t stream,
                               struct lode_err *err);
/* The rows that share a plan: three leading bits are told apart. */
uint32_t lode_matmul_bucket(uint32_t rows);

/* --- graphs (graphs.c) --- */

enum { LODE_CUDA_GRAPHS = 32 /* of a slot; the one used longest ago makes room */ };
struct graph_entry {
    struct shape_key key;
    cudaGraphExec_t exec; /* NULL: free */
    uint64_t used;        /* the cache's clock at its last use */
};
struct graph_cache {
    struct graph_entry entries[LODE_CUDA_GRAPHS];
    uint64_t clock;
};
cudaGraphExec_t lode_graphs_find(struct graph_cache *c, const struct shape_key *key);
/* Takes exec. */
void lode_graphs_put(struct graph_cache *c, const struct shape_key *key, cudaGraphExec_t exec);
void lode_graphs_clear(struct graph_cache *c);

/* --- a slot (slot.c) --- */

/* Registers of backend.h in the arena. inner and its codes hold slice_rows rows. */
struct registers {
    void *x, *qkv, *context, *y, *inner;
    struct lode_fp8_rows x8, inner8; /* fp8 only */
    float *out;                      /* (S,H) */
    char *block;                     /* of lode_pack_fill */
    void *workspace;
    uint32_t slice_rows;
};

struct slot {
    struct lode_backend *be;
    struct device *device;
    cudaStream_t stream;
    cudaEvent_t done; /* waits without spinning */
    void *arena;
    struct registers r;
    void *staging;  /* pinned: the block */
    float *results; /* pinned: (S,H) */
    uint32_t tokens_max, seqs_max;
    struct matmul matmul;
    struct graph_cache graphs;
    cudaEvent_t *marks; /* of the profile, between ops; NULL: none wanted */
    bool busy;
};

enum { LODE_CUDA_MARKS = 1024 /* ops of a piece that are timed; the deepest BERT has 170 */ };

size_t lode_slot_bytes(const struct lode_backend *be, uint32_t tokens); /* of the arena */
enum lode_code lode_slot_open(struct slot *s, struct lode_backend *be, struct device *device,
                              uint32_t tokens, struct lode_err *err);
void lode_slot_close(struct slot *s); /* a zeroed one is fine */
/* One piece through the model; the rows are in piece->out when it returns. */
enum lode_code lode_slot_run(struct slot *s, const struct lode_piece *piece, lode_piece_fn fn,
                             void *arg, struct lode_err *err);

/* --- a piece under way (ops.c) --- */

struct lode_exec {
    struct slot *slot;
    const struct pack_layout *layout;
    bool capturing;
    unsigned mark; /* of the next profile event */
    enum lode_step steps[LODE_CUDA_MARKS];
    struct lode_err err; /* the first failure */
};

void lode_cuda_op_embed(struct lode_exec *exec, const struct lode_embed_op *op,
                        const struct lode_piece *piece);
void lode_cuda_op_qkv(struct lode_exec *exec, const struct lode_linear *lin,
                      const struct lode_piece *piece);
void lode_cuda_op_attention(struct lode_exec *exec, const struct lode_piece *piece);
void lode_cuda_op_project(struct lode_exec *exec, const struct lode_linear *lin,
                          const struct lode_piece *piece);
void lode_cuda_op_feed_forward(struct lode_exec *exec, const struct lode_linear *up,
                               const struct lode_linear *down, const struct lode_piece *piece);
void lode_cuda_op_add_norm(struct lode_exec *exec, const struct lode_norm *norm,
                           const struct lode_piece *piece);
void lode_cuda_op_pool(struct lode_exec *exec, const struct lode_piece *piece,
                       enum lode_pooling pooling, bool normalize, float *out);

/* --- the backend (cuda_backend.c) --- */

struct lode_backend {
    struct lode_backend_opts opts;
    enum lode_precision precision; /* never _AUTO or _INT8 */
    enum lode_element type;
    struct lode_shape shape; /* from reserve on */
    struct device devices[LODE_CUDA_DEVICES_MAX];
    unsigned device_count;
    struct slot slots[LODE_CUDA_DEVICES_MAX * LODE_CUDA_SLOTS];
    unsigned slot_count;
    uint32_t tokens_max; /* of a run */
    struct lode_pool *pool;
    pthread_mutex_t lock; /* guards slots[].busy and spent */
    pthread_cond_t freed;
    double spent[LODE_STEP_COUNT];
    char description[128];
};

size_t lode_element_bytes(enum lode_element type);
double lode_cuda_peak(struct lode_backend *be); /* peak.c */
enum lode_code lode_cuda_probe(int ordinal, struct lode_err *err);
extern const struct lode_backend_ops lode_cuda_backend;

/* weights.c, as in backend.h */
enum lode_code lode_cuda_linear_new(struct lode_backend *be, const struct lode_linear_spec *spec,
                                    struct lode_linear **out, struct lode_err *err);
void lode_cuda_linear_free(struct lode_backend *be, struct lode_linear *lin);
enum lode_code lode_cuda_constants_new(struct lode_backend *be, const float *values, size_t count,
                                       struct lode_constants **out, struct lode_err *err);
void lode_cuda_constants_free(struct lode_backend *be, struct lode_constants *c);
/* Where the device has what the model has at p. */
const float *lode_cuda_constant(const struct lode_constants *c, int ordinal, const float *p);

#endif
