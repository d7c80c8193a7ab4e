/* SPDX-License-Identifier: MIT */
/* The BERT encoder (Devlin et al., 2018), post-norm, as in the paper:
 *
 *   x = norm(word + position + type)
 *   for each layer:  x = norm(x + attention(x));  x = norm(x + down(act(up(x))))
 *   pool x per sequence
 *
 * Every thread that shares the piece runs this same function; see backend.h. */
#include "encoder/models/model.h"

struct lode_shape lode_bert_shape(const struct lode_bert *m)
{
    const struct lode_bert_config *c = &m->config;
    return (struct lode_shape){.hidden = c->hidden,
                               .heads = c->heads,
                               .head_dim = c->hidden / c->heads,
                               .inner = c->intermediate};
}

void lode_bert_forward(void *arg, struct lode_exec *exec, const struct lode_piece *piece)
{
    const struct lode_bert *m = arg;
    const struct lode_backend_ops *ops = m->ops;
    ops->embed(exec, &m->embed, piece);
    for (uint32_t i = 0; i < m->config.layers; i++) {
        const struct lode_bert_layer *layer = &m->layers[i];
        ops->qkv(exec, layer->qkv, piece);
        ops->attention(exec, piece);
        ops->project(exec, layer->out, piece);
        ops->add_norm(exec, &layer->attention_norm, piece);
        ops->feed_forward(exec, layer->up, layer->down, piece);
        ops->add_norm(exec, &layer->output_norm, piece);
    }
    ops->pool(exec, piece, m->pooling, m->normalize, piece->out);
}
