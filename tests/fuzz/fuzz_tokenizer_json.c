/* SPDX-License-Identifier: MIT */
/* tokenizer.json and vocab.txt from anywhere: opening must end in a tokenizer that works, or in an
 * error. The first byte chooses: 'v' reads the rest as a vocabulary (with the config behind a NUL),
 * anything else the whole input as tokenizer.json. */
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "encoder/tokenizer/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lode_tokenizer *tok = NULL;
    struct lode_err err = LODE_ERR_INIT;
    struct lode_str all = lode_str_n((const char *)data, size);
    enum lode_code rc;
    if (size && data[0] == 'v') {
        struct lode_str rest = lode_str_sub(all, 1, size);
        struct lode_str vocab = lode_str_split(&rest, '\0');
        rc = lode_tokenizer_from_vocab(vocab, rest, &tok, &err);
    } else {
        rc = lode_tokenizer_from_json(all, &tok, &err);
    }
    lode_check((rc == LODE_OK) == (tok != NULL));
    if (tok) {
        struct lode_tokens t = LODE_TOKENS_INIT;
        lode_check(lode_tokenizer_encode(tok, LODE_STR("Caf\xc3\xa9 [MASK] a,b <x>"), 0, true, &t,
                                         &err) == LODE_OK);
        for (size_t i = 0; i < t.count; i++) lode_check(t.ids[i] < lode_tokenizer_vocab_size(tok));
        lode_tokens_release(&t);
    }
    lode_tokenizer_close(tok);
    return 0;
}
