/* SPDX-License-Identifier: MIT */
/* The cache of calls: a queue of rows by rising number, and an index from key to number.
 *
 *   embeds     [ seq ]  -> key, tokens, vector      first in, first out
 *   embedkeys  [ key ]  -> seq
 *
 * What it takes up is asked of LMDB (pages of both tables), so the bound is one of real bytes and
 * cannot drift. A row that its reader still wants when its turn comes moves to the end. */
#include "storage/cache.h"

#include "base/mem.h"
#include "storage/write_internal.h"

enum {
    EVICT_EXTRA = 64, /* rows beyond twice those written that one call may handle: a lowered bound
                             is reached in steps, and no writer waits long */
    MOVES_MAX = 32,   /* wanted rows that one call writes again */
    ROW_BYTES = 64,   /* of tree and small fields beside a vector, roughly */
    REC_BYTES_MAX = 1 << 20 /* LODE_DIM_MAX floats and some */
};

/* --- reading --- */

static struct lode_dbkey key_of(const struct lode_text_key *key)
{
    return lode_key_bytes(lode_str_n((const char *)key->bytes, sizeof key->bytes));
}

/* False when there is none, or none that can be read. */
static bool load_seq(const struct lode_rtxn *txn, const struct lode_text_key *key, uint64_t *seq)
{
    const struct lode_dbkey k = key_of(key);
    struct lode_err ignored = LODE_ERR_INIT;
    struct lode_rd body;
    bool found;
    if (lode_rec_get(txn, LODE_T_EMBED_KEYS, &k, &found, &body, &ignored) || !found) return false;
    *seq = lode_rd_u64(&body);
    return lode_rd_done(&body);
}

bool lode_embeds_get(const struct lode_rtxn *txn, const struct lode_text_key *key,
                     struct lode_embed_row *out)
{
    struct lode_err ignored = LODE_ERR_INIT;
    struct lode_rd body;
    uint64_t seq;
    bool found;
    if (!load_seq(txn, key, &seq)) return false;
    const struct lode_dbkey k = lode_key_lsn(seq);
    if (lode_rec_get(txn, LODE_T_EMBEDS, &k, &found, &body, &ignored) || !found) return false;
    return lode_row_embed(body, out) && memcmp(&out->key, key, sizeof *key) == 0;
}

static enum lode_code embeds_stats(const struct lode_rtxn *txn, struct lode_embeds_stats *out,
                                   struct lode_err *err)
{
    uint64_t rows = 0, keys = 0;
    LODE_TRY(lode_tab_count(txn, LODE_T_EMBEDS, &out->entries, err));
    LODE_TRY(lode_tab_bytes(txn, LODE_T_EMBEDS, &rows, err));
    LODE_TRY(lode_tab_bytes(txn, LODE_T_EMBED_KEYS, &keys, err));
    out->bytes = rows + keys;
    return LODE_OK;
}

enum lode_code lode_cache_stats(const struct lode_rtxn *txn, struct lode_cache_stats *out,
                                struct lode_err *err)
{
    uint64_t entries = 0, keys = 0;
    *out = (struct lode_cache_stats){.entries = 0};
    LODE_TRY(lode_tab_count(txn, LODE_T_CACHE, &out->entries, err));
    LODE_TRY(lode_tab_bytes(txn, LODE_T_CACHE, &entries, err));
    LODE_TRY(lode_tab_bytes(txn, LODE_T_CACHED, &keys, err));
    out->bytes = entries + keys;
    return embeds_stats(txn, &out->embeds, err);
}

/* --- writing --- */

struct put {
    struct lode_rtxn txn;
    struct lode_buf rec;
    uint64_t next; /* number of the next row */
    struct lode_embeds_stats stats;
};

static enum lode_code next_seq(struct put *p, struct lode_err *err)
{
    struct lode_cursor c;
    uint64_t last = 0;
    LODE_TRY(lode_cursor_open(&p->txn, LODE_T_EMBEDS, &c, err));
    enum lode_code rc = lode_cursor_last(&c, err);
    if (!rc && c.on && !lode_key_read_lsn(c.key, &last))
        rc = lode_fail_record(err, &p->txn, LODE_T_EMBEDS, c.key, LODE_BAD_BODY);
    lode_cursor_close(&c);
    p->next = last + 1;
    return rc;
}

static enum lode_code add_row(struct put *p, const struct lode_embed_row *row, struct lode_err *err)
{
    const struct lode_dbkey k = key_of(&row->key), seq = lode_key_lsn(p->next);
    lode_rec_begin(&p->rec);
    lode_row_embed_put(&p->rec, row);
    LODE_TRY(lode_rec_put(&p->txn, LODE_T_EMBEDS, &seq, &p->rec, err));
    lode_rec_begin(&p->rec);
    lode_put_u64(&p->rec, p->next++);
    return lode_rec_put(&p->txn, LODE_T_EMBED_KEYS, &k, &p->rec, err);
}

static enum lode_code replace_row(struct put *p, const struct lode_embed_row *row,
                                  struct lode_err *err)
{
    uint64_t old;
    bool found;
    if (load_seq(&p->txn, &row->key, &old)) {
        const struct lode_dbkey k = lode_key_lsn(old);
        LODE_TRY(lode_tab_delete(&p->txn, LODE_T_EMBEDS, &k, &found, err));
    }
    return add_row(p, row, err);
}

