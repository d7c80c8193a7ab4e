/* SPDX-License-Identifier: MIT */
/* Counting what a run has done. Time left is judged by bytes of input: their number is known once
 * the walk is over, and files that were merely skipped do not count for the rate. */
#include "indexer/pipeline_internal.h"

#include "base/clock.h"

void lode_progress_totals(struct lode_run *run, uint64_t files, uint64_t bytes)
{
    pthread_mutex_lock(&run->lock);
    run->progress.files_total += files;
    run->progress.bytes_total += bytes;
    pthread_mutex_unlock(&run->lock);
}

void lode_progress_skipped_file(struct lode_run *run, const struct lode_ingest_file *file,
                                uint64_t unchanged)
{
    pthread_mutex_lock(&run->lock);
    run->progress.files_done++;
    run->progress.bytes_done += file->bytes - file->bytes_reported;
    run->progress.documents += unchanged;
    run->progress.unchanged += unchanged;
    pthread_mutex_unlock(&run->lock);
}

void lode_progress_unchanged(struct lode_run *run)
{
    pthread_mutex_lock(&run->lock);
    run->progress.documents++;
    run->progress.unchanged++;
    pthread_mutex_unlock(&run->lock);
}

void lode_progress_committed(struct lode_run *run, const struct lode_item *item)
{
    struct lode_ingest_progress *p = &run->progress;
    pthread_mutex_lock(&run->lock);
    p->bytes_done += item->progress_bytes;
    run->worked_bytes += item->progress_bytes;
    if (item->kind == LODE_ITEM_FILE_END) p->files_done++;
    if (item->kind == LODE_ITEM_DOCUMENT) {
        p->documents++;
        p->replaced += item->replaces;
        p->chunks += item->doc.chunk_count;
        p->tokens += item->tokens;
        p->truncated += item->truncated;
        p->cached += item->cached_count;
    }
    pthread_mutex_unlock(&run->lock);
}

void lode_progress_removed(struct lode_run *run, uint64_t count)
{
    pthread_mutex_lock(&run->lock);
    run->progress.removed += count;
    pthread_mutex_unlock(&run->lock);
}

void lode_progress_snapshot(struct lode_run *run, struct lode_ingest_progress *out)
{
    pthread_mutex_lock(&run->lock);
    *out = run->progress;
    out->seconds = lode_seconds_since(run->start_ns);
    out->chunks_per_s = out->seconds > 0 ? (double)out->chunks / out->seconds : 0;
    out->eta_s = -1;
    if (out->bytes_total && run->worked_bytes && out->bytes_done <= out->bytes_total)
        out->eta_s =
            (double)(out->bytes_total - out->bytes_done) * out->seconds / (double)run->worked_bytes;
    pthread_mutex_unlock(&run->lock);
}
