/* SPDX-License-Identifier: MIT */
/* base/digest_plain.c under other names, beside OpenSSL's in one program. */
#define lode_sha256      model_sha256
#define lode_sha256_init model_sha256_init
#define lode_sha256_add  model_sha256_add
#define lode_sha256_end  model_sha256_end
#include "base/digest_plain.c"
