/* SPDX-License-Identifier: MIT */
/* API keys: "lode_" + 16 hex digits of id + "_" + 43 characters of base64url (32 random bytes) + 8
 * hex digits of CRC-32C over all before them. The id is public and finds the record; only SHA-256
 * of the whole key is stored (right for 256 random bits: no slow hash is needed). The fixed start
 * and the CRC let leak scanners and typing errors be recognised without a look-up. Any thread. */
#ifndef LODE_GATEWAY_MW_AUTH_H
#define LODE_GATEWAY_MW_AUTH_H

#include "base/err.h"
#include "base/str.h"
#include "storage/records.h"

enum { LODE_KEY_TEXT = 5 + 16 + 1 + 43 + 8 + 1 }; /* with NUL */

/* Makes a new key: *record is what to store (LODE_OP_PUT_KEY), text what to show once. name: 1 ..
 * LODE_NAME_MAX bytes, for people. LODE_EINVAL names what is wrong. */
enum lode_code lode_auth_new_key(struct lode_str name, enum lode_role role, struct lode_key *record,
                                 char text[LODE_KEY_TEXT], struct lode_err *err);
/* "read", "write", "admin". */
bool lode_auth_role_parse(struct lode_str name, enum lode_role *out);
const char *lode_auth_role_name(enum lode_role role);

/* The record of a presented key. LODE_EAUTH, always with the same words, when it is malformed,
 * unknown or its secret is wrong (compared in constant time). */
enum lode_code lode_auth_check(const struct lode_rtxn *txn, struct lode_str key,
                               struct lode_key *out, struct lode_err *err);

#endif
