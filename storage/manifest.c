/* SPDX-License-Identifier: MIT */
/* The manifest of a backup: what it holds, how long and with which hash, so that a restore knows
 * before it touches anything. JSON:
 *   {"kind":"lode backup","format":1,"created":"...","files":[{"name","bytes","sha256"}]} */
#include "storage/manifest_internal.h"

#include "base/clock.h"
#include "base/json.h"

enum { MANIFEST_BYTES_MAX = 64 << 10 };
static const char kind[] = "lode backup";

enum lode_code lode_manifest_write(const char *folder, const struct lode_file_sum *sum,
                                   struct lode_err *err)
{
    char path[LODE_PATH_CAP], hex[LODE_SHA256_HEX + 1], created[LODE_TIME_TEXT];
    struct lode_buf buf;
    struct lode_jw w;
    LODE_TRY(lode_path_join(path, folder, LODE_MANIFEST, err));
    lode_hex(sum->sha256, sizeof sum->sha256, hex);
    lode_time_format(lode_wall_ms(), created);
    lode_buf_init(&buf, MANIFEST_BYTES_MAX);
    lode_jw_init(&w, &buf);
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "kind");
    lode_jw_strz(&w, kind);
    lode_jw_key(&w, "format");
    lode_jw_u64(&w, LODE_FORMAT);
    lode_jw_key(&w, "created");
    lode_jw_strz(&w, created);
    lode_jw_key(&w, "files");
    lode_jw_begin(&w, '[');
    lode_jw_begin(&w, '{');
    lode_jw_key(&w, "name");
    lode_jw_strz(&w, LODE_DATA_FILE);
    lode_jw_key(&w, "bytes");
    lode_jw_u64(&w, sum->bytes);
    lode_jw_key(&w, "sha256");
    lode_jw_strz(&w, hex);
    lode_jw_end(&w, '}');
    lode_jw_end(&w, ']');
    lode_jw_end(&w, '}');
    lode_buf_add_char(&buf, '\n');
    enum lode_code rc = lode_buf_ok(&buf, LODE_MANIFEST, err);
    if (!rc) rc = lode_file_replace(path, buf.ptr, buf.len, 0600, err);
    lode_buf_release(&buf);
    return rc;
}

static bool unhex(struct lode_str hex, uint8_t out[LODE_SHA256_BYTES])
{
    if (hex.len != LODE_SHA256_HEX) return false;
    memset(out, 0, LODE_SHA256_BYTES);
    for (size_t i = 0; i < hex.len; i++) {
        const char c = hex.ptr[i];
        int digit = -1;
        if (c >= '0' && c <= '9') digit = c - '0';
        if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
        if (digit < 0) return false;
        out[i / 2] = (uint8_t)(out[i / 2] << 4 | digit);
    }
    return true;
}

static enum lode_code parse(const struct lode_jv *root, const char *folder,
                            struct lode_file_sum *out, struct lode_err *err)
{
    const struct lode_jv *files;
    struct lode_str text;
    uint64_t format;
    LODE_TRY(lode_jneed_str(root, "", "kind", &text, err));
    if (!lode_str_eqz(text, kind))
        return lode_fail(err, LODE_ECORRUPT, "%s: is not a backup of lode", folder);
    LODE_TRY(lode_jneed_u64(root, "", "format", 1, UINT32_MAX, &format, err));
    if (format > LODE_FORMAT)
        return lode_fail(err, LODE_EVERSION,
                         "%s: the backup has format %llu, this program knows up to %d", folder,
                         (unsigned long long)format, LODE_FORMAT);
    LODE_TRY(lode_jneed(root, "", "files", LODE_J_ARRAY, &files, err));
    const struct lode_jv *file = lode_jv_first(files);
    LODE_TRY(lode_jneed_str(file, "files[0]", "name", &text, err));
    if (lode_jv_count(files) != 1 || !lode_str_eqz(text, LODE_DATA_FILE))
        return lode_fail(err, LODE_ECORRUPT, "%s: %s must name %s alone", folder, LODE_MANIFEST,
                         LODE_DATA_FILE);
    LODE_TRY(lode_jneed_u64(file, "files[0]", "bytes", 1, UINT64_MAX, &out->bytes, err));
    LODE_TRY(lode_jneed_str(file, "files[0]", "sha256", &text, err));
    if (!unhex(text, out->sha256))
        return lode_fail(err, LODE_ECORRUPT, "%s: %s: sha256 must have %d hex digits", folder,
                         LODE_MANIFEST, LODE_SHA256_HEX);
    return LODE_OK;
}

enum lode_code lode_manifest_read(const char *folder, struct lode_file_sum *out,
                                  struct lode_err *err)
{
    char path[LODE_PATH_CAP];
    struct lode_buf buf;
    struct lode_json *doc = NULL;
    LODE_TRY(lode_path_join(path, folder, LODE_MANIFEST, err));
    lode_buf_init(&buf, MANIFEST_BYTES_MAX);
    enum lode_code rc = lode_file_read(path, MANIFEST_BYTES_MAX, &buf, err);
    if (!rc) rc = lode_json_parse(lode_buf_str(&buf), MANIFEST_BYTES_MAX, &doc, err);
    if (!rc) rc = parse(lode_json_root(doc), folder, out, err);
    if (rc == LODE_EINVAL) { /* malformed, but not by the user */
        err->code = LODE_ECORRUPT;
        rc = lode_err_prefix(err, "%s", path);
    }
    lode_json_free(doc);
    lode_buf_release(&buf);
    return rc;
}
