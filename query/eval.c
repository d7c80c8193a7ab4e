/* SPDX-License-Identifier: MIT */
/* Loading a BEIR folder's queries and judgements, and scoring one ranked list as trec_eval does. */
#include <math.h>
#include <stdio.h>

#include "base/check.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "query/eval.h"

enum { NDCG_CUT = 10, MRR_CUT = 10, RECALL_CUT = 100 };

/* --- loading --- */

struct load {
    struct lode_eval_set *set;
    struct lode_map by_id; /* query id -> index; keys in the set's arena */
    size_t capacity;
    struct lode_err *err;
};

static enum lode_code nomem(struct load *l)
{
    return lode_fail(l->err, LODE_ENOMEM, "out of memory for the queries");
}

static void *grown(void *old, size_t used, size_t capacity, size_t size)
{
    void *p = lode_realloc(old, capacity, size);
    if (p) memset((char *)p + used * size, 0, (capacity - used) * size);
    return p;
}

static bool reserve_query(struct load *l)
{
    struct lode_eval_set *set = l->set;
    if (set->count < l->capacity) return true;
    const size_t more = l->capacity ? l->capacity * 2 : 256;
    void *ids = grown(set->query_ids, set->count, more, sizeof *set->query_ids);
    if (ids) set->query_ids = ids;
    void *texts = grown(set->query_texts, set->count, more, sizeof *set->query_texts);
    if (texts) set->query_texts = texts;
    void *judgements = grown(set->judgements, set->count, more, sizeof *set->judgements);
    if (judgements) set->judgements = judgements;
    if (!ids || !texts || !judgements) return false;
    l->capacity = more;
    return true;
}

static enum lode_code add_query(struct load *l, struct lode_str id, struct lode_str text)
{
    struct lode_eval_set *set = l->set;
    if (!reserve_query(l)) return nomem(l);
    id = lode_arena_str(&set->arena, id);
    text = lode_arena_str(&set->arena, text);
    if (!id.ptr || !text.ptr || !lode_map_put(&l->by_id, id, set->count)) return nomem(l);
    set->query_ids[set->count] = id;
    set->query_texts[set->count] = text;
    lode_map_init(&set->judgements[set->count++], false);
    return LODE_OK;
}

/* BEIR ids are strings; some files have bare integers. */
static enum lode_code query_id(const struct lode_jv *v, struct lode_arena *arena,
                               struct lode_str *out, struct lode_err *err)
{
    uint64_t number;
    if (!lode_jv_u64(lode_jv_get(v, "_id"), &number)) return lode_jneed_str(v, "", "_id", out, err);
    const char *text = lode_arena_printf(arena, "%llu", (unsigned long long)number);
    if (!text) return lode_fail(err, LODE_ENOMEM, "out of memory for the queries");
    *out = lode_str_of(text);
    return LODE_OK;
}

static enum lode_code read_query(struct load *l, struct lode_str line)
{
    struct lode_json *doc = NULL;
    struct lode_str id, text;
    LODE_TRY(lode_json_parse(line, LODE_EMBED_TEXT_MAX, &doc, l->err));
    const struct lode_jv *v = lode_json_root(doc);
    enum lode_code rc = query_id(v, &l->set->arena, &id, l->err);
    if (!rc) rc = lode_jneed_str(v, "", "text", &text, l->err);
    if (!rc) rc = add_query(l, id, text);
    lode_json_free(doc);
    return rc;
}

/* One line "query TAB document TAB grade"; line 1 may be a header instead. */
static enum lode_code read_judgement(struct load *l, struct lode_str line, size_t number)
{
    struct lode_str rest = line;
    const struct lode_str query = lode_str_split(&rest, '\t');
    const struct lode_str document = lode_str_split(&rest, '\t');
    const struct lode_str grade_text = lode_str_trim(lode_str_split(&rest, '\t'));
    double grade;
    uint64_t index;
    if (!lode_str_f64(grade_text, &grade)) {
        if (number == 1) return LODE_OK;
        return lode_fail(l->err, LODE_EINVAL, "expected query, document and grade between tabs");
    }
    if (!lode_map_get(&l->by_id, query, &index)) return LODE_OK;
    const struct lode_str key = lode_arena_str(&l->set->arena, document);
    const uint64_t value = grade > 0 ? (uint64_t)grade : 0;
    if (!key.ptr || !lode_map_put(&l->set->judgements[index], key, value)) return nomem(l);
    return LODE_OK;
}

static enum lode_code read_line(struct load *l, struct lode_str line, size_t number,
                                bool judgements)
{
    line = lode_str_trim(line);
    if (line.len == 0) return LODE_OK;
    return judgements ? read_judgement(l, line, number) : read_query(l, line);
}

