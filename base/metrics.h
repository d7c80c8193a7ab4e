/* SPDX-License-Identifier: MIT */
/* Counters, gauges and histograms in a registry that the application owns, rendered as Prometheus
 * text (exposition format 0.0.4). Registering the same name and labels again returns the same
 * object. Updates are atomic, any thread. All functions accept NULL for the metric (then nothing is
 * counted), and registering in a NULL registry gives NULL. */
#ifndef LODE_BASE_METRICS_H
#define LODE_BASE_METRICS_H

#include <stdint.h>

#include "base/buf.h"

struct lode_metrics;
struct lode_counter; /* borrowed until the registry is freed */

struct lode_metrics *lode_metrics_new(void); /* NULL: out of memory */
void lode_metrics_free(struct lode_metrics *m);
/* name in Prometheus' form ("lode_..._total"); help one sentence; labels like  lane="query"  or "".
 * Copied. */
struct lode_counter *lode_metrics_counter(struct lode_metrics *m, const char *name,
                                          const char *help, const char *labels);
struct lode_counter *lode_metrics_gauge(struct lode_metrics *m, const char *name, const char *help,
                                        const char *labels);
/* Seconds, buckets 1 ms .. 60 s. */
struct lode_counter *lode_metrics_histogram(struct lode_metrics *m, const char *name,
                                            const char *help, const char *labels);
/* Counts of things, buckets 1, 2, 4 .. 16384. */
struct lode_counter *lode_metrics_sizes(struct lode_metrics *m, const char *name, const char *help,
                                        const char *labels);
void lode_metric_add(struct lode_counter *x, double by);
void lode_metric_set(struct lode_counter *x, double to);
void lode_metric_observe(struct lode_counter *x, double value); /* histogram */
double lode_metric_value(const struct lode_counter *x);         /* histogram: its count */
void lode_metrics_render(struct lode_metrics *m, struct lode_buf *out);

#endif
