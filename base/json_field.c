/* SPDX-License-Identifier: MIT */
/* Fields of an object with errors that name them; only what json.h offers is used. */
#include <inttypes.h>

#include "base/json.h"

const char *lode_jtype_name(enum lode_jtype t)
{
    static const char *const names[] = {"null",     "a boolean", "a number",
                                        "a string", "an array",  "an object"};
    return names[t];
}

/* "at.key: " in front of a message; at may be empty. */
#define FIELD_FMT          "%s%s%s: "
#define FIELD_ARG(at, key) (at), (at)[0] ? "." : "", (key)

enum lode_code lode_jopt(const struct lode_jv *object, const char *at, const char *key,
                         enum lode_jtype type, const struct lode_jv **out, struct lode_err *err)
{
    const struct lode_jv *v = lode_jv_get(object, key);
    enum lode_jtype got = lode_jv_type(v);
    if (got == LODE_J_NULL) return LODE_OK;
    if (got != type) {
        return lode_fail(err, LODE_EINVAL, FIELD_FMT "must be %s, not %s", FIELD_ARG(at, key),
                         lode_jtype_name(type), lode_jtype_name(got));
    }
    *out = v;
    return LODE_OK;
}

enum lode_code lode_jneed(const struct lode_jv *object, const char *at, const char *key,
                          enum lode_jtype type, const struct lode_jv **out, struct lode_err *err)
{
    const struct lode_jv *v = NULL;
    LODE_TRY(lode_jopt(object, at, key, type, &v, err));
    if (!v) return lode_fail(err, LODE_EINVAL, FIELD_FMT "is required", FIELD_ARG(at, key));
    *out = v;
    return LODE_OK;
}

enum lode_code lode_jopt_str(const struct lode_jv *object, const char *at, const char *key,
                             struct lode_str *out, struct lode_err *err)
{
    const struct lode_jv *v = NULL;
    LODE_TRY(lode_jopt(object, at, key, LODE_J_STRING, &v, err));
    lode_jv_str(v, out);
    return LODE_OK;
}

enum lode_code lode_jneed_str(const struct lode_jv *object, const char *at, const char *key,
                              struct lode_str *out, struct lode_err *err)
{
    const struct lode_jv *v = NULL;
    LODE_TRY(lode_jneed(object, at, key, LODE_J_STRING, &v, err));
    lode_jv_str(v, out);
    return LODE_OK;
}

static enum lode_code bounded_u64(const struct lode_jv *v, const char *at, const char *key,
                                  uint64_t min, uint64_t max, uint64_t *out, struct lode_err *err)
{
    uint64_t x;
    if (!lode_jv_u64(v, &x) || x < min || x > max) {
        return lode_fail(err, LODE_EINVAL,
                         FIELD_FMT "must be an integer from %" PRIu64 " to %" PRIu64,
                         FIELD_ARG(at, key), min, max);
    }
    *out = x;
    return LODE_OK;
}

enum lode_code lode_jopt_u64(const struct lode_jv *object, const char *at, const char *key,
                             uint64_t min, uint64_t max, uint64_t *out, struct lode_err *err)
{
    const struct lode_jv *v = NULL;
    LODE_TRY(lode_jopt(object, at, key, LODE_J_NUMBER, &v, err));
    return v ? bounded_u64(v, at, key, min, max, out, err) : LODE_OK;
}

enum lode_code lode_jneed_u64(const struct lode_jv *object, const char *at, const char *key,
                              uint64_t min, uint64_t max, uint64_t *out, struct lode_err *err)
{
    const struct lode_jv *v = NULL;
    LODE_TRY(lode_jneed(object, at, key, LODE_J_NUMBER, &v, err));
    return bounded_u64(v, at, key, min, max, out, err);
}

enum lode_code lode_jopt_f64(const struct lode_jv *object, const char *at, const char *key,
                             double min, double max, double *out, struct lode_err *err)
{
    const struct lode_jv *v = NULL;
    double x;
    LODE_TRY(lode_jopt(object, at, key, LODE_J_NUMBER, &v, err));
    if (!lode_jv_f64(v, &x)) return LODE_OK; /* absent */
    if (!(x >= min && x <= max)) {
        return lode_fail(err, LODE_EINVAL, FIELD_FMT "must be a number from %g to %g",
                         FIELD_ARG(at, key), min, max);
    }
    *out = x;
    return LODE_OK;
}

enum lode_code lode_jopt_bool(const struct lode_jv *object, const char *at, const char *key,
                              bool *out, struct lode_err *err)
{
    const struct lode_jv *v = NULL;
    LODE_TRY(lode_jopt(object, at, key, LODE_J_BOOL, &v, err));
    lode_jv_bool(v, out);
    return LODE_OK;
}

static bool is_listed(struct lode_str key, const char *const *allowed)
{
    for (; *allowed; allowed++) {
        if (lode_str_eqz(key, *allowed)) return true;
    }
    return false;
}

enum lode_code lode_jonly(const struct lode_jv *object, const char *at, const char *const *allowed,
                          struct lode_err *err)
{
    if (lode_jv_type(object) != LODE_J_OBJECT) return LODE_OK;
    for (const struct lode_jv *c = lode_jv_first(object); c; c = lode_jv_next(c)) {
        struct lode_str key = lode_jv_key(c);
        if (is_listed(key, allowed)) continue;
        return lode_fail(err, LODE_EINVAL, "%s%s" LODE_STR_FMT ": unknown field", at,
                         at[0] ? "." : "", LODE_STR_ARG(key));
    }
    return LODE_OK;
}
