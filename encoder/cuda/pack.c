/* SPDX-License-Identifier: MIT */
/* A piece to the one block of memory that the device needs of it: ids, positions, types, where the
 * sequences lie, and the tiles of attention. Pieces that will run as a graph are brought to one of
 * few shapes; what pads them is skipped on the device by what the block says, so that a graph made
 * for a shape serves every piece of it. */
#include <string.h>

#include "base/check.h"
#include "encoder/cuda/cuda_internal.h"

enum {
    GRAPH_TOKENS_MAX = 1024, /* above, the kernels outlast their launches */
    GRAPH_SEQS_MAX = 64,
    ALIGN = 16
};

static uint32_t round_up(uint32_t n, uint32_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static uint32_t power_of_two(uint32_t n)
{
    uint32_t p = 1;
    while (p < n) p *= 2;
    return p;
}

uint32_t lode_pack_tiles(const struct lode_piece *piece)
{
    uint32_t tiles = 0;
    for (uint32_t s = 0; s < piece->seqs; s++)
        tiles += (piece->cu[s + 1] - piece->cu[s] + LODE_CUDA_TILE_ROWS - 1) / LODE_CUDA_TILE_ROWS;
    return tiles;
}

static size_t place(size_t *at, size_t count, size_t bytes)
{
    const size_t here = *at;
    *at = (here + count * bytes + ALIGN - 1) / ALIGN * ALIGN;
    return here;
}

static struct pack_layout lay_out(struct shape_key key)
{
    struct pack_layout l = {.key = key};
    l.ids = place(&l.bytes, key.rows, sizeof(uint32_t));
    l.positions = place(&l.bytes, key.rows, sizeof(uint32_t));
    l.types = place(&l.bytes, key.rows, sizeof(uint32_t));
    l.cu = place(&l.bytes, (size_t)key.seqs + 1, sizeof(uint32_t));
    l.tiles = place(&l.bytes, key.tiles, sizeof(struct lode_tile));
    return l;
}

struct pack_layout lode_pack_plan(const struct lode_piece *piece)
{
    const bool graph = piece->tokens <= GRAPH_TOKENS_MAX && piece->seqs <= GRAPH_SEQS_MAX;
    const uint32_t tiles = lode_pack_tiles(piece);
    struct pack_layout l =
        lay_out((struct shape_key){.rows = round_up(piece->tokens, LODE_CUDA_ROWS_UNIT),
                                   .seqs = graph ? power_of_two(piece->seqs) : piece->seqs,
                                   .tiles = graph ? power_of_two(tiles) : tiles});
    l.graph = graph;
    return l;
}

/* Most are a token a sequence, each a tile of its own; a graph's powers of two at most double. */
size_t lode_pack_bytes_max(uint32_t tokens)
{
    const uint32_t rows = round_up(tokens, LODE_CUDA_ROWS_UNIT);
    const uint32_t most = tokens <= GRAPH_TOKENS_MAX ? power_of_two(tokens) : tokens;
    return lay_out((struct shape_key){.rows = rows, .seqs = most, .tiles = most}).bytes;
}

static void fill_tokens(const struct lode_piece *piece, const struct pack_layout *l, char *block)
{
    uint32_t *ids = (uint32_t *)(block + l->ids);
    uint32_t *positions = (uint32_t *)(block + l->positions);
    uint32_t *types = (uint32_t *)(block + l->types);
    const size_t padding = (l->key.rows - piece->tokens) * sizeof *ids;
    memcpy(ids, piece->ids, piece->tokens * sizeof *ids);
    memset(ids + piece->tokens, 0, padding);
    memset(positions + piece->tokens, 0, padding);
    memset(types, 0, l->key.rows * sizeof *types);
    for (uint32_t t = 0; piece->types && t < piece->tokens; t++) types[t] = piece->types[t];
    for (uint32_t s = 0; s < piece->seqs; s++)
        for (uint32_t t = piece->cu[s]; t < piece->cu[s + 1]; t++) positions[t] = t - piece->cu[s];
}

static void fill_tiles(const struct lode_piece *piece, const struct pack_layout *l, char *block)
{
    struct lode_tile *tile = (struct lode_tile *)(block + l->tiles);
    const struct lode_tile *end = tile + l->key.tiles;
    for (uint32_t s = 0; s < piece->seqs; s++) {
        const uint32_t start = piece->cu[s], length = piece->cu[s + 1] - start;
        for (uint32_t first = 0; first < length; first += LODE_CUDA_TILE_ROWS) {
            lode_check(tile < end);
            *tile++ = (struct lode_tile){.start = start, .length = length, .first = first};
        }
    }
    while (tile < end) *tile++ = (struct lode_tile){.length = 0};
}

void lode_pack_fill(const struct lode_piece *piece, const struct pack_layout *layout, void *block)
{
    uint32_t *cu = (uint32_t *)((char *)block + layout->cu);
    fill_tokens(piece, layout, block);
    for (uint32_t s = 0; s <= layout->key.seqs; s++)
        cu[s] = piece->cu[s < piece->seqs ? s : piece->seqs];
    fill_tiles(piece, layout, block);
}