static enum lode_code read_lines(struct load *l, const char *dir, const char *name, bool judgements)
{
    struct lode_buf bytes;
    char path[4096];
    lode_buf_init(&bytes, LODE_EVAL_FILE_MAX);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    enum lode_code rc = lode_file_read(path, LODE_EVAL_FILE_MAX, &bytes, l->err);
    struct lode_str rest = lode_buf_str(&bytes);
    for (size_t number = 1; !rc && rest.ptr; number++) {
        rc = read_line(l, lode_str_split(&rest, '\n'), number, judgements);
        if (rc) lode_err_prefix(l->err, "%s: line %zu", path, number);
    }
    lode_buf_release(&bytes);
    return rc;
}

/* Leaves only the queries that somebody judged. */
static void drop_unjudged(struct lode_eval_set *set)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        if (set->judgements[i].count == 0) {
            lode_map_release(&set->judgements[i]);
            continue;
        }
        set->query_ids[kept] = set->query_ids[i];
        set->query_texts[kept] = set->query_texts[i];
        set->judgements[kept++] = set->judgements[i];
    }
    set->count = kept;
}

enum lode_code lode_eval_load(const char *corpus_dir, struct lode_eval_set *out,
                              struct lode_err *err)
{
    struct load l = {.set = out, .err = err};
    *out = (struct lode_eval_set){.count = 0};
    lode_arena_init(&out->arena, LODE_EVAL_FILE_MAX);
    lode_map_init(&l.by_id, false);
    enum lode_code rc = read_lines(&l, corpus_dir, "queries.jsonl", false);
    if (!rc) rc = read_lines(&l, corpus_dir, "qrels/test.tsv", true);
    lode_map_release(&l.by_id);
    if (!rc) drop_unjudged(out);
    if (!rc && out->count == 0) {
        rc = lode_fail(err, LODE_EINVAL, "%s: no query has a judgement", corpus_dir);
    }
    if (rc) lode_eval_release(out);
    return rc;
}

void lode_eval_release(struct lode_eval_set *set)
{
    for (size_t i = 0; i < set->count; i++) lode_map_release(&set->judgements[i]);
    lode_free(set->query_ids);
    lode_free(set->query_texts);
    lode_free(set->judgements);
    lode_arena_release(&set->arena);
    *set = (struct lode_eval_set){.count = 0};
}

/* --- measures --- */

/* trec_eval's order: by score, and equal scores by document id from last to first, whatever order
 * the engine gave. */
static bool ranks_before(const struct lode_str *ids, const float *scores, size_t a, size_t b)
{
    if (scores[a] != scores[b]) return scores[a] > scores[b];
    return lode_str_cmp(ids[a], ids[b]) > 0;
}

/* The list is best first already, so this moves ties only. */
static void rank(const struct lode_str *ids, const float *scores, size_t count, size_t *order)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        for (; at > 0 && ranks_before(ids, scores, i, order[at - 1]); at--) {
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
}

static double discount(size_t index)
{
    return 1.0 / log2((double)index + 2.0);
}

/* The best gain ten documents can have, and how many relevant ones there are. */
static double ideal_gain(const struct lode_map *judgements, size_t *relevant)
{
    uint64_t best[NDCG_CUT] = {0}; /* falling */
    struct lode_str id;
    uint64_t grade;
    double sum = 0;
    *relevant = 0;
    for (size_t at = 0; lode_map_next(judgements, &at, &id, &grade);) {
        *relevant += grade > 0;
        for (size_t i = 0; i < NDCG_CUT; i++) {
            if (grade <= best[i]) continue;
            const uint64_t pushed = best[i];
            best[i] = grade;
            grade = pushed;
        }
    }
    for (size_t i = 0; i < NDCG_CUT; i++) sum += (double)best[i] * discount(i);
    return sum;
}

void lode_eval_query(const struct lode_map *judgements, const struct lode_str *ids,
                     const float *scores, size_t count, struct lode_eval_scores *out)
{
    static_assert((int)LODE_RUN_MAX >= (int)RECALL_CUT, "the run must reach the deepest cut");
    size_t order[LODE_RUN_MAX];
    size_t relevant, found = 0;
    double gain = 0;
    const double ideal = ideal_gain(judgements, &relevant);
    *out = (struct lode_eval_scores){0};
    if (count > LODE_RUN_MAX) count = LODE_RUN_MAX;
    rank(ids, scores, count, order);
    for (size_t i = 0; i < count; i++) {
        uint64_t grade = 0;
        if (!lode_map_get(judgements, ids[order[i]], &grade) || grade == 0) continue;
        if (i < NDCG_CUT) gain += (double)grade * discount(i);
        if (i < MRR_CUT && out->mrr_at_10 == 0) out->mrr_at_10 = 1.0 / (double)(i + 1);
        if (i < RECALL_CUT) found++;
    }
    if (ideal > 0) out->ndcg_at_10 = gain / ideal;
    if (relevant) out->recall_at_100 = (double)found / (double)relevant;
}
