/* SPDX-License-Identifier: MIT */
/* THE DOOR of the encoder: a Hugging Face model folder in, unit vectors or scores of pairs out, as
 * sentence-transformers gives them. text -> tokens -> packed batch without padding, sorted by
 * length, cut by token budget -> backend -> pooling -> normalise. */
#ifndef LODE_ENCODER_ENCODER_H
#define LODE_ENCODER_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/thread.h"

struct lode_encoder;
struct lode_tokenizer;

struct lode_encoder_opts {
    const char *model_dir;
    /* 0 = the bounds of base/limits.h: tokens waiting in the query lane, calls in the ingest lane
     */
    unsigned query_waiting, ingest_calls;
    unsigned ingest_nice; /* how much nicer the threads of the ingest lane are; 0: not at all */
    unsigned threads;     /* 0 = lode_cpu_count() */
    const char *dtype;  /* "auto" (bf16 where the device multiplies bf16, else f32), "f32", "bf16";
                          "int8" on the cpu; "f16", "fp8" on cuda; else LODE_EUNSUPPORTED */
    const char *device; /* "auto", "cpu", "cuda" (all devices) or "cuda:N" */
    const char *cuda_module;      /* path; NULL: beside the program or in ../lib/lode */
    size_t device_memory;         /* bytes of scratch on each device; 0: what is good */
    bool profile;                 /* time each op on the device too, which costs a little */
    struct lode_metrics *metrics; /* borrowed, may be NULL */
    const char *gemm; /* f32 product: NULL = the backend's choice; "simd", "onednn" or "ref" */
};
#define LODE_ENCODER_OPTS_DEFAULT                                                                  \
    ((struct lode_encoder_opts){.model_dir = NULL,                                                 \
                                .query_waiting = 0,                                                \
                                .ingest_calls = 0,                                                 \
                                .ingest_nice = 0,                                                  \
                                .threads = 0,                                                      \
                                .dtype = "auto",                                                   \
                                .device = "auto",                                                  \
                                .cuda_module = NULL,                                               \
                                .device_memory = 0,                                                \
                                .profile = false,                                                  \
                                .metrics = NULL,                                                   \
                                .gemm = NULL})

enum lode_code lode_encoder_open(const struct lode_encoder_opts *opts, struct lode_encoder **out,
                                 struct lode_err *err);
void lode_encoder_close(struct lode_encoder *enc); /* NULL is fine; no call may be running */

struct lode_encoder_info {    /* strings borrow from the encoder */
    const char *name;         /* last component of the folder, or config's _name_or_path */
    const char *architecture; /* "bert" */
    const char *device;       /* "cpu (avx512-vnni)", "cuda (NVIDIA H200)" */
    const char *device_why;   /* "asked for", or why "auto" took this one */
    const char *dtype;        /* what runs: "f32", "bf16", "int8", "f16" or "fp8" */
    const char *pooling;      /* "mean", "cls", "max" ... */
    char fingerprint[65]; /* SHA-256 hex over weights, tokenizer, pooling, window, normalisation,
                             prompts. Weights enter as the CRC-32C of each 4 KiB (90 MB take some
                             15 ms): any changed byte changes it, but it is no signature. */
    uint32_t dim;         /* of a vector */
    uint32_t window;      /* tokens incl. specials; longer texts are cut (and reported) */
    bool normalized;      /* vectors have unit length */
    uint32_t labels;      /* of a cross-encoder: scores of a pair; 0: the model gives vectors */
    unsigned threads;
    uint64_t parameters;
};
/* Any thread. When the device is lost the encoder goes on with the processor: calls see no error,
 * but from then on this gives another device, device_why and dtype (the rest stays). What was given
 * before stays valid. */
const struct lode_encoder_info *lode_encoder_info(const struct lode_encoder *enc);
const struct lode_tokenizer *lode_encoder_tokenizer(const struct lode_encoder *enc);

enum lode_role_text {
    LODE_TEXT_PLAIN,
    LODE_TEXT_QUERY,
    LODE_TEXT_DOCUMENT
}; /* which prompt of the model goes in front */
enum lode_lane {
    LODE_LANE_QUERY,
    LODE_LANE_INGEST,
    LODE_LANE_COUNT
}; /* queries go first; an ingest batch in flight is short */
enum lode_truncate { LODE_TRUNCATE_CUT, LODE_TRUNCATE_ERROR }; /* for texts beyond the window */

