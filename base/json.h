/* SPDX-License-Identifier: MIT */
/* JSON, RFC 8259, strict where cJSON (hidden behind this header) is not: valid UTF-8, no BOM, no
 * NUL and no \u0000, no leading zeros, no lone surrogate, no number out of double's range, no
 * duplicate keys, nothing behind the value, depth and size capped. Integers of any u64/i64 are
 * exact. An array of LODE_JSON_PACK_MIN or more numbers is read by our own scanner straight into
 * floats (an embedding costs no node per number); it iterates like any other array, too. A document
 * is used by one thread at a time. */
#ifndef LODE_BASE_JSON_H
#define LODE_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct lode_json; /* a parsed document: owns all nodes and strings */
struct lode_jv;   /* a node, borrowed until lode_json_free */

enum lode_jtype {
    LODE_J_NULL,
    LODE_J_BOOL,
    LODE_J_NUMBER,
    LODE_J_STRING,
    LODE_J_ARRAY,
    LODE_J_OBJECT
};

/* Message on failure: what and at which byte. text may go away afterwards. max_bytes: LODE_ELIMIT
 * above it. */
enum lode_code lode_json_parse(struct lode_str text, size_t max_bytes, struct lode_json **out,
                               struct lode_err *err);
void lode_json_free(struct lode_json *doc); /* NULL is fine */
const struct lode_jv *lode_json_root(const struct lode_json *doc);

/* --- nodes; v may be NULL everywhere: then "absent" --- */
enum lode_jtype lode_jv_type(const struct lode_jv *v); /* NULL -> LODE_J_NULL */
const char *lode_jtype_name(enum lode_jtype t);        /* "a string" ...: for messages */
const struct lode_jv *lode_jv_get(const struct lode_jv *object,
                                  const char *key); /* exact case; NULL when absent */
const struct lode_jv *lode_jv_first(
    const struct lode_jv *v); /* first child of an array or object, NULL if none */
const struct lode_jv *lode_jv_next(const struct lode_jv *child);
struct lode_str lode_jv_key(const struct lode_jv *child); /* of an object's child */
size_t lode_jv_count(const struct lode_jv *v);            /* children */
/* False when v is absent or of another type (or, for the integers, not integral or out of range).
 */
bool lode_jv_str(const struct lode_jv *v, struct lode_str *out);
bool lode_jv_bool(const struct lode_jv *v, bool *out);
bool lode_jv_u64(const struct lode_jv *v, uint64_t *out);
bool lode_jv_i64(const struct lode_jv *v, int64_t *out);
bool lode_jv_f64(const struct lode_jv *v, double *out);
/* A non-empty array of numbers only, as floats owned by doc; false otherwise. A number that
 * overflows float is an infinity: check with lode_vec_finite. */
bool lode_jv_floats(struct lode_json *doc, const struct lode_jv *v, const float **out, size_t *n);
/* Compact text of v: keys in their order, integers exact, floats in the shortest form that reads
 * back the same. */
void lode_jv_write(const struct lode_jv *v, struct lode_buf *out);

/* --- fields of an object, with errors that name them ---
 * at: where object sits ("points[3]"), "" at the root; the message reads "points[3].id: must be a
 * string, not a number". need: LODE_EINVAL "...: is required" when absent or null; opt: *out keeps
 * the default it had. Null counts as absent. */
enum lode_code lode_jneed_str(const struct lode_jv *object, const char *at, const char *key,
                              struct lode_str *out, struct lode_err *err);
enum lode_code lode_jneed_u64(const struct lode_jv *object, const char *at, const char *key,
                              uint64_t min, uint64_t max, uint64_t *out, struct lode_err *err);
enum lode_code lode_jneed(const struct lode_jv *object, const char *at, const char *key,
                          enum lode_jtype type, const struct lode_jv **out, struct lode_err *err);
enum lode_code lode_jopt_str(const struct lode_jv *object, const char *at, const char *key,
                             struct lode_str *out, struct lode_err *err);
enum lode_code lode_jopt_u64(const struct lode_jv *object, const char *at, const char *key,
                             uint64_t min, uint64_t max, uint64_t *out, struct lode_err *err);
enum lode_code lode_jopt_f64(const struct lode_jv *object, const char *at, const char *key,
                             double min, double max, double *out, struct lode_err *err);
enum lode_code lode_jopt_bool(const struct lode_jv *object, const char *at, const char *key,
                              bool *out, struct lode_err *err);
enum lode_code lode_jopt(const struct lode_jv *object, const char *at, const char *key,
                         enum lode_jtype type, const struct lode_jv **out, struct lode_err *err);
/* LODE_EINVAL naming the first key of object that is not in allowed (NULL-terminated): a misspelt
 * option is an error. */
enum lode_code lode_jonly(const struct lode_jv *object, const char *at, const char *const *allowed,
                          struct lode_err *err);

/* --- writer: straight into a buffer; commas and nesting are kept by it --- */
struct lode_jw {
    struct lode_buf *buf;
    uint64_t comma; /* bit d: depth d has an element already */
    unsigned depth;
    bool after_key;
};
void lode_jw_init(struct lode_jw *w, struct lode_buf *buf);
void lode_jw_begin(struct lode_jw *w, char open); /* '{' or '[' */
void lode_jw_end(struct lode_jw *w, char close);
void lode_jw_key(struct lode_jw *w, const char *key);
void lode_jw_key_str(struct lode_jw *w, struct lode_str key);
void lode_jw_str(struct lode_jw *w, struct lode_str s); /* invalid UTF-8 is written as U+FFFD */
void lode_jw_strz(struct lode_jw *w, const char *z);    /* NULL -> null */
void lode_jw_u64(struct lode_jw *w, uint64_t x);
void lode_jw_i64(struct lode_jw *w, int64_t x);
void lode_jw_f64(struct lode_jw *w, double x); /* shortest that reads back; not finite -> null */
void lode_jw_f32(struct lode_jw *w, float x);  /* shortest that reads back as float */
void lode_jw_f32s(struct lode_jw *w, const float *x, size_t n); /* a whole array, fast */
void lode_jw_bool(struct lode_jw *w, bool x);
void lode_jw_null(struct lode_jw *w);
void lode_jw_raw(struct lode_jw *w, struct lode_str json); /* a value that is JSON already */

#endif
