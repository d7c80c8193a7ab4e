/* SPDX-License-Identifier: MIT */
/* A filter from the network and a payload from the store, between them a zero byte: the filter is
 * refused with a message, or it gives the same answer twice, and its negation the opposite one. */
#include <stdint.h>

#include "base/check.h"
#include "base/limits.h"
#include "query/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool answer(const struct lode_filter *f, const struct lode_point *p)
{
    struct lode_err err = LODE_ERR_INIT;
    bool match = false;
    const enum lode_code rc = lode_filter_match(f, p, &match, &err);
    lode_check(rc == LODE_OK || rc == LODE_ECORRUPT);
    lode_check(rc == LODE_OK || err.msg[0] != '\0');
    return rc == LODE_OK && match;
}

static struct lode_filter *parse(struct lode_str text)
{
    struct lode_json *doc = NULL;
    struct lode_filter *f = NULL;
    struct lode_err err = LODE_ERR_INIT;
    if (lode_json_parse(text, LODE_PAYLOAD_MAX, &doc, &err)) return NULL;
    const enum lode_code rc = lode_filter_parse(lode_json_root(doc), "filter", &f, &err);
    lode_check((rc == LODE_OK) == (err.msg[0] == '\0'));
    lode_check(rc == LODE_OK || !f);
    lode_json_free(doc);
    return f;
}

static bool payload_reads(struct lode_str payload)
{
    struct lode_json *doc = NULL;
    struct lode_err err = LODE_ERR_INIT;
    const bool ok = payload.len == 0 || !lode_json_parse(payload, LODE_PAYLOAD_MAX, &doc, &err);
    lode_json_free(doc);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lode_str payload = lode_str_n((const char *)data, size);
    const struct lode_str text = lode_str_split(&payload, '\0');
    struct lode_filter *f = parse(text);
    if (!f) return 0;
    struct lode_buf negated;
    lode_buf_init(&negated, 2 * LODE_PAYLOAD_MAX);
    lode_buf_printf(&negated, "{\"must_not\":[");
    lode_buf_add_str(&negated, text);
    lode_buf_printf(&negated, "]}");
    const struct lode_point p = {.id = lode_point_id_num(7), .payload = payload};
    const bool match = answer(f, &p);
    lode_check(answer(f, &p) == match);
    struct lode_filter *opposite = parse(lode_buf_str(&negated)); /* NULL: a node too many */
    if (opposite && payload_reads(payload)) lode_check(answer(opposite, &p) != match);
    lode_filter_free(opposite);
    lode_filter_free(f);
    lode_buf_release(&negated);
    return 0;
}
