/* SPDX-License-Identifier: MIT */
/* The BERT encoder (Devlin et al., 2018), post-norm, as in the paper:
 *
 *   x = norm(word + position + type)
 *   for each layer:  x = norm(x + attention(x));  x = norm(x + down(act(up(x))))
 *   pool x per sequence
 *
 * Every thread that shares the piece runs this same function; see backend.h. */
#include "encoder/models/model.h"

enum { FFN_ROWS = 96 }; /* rows of the wide inner activation kept at a time: it stays in cache */

/* Scratch of one piece: x (T,H), qkv (T,3H), context (T,H), inner (T,F). */
struct lode_needs lode_bert_needs(const struct lode_bert *m)
{
    const struct lode_bert_config *c = &m->config;
    return (struct lode_needs){.floats_per_token = (size_t)5 * c->hidden + c->intermediate,
                               .head_dim = c->hidden / c->heads};
}

static void feed_forward(const struct lode_bert *m, struct lode_exec *exec,
                         const struct lode_bert_layer *layer, size_t rows, float *x, float *inner,
                         float *y)
{
    const size_t h = m->config.hidden;
    for (size_t at = 0; at < rows; at += FFN_ROWS) {
        size_t n = rows - at < FFN_ROWS ? rows - at : FFN_ROWS;
        m->ops->linear(exec, layer->up, x + at * h, n, inner);
        m->ops->linear(exec, layer->down, inner, n, y + at * h);
    }
    m->ops->add_norm(exec, &layer->output_norm, y, x, rows, x);
}

void lode_bert_forward(void *arg, struct lode_exec *exec, const struct lode_piece *piece)
{
    const struct lode_bert *m = arg;
    const size_t rows = piece->tokens, h = m->config.hidden;
    const uint32_t head_dim = m->config.hidden / m->config.heads;
    float *x = m->ops->scratch(exec);
    float *qkv = x + rows * h, *context = qkv + rows * 3 * h, *inner = context + rows * h;

    m->ops->embed(exec, &m->embed, piece, x);
    for (uint32_t i = 0; i < m->config.layers; i++) {
        const struct lode_bert_layer *layer = &m->layers[i];
        m->ops->linear(exec, layer->qkv, x, rows, qkv);
        m->ops->attention(exec, piece, qkv, m->config.heads, head_dim, context);
        m->ops->linear(exec, layer->out, context, rows, qkv);
        m->ops->add_norm(exec, &layer->attention_norm, qkv, x, rows, x);
        feed_forward(m, exec, layer, rows, x, inner, qkv);
    }
    m->ops->pool(exec, piece, x, m->config.hidden, m->pooling, m->normalize, piece->out);
}