struct lode_embed_report { /* per text */
    uint32_t tokens;       /* in the window, specials included */
    bool truncated;
};
struct lode_embed_opts {
    enum lode_role_text role;
    enum lode_lane lane;
    enum lode_truncate truncate;
    const struct lode_cancel *cancel; /* LODE_ECANCELED for what has not started; may be NULL */
    uint64_t deadline_ns; /* lode_now_ns; LODE_ETIMEOUT for what has not started by then; 0: none */
    bool patient; /* a full lane is waited for, never LODE_EBUSY: for work that no client awaits */
};
#define LODE_EMBED_OPTS_DEFAULT                                                                    \
    ((struct lode_embed_opts){.role = LODE_TEXT_PLAIN,                                             \
                              .lane = LODE_LANE_QUERY,                                             \
                              .truncate = LODE_TRUNCATE_CUT,                                       \
                              .cancel = NULL,                                                      \
                              .deadline_ns = 0,                                                    \
                              .patient = false})

/* out: count * dim floats, row i for texts[i], whatever the batch composition (within 2e-6 per
 * component). report: count entries or NULL. Any thread; texts of concurrent callers are computed
 * together. Texts must be valid UTF-8: LODE_EINVAL names the index. LODE_EINTERNAL when a result is
 * not finite: never a NaN vector. LODE_EBUSY, with err->retry_s set, when the lane is full. On any
 * error out is not to be used. */
enum lode_code lode_encoder_embed(struct lode_encoder *enc, const struct lode_str *texts,
                                  size_t count, const struct lode_embed_opts *opts, float *out,
                                  struct lode_embed_report *report, struct lode_err *err);

/* The same for texts that are tokens already: text i is ids[cu[i]] .. ids[cu[i + 1] - 1], special
 * tokens included, as the tokenizer gives them; cu has count + 1 entries. Of opts, role and
 * truncate do not matter. LODE_EINVAL names the text that is empty, longer than the window, or has
 * an id beyond the vocabulary; texts before it may have been computed. */
enum lode_code lode_encoder_embed_ids(struct lode_encoder *enc, const uint32_t *ids,
                                      const size_t *cu, size_t count,
                                      const struct lode_embed_opts *opts, float *out,
                                      struct lode_err *err);

/* For a cross-encoder (info.labels > 0; LODE_EUNSUPPORTED otherwise, as lode_encoder_embed is for
 * these): how each text fits the query. scores: count * labels floats, the raw logits of the
 * classifier, row i for texts[i]; with one label the higher the better, and its sigmoid is what
 * sentence-transformers gives. A pair beyond the window is cut as transformers does it, the longer
 * of the two first. report: count entries or NULL, tokens of the pair. Of opts, role does not
 * matter. Errors as lode_encoder_embed. */
enum lode_code lode_encoder_score(struct lode_encoder *enc, struct lode_str query,
                                  const struct lode_str *texts, size_t count,
                                  const struct lode_embed_opts *opts, float *scores,
                                  struct lode_embed_report *report, struct lode_err *err);

/* --- for benchmarks --- */

struct lode_encoder_shape { /* what the cost of a text is reckoned from */
    uint32_t layers, hidden, heads, inner;
};
struct lode_encoder_shape lode_encoder_shape(const struct lode_encoder *enc);

/* Thread-seconds spent in each op since open: read before and after, and subtract. Fills at most
 * room entries; returns how many there are. No call may be running. */
struct lode_op_time {
    const char *op; /* "embed", "qkv", "attention", "project", "norm", "up", "down", "pool" */
    double seconds;
};
size_t lode_encoder_profile(const struct lode_encoder *enc, struct lode_op_time *out, size_t room);

/* Operations a second (a multiply-add is two) that this machine reaches in registers with the
 * instructions of the matrix product that runs, on all threads. Takes some 50 ms; no call may be
 * running. */
double lode_encoder_peak(struct lode_encoder *enc);

#endif