/* Takes the row of number seq away, with its index entry if that is its own. */
static enum lode_code remove_row(struct put *p, const struct lode_dbkey *k, uint64_t seq,
                                 const struct lode_text_key *key, struct lode_err *err)
{
    uint64_t indexed;
    bool found;
    LODE_TRY(lode_tab_delete(&p->txn, LODE_T_EMBEDS, k, &found, err));
    if (!key || !load_seq(&p->txn, key, &indexed) || indexed != seq) return LODE_OK;
    const struct lode_dbkey of_index = key_of(key);
    return lode_tab_delete(&p->txn, LODE_T_EMBED_KEYS, &of_index, &found, err);
}

/* The oldest row: away with it, or, wanted, to the end. */
static enum lode_code retire(struct put *p, const struct lode_cursor *c,
                             const struct lode_embeds_write *write, unsigned *moves,
                             struct lode_err *err)
{
    const struct lode_dbkey k = lode_key_bytes(lode_str_sub(c->key, 0, LODE_DBKEY_MAX));
    struct lode_embed_row row;
    struct lode_rd body;
    uint64_t seq = 0;
    const bool sound = lode_key_read_lsn(c->key, &seq) &&
                       !lode_rec_open(LODE_T_EMBEDS, c->key, c->value, &body) &&
                       lode_row_embed(body, &row);
    const bool move =
        sound && *moves < MOVES_MAX && write->wanted && write->wanted(write->arg, &row.key);
    const struct lode_text_key key = sound ? row.key : (struct lode_text_key){{0}};
    if (!move) {
        p->stats.evicted++;
        return remove_row(p, &k, seq, sound ? &key : NULL, err);
    }
    ++*moves;
    LODE_TRY(add_row(p, &row, err)); /* copies it before the map moves; the index follows */
    return remove_row(p, &k, seq, &key, err);
}

static enum lode_code evict(struct put *p, const struct lode_embeds_write *write,
                            struct lode_err *err)
{
    size_t budget = 2 * write->count + EVICT_EXTRA;
    unsigned moves = 0;
    struct lode_cursor c;
    LODE_TRY(embeds_stats(&p->txn, &p->stats, err));
    LODE_TRY(lode_cursor_open(&p->txn, LODE_T_EMBEDS, &c, err));
    enum lode_code rc = LODE_OK;
    while (!rc && p->stats.bytes > write->bytes_max && budget-- > 0) {
        rc = lode_cursor_first(&c, err);
        if (rc || !c.on) break;
        rc = retire(p, &c, write, &moves, err);
        if (!rc) rc = embeds_stats(&p->txn, &p->stats, err);
    }
    lode_cursor_close(&c);
    return rc;
}

static enum lode_code put_all(struct put *p, const struct lode_embeds_write *write,
                              struct lode_err *err)
{
    if (!lode_tab_exists(&p->txn, LODE_T_EMBED_KEYS))
        return lode_fail(err, LODE_EUNSUPPORTED, "this store has no table of embeddings");
    LODE_TRY(next_seq(p, err));
    for (size_t i = 0; i < write->count; i++) LODE_TRY(replace_row(p, &write->rows[i], err));
    return evict(p, write, err);
}

static enum lode_code check_room(struct lode_store *store, uint64_t bytes, struct lode_err *err)
{
    const uint64_t disk_free = lode_disk_free(store->dir);
    if (atomic_load(&store->failed))
        return lode_fail(err, LODE_EIO, "%s: an earlier write failed", store->dir);
    if (disk_free >= bytes && disk_free - bytes >= store->reserve_bytes) return LODE_OK;
    return lode_fail(err, LODE_EFULL, "%s: the disk is nearly full", store->dir);
}

enum lode_code lode_embeds_put(struct lode_store *store, const struct lode_embeds_write *write,
                               struct lode_embeds_stats *out, struct lode_err *err)
{
    struct put p = {.next = 1};
    uint64_t bytes = 0;
    for (size_t i = 0; i < write->count; i++)
        bytes += write->rows[i].dim * sizeof(float) + ROW_BYTES;
    LODE_TRY(check_room(store, bytes, err));
    LODE_TRY(lode_wtxn_begin(store, &p.txn, err));
    lode_buf_init(&p.rec, REC_BYTES_MAX);
    enum lode_code rc = put_all(&p, write, err);
    lode_buf_release(&p.rec);
    if (rc) {
        lode_wtxn_abort(&p.txn);
        return rc;
    }
    *out = p.stats;
    return lode_wtxn_commit(&p.txn, bytes, err);
}

enum lode_code lode_embeds_clear(struct lode_store *store, struct lode_err *err)
{
    struct lode_rtxn txn;
    LODE_TRY(lode_wtxn_begin(store, &txn, err));
    enum lode_code rc = lode_tab_clear(&txn, LODE_T_EMBEDS, err);
    if (!rc) rc = lode_tab_clear(&txn, LODE_T_EMBED_KEYS, err);
    if (!rc) return lode_wtxn_commit(&txn, 0, err);
    lode_wtxn_abort(&txn);
    return rc;
}
