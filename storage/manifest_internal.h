/* SPDX-License-Identifier: MIT */
/* The manifest of a backup folder; see manifest.c for its form. */
#ifndef LODE_STORAGE_MANIFEST_INTERNAL_H
#define LODE_STORAGE_MANIFEST_INTERNAL_H

#include "base/hash.h"
#include "storage/copy_internal.h"

enum lode_code lode_manifest_write(const char *folder, const struct lode_file_sum *sum,
                                   struct lode_err *err);
/* LODE_ECORRUPT when it is none; LODE_EVERSION when a newer program made the backup. */
enum lode_code lode_manifest_read(const char *folder, struct lode_file_sum *out,
                                  struct lode_err *err);

#endif
