/* SPDX-License-Identifier: MIT */
/* The planner: exact scan or graph, and why, in words.
 *
 * Exact search costs one step a candidate; the graph costs about ef steps, each worth
 * LODE_GRAPH_STEP_ROWS candidates of the scan, and a filter that lets through one row in n makes it
 * walk n times as far. Both costs grow with the vector size alike, so it cancels out. A device
 * reads every row it has, whatever the filter, LODE_DEVICE_ROWS_RATIO of them in one's time. */
#include <stdio.h>

#include "query/query_internal.h"

/* Measured on real sentence vectors: the ef that reaches this recall@10. */
static uint32_t ef_for(double recall_target, uint32_t k)
{
    static const struct {
        double recall;
        uint32_t ef;
    } steps[] = {{0.96, 36}, {0.985, 72}, {0.994, 136}, {1.0, 512}};
    size_t i = 0;
    while (i + 1 < sizeof steps / sizeof steps[0] && steps[i].recall < recall_target) i++;
    const uint64_t wide = (uint64_t)steps[i].ef * (k > 10 ? k : 10) / 10; /* grows with k */
    const uint64_t ef =
        k > 10 && wide > 2 * (uint64_t)k + steps[i].ef ? 2 * (uint64_t)k + steps[i].ef : wide;
    return ef > LODE_EF_MAX ? LODE_EF_MAX : (uint32_t)ef;
}

const char *lode_plan_exact(const char *device, bool filtered)
{
    if (device) return filtered ? "filtered exact scan (cuda)" : "exact scan (cuda)";
    return filtered ? "filtered exact scan" : "exact scan";
}

static bool settle(const struct plan_input *in, struct lode_plan *plan, bool exact)
{
    const bool on_device = lode_index_on_device(&in->facts, in->candidates, in->k);
    if (exact) {
        plan->method = lode_plan_exact(on_device ? in->facts.device : NULL, in->filtered);
        plan->ef = 0;
    } else {
        plan->method = in->filtered ? "filtered hnsw" : "hnsw";
    }
    return exact;
}

#define WHY(...) snprintf(plan->why, sizeof plan->why, __VA_ARGS__)

/* The reasons that leave no choice; true when one holds. */
static bool forced(const struct plan_input *in, struct lode_plan *plan)
{
    const char *none = in->facts.why_none ? in->facts.why_none : "none yet";
    if (in->mode == LODE_SEARCH_EXACT) {
        WHY("asked for");
    } else if (in->candidates == 0) {
        WHY("nothing to search: no live point%s", in->filtered ? " passes the filter" : "");
    } else if (!in->facts.has_graph) {
        WHY("%sno graph to walk (%s)",
            in->mode == LODE_SEARCH_ANN ? "approximate search was asked for, but there is " : "",
            in->facts.has_segment ? "the segment has codes only" : none);
    } else if (in->k >= LODE_EF_MAX && in->mode != LODE_SEARCH_ANN) {
        WHY("%u results are more than a graph walk is good for", in->k);
    } else {
        return false;
    }
    return true;
}

bool lode_plan_choose(const struct plan_input *in, struct lode_plan *plan)
{
    plan->candidates = in->candidates;
    if (forced(in, plan)) return settle(in, plan, true);
    uint32_t ef = in->ef ? in->ef : ef_for(in->recall_target, in->k);
    if (ef < in->k) ef = in->k > LODE_EF_MAX ? LODE_EF_MAX : in->k;
    plan->ef = ef;
    if (in->mode == LODE_SEARCH_ANN) {
        WHY("asked for");
        return settle(in, plan, false);
    }
    const double share = (double)in->candidates / (double)in->facts.live;
    const double even = (double)LODE_GRAPH_STEP_ROWS * (double)ef / share;
    const unsigned long long n = (unsigned long long)in->candidates;
    if (in->candidates <= LODE_EXACT_ROWS_MIN || (double)in->candidates <= even) {
        WHY("%llu candidates cost less to scan than to find in the graph", n);
        return settle(in, plan, true);
    }
    if (lode_index_on_device(&in->facts, in->candidates, in->k) &&
        (double)in->facts.device_rows <= even * LODE_DEVICE_ROWS_RATIO) {
        WHY("%llu rows on the device (%s) cost less to scan than %llu candidates to find in the "
            "graph",
            (unsigned long long)in->facts.device_rows, in->facts.device, n);
        return settle(in, plan, true);
    }
    if (share * 100 < LODE_GRAPH_SHARE_MIN) {
        WHY("the filter leaves %.2g %% of the points: too few for a walk through the graph",
            share * 100);
        return settle(in, plan, true);
    }
    WHY("%llu candidates, over the break-even of %.0f; ef %u for a recall of %.3g", n,
        even > LODE_EXACT_ROWS_MIN ? even : LODE_EXACT_ROWS_MIN, ef, in->recall_target);
    return settle(in, plan, false);
}
