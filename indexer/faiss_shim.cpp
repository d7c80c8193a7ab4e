/* SPDX-License-Identifier: MIT */
/* THE ONLY file that knows FAISS (1.7.3 to 1.11). What has to be known about it:
 *  - IndexHNSW takes any Index as its storage and asks it for distances only, so the storage below
 *    keeps no vectors: its "vectors" have one dimension, the node's number, and set_query reads it.
 *  - The storage is labelled METRIC_L2: an inner-product label wraps every call once more.
 *  - Adding one by one costs a pass over all nodes each; batches of thousands do not.
 *  - An exception inside an OpenMP region would end the process, so nothing in ours throws. */
#include <omp.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <vector>

#include <faiss/Index.h>
#include <faiss/IndexHNSW.h>
#include <faiss/impl/DistanceComputer.h>

#include "indexer/faiss_shim.h"

namespace
{

class Distances final : public faiss::DistanceComputer
{
  public:
    explicit Distances(const lode_graph_codes &codes) : codes_(codes)
    {
    }

    void set_query(const float *x) override
    {
        std::memcpy(&query_, x, sizeof(query_));
    }
    float operator()(int64_t i) override
    {
        return between(query_, static_cast<size_t>(i));
    }
    float symmetric_dis(int64_t i, int64_t j) override
    {
        return between(static_cast<size_t>(i), static_cast<size_t>(j));
    }

  private:
    float between(size_t a, size_t b) const
    {
        const int32_t dot = codes_.dot(codes_.codes + a * codes_.bytes,
                                       codes_.codes + b * codes_.bytes, codes_.bytes);
        const float near =
            static_cast<float>(dot) * (codes_.weight * codes_.scale[a] * codes_.scale[b]);
        if (!codes_.norm) return -near;
        return codes_.norm[a] * codes_.norm[a] + codes_.norm[b] * codes_.norm[b] - near;
    }

    const lode_graph_codes &codes_;
    uint32_t query_ = 0;
};

class Storage final : public faiss::Index
{
  public:
    explicit Storage(const lode_graph_codes &codes)
        : faiss::Index(1, faiss::METRIC_L2), codes_(codes)
    {
        is_trained = true;
    }
    void add(int64_t n, const float *) override
    {
        ntotal += n;
    }
    void reset() override
    {
        ntotal = 0;
    }
    void search(int64_t, const float *, int64_t, float *, int64_t *,
                const faiss::SearchParameters *) const override
    {
        throw std::runtime_error("the graph's storage does not search");
    }
    faiss::DistanceComputer *get_distance_computer() const override
    {
        return new Distances(codes_);
    }

  private:
    const lode_graph_codes &codes_;
};

int failed(char *message, const char *what)
{
    std::snprintf(message, LODE_GRAPH_MESSAGE, "%s", what);
    return -1;
}

} // namespace

struct lode_graph {
    lode_graph(const lode_graph_codes &c, int m) : codes(c), storage(codes), index(&storage, m)
    {
        index.own_fields = false;
    }
    const lode_graph_codes codes;
    Storage storage;
    faiss::IndexHNSW index;
};

extern "C" {

lode_graph *lode_graph_new(const lode_graph_codes *codes, unsigned m, unsigned ef_construction,
                           char *message)
{
    try {
        auto *g = new lode_graph(*codes, static_cast<int>(m));
        g->index.hnsw.efConstruction = static_cast<int>(ef_construction);
        return g;
    } catch (const std::exception &e) {
        failed(message, e.what());
    } catch (...) {
        failed(message, "unknown failure");
    }
    return nullptr;
}

void lode_graph_free(lode_graph *g)
{
    delete g;
}

int lode_graph_add(lode_graph *g, size_t count, unsigned threads, char *message)
{
    const int before = omp_get_max_threads();
    int rc = 0;
    try {
        std::vector<float> nodes(count); /* node numbers, as bit patterns */
        for (size_t i = 0; i < count; i++) {
            const uint32_t node = static_cast<uint32_t>(static_cast<size_t>(g->index.ntotal) + i);
            std::memcpy(&nodes[i], &node, sizeof(node));
        }
        omp_set_num_threads(static_cast<int>(threads));
        g->index.add(static_cast<int64_t>(count), nodes.data());
    } catch (const std::exception &e) {
        rc = failed(message, e.what());
    } catch (...) {
        rc = failed(message, "unknown failure");
    }
    omp_set_num_threads(before);
    return rc;
}

uint32_t lode_graph_entry(const lode_graph *g)
{
    return static_cast<uint32_t>(g->index.hnsw.entry_point);
}

unsigned lode_graph_top_level(const lode_graph *g)
{
    return static_cast<unsigned>(g->index.hnsw.max_level);
}

unsigned lode_graph_levels(const lode_graph *g, uint32_t node)
{
    return static_cast<unsigned>(g->index.hnsw.levels[node]);
}

const int32_t *lode_graph_links(const lode_graph *g, uint32_t node, unsigned level, size_t *count)
{
    size_t begin = 0, end = 0;
    g->index.hnsw.neighbor_range(node, static_cast<int>(level), &begin, &end);
    *count = end - begin;
    return &g->index.hnsw.neighbors[begin];
}

} /* extern "C" */
