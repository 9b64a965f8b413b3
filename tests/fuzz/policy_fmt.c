/* policy_fmt.c - fuzzes the layout of policy files: what can be read is laid out or left alone, and stays so when it is laid out again; and it is the
 * same policy then: valid or not, and with the same identity. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>

#include "policy/fmt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum eg_status lay_out(struct eg_slice text, struct eg_buf *out)
{
    const struct eg_policy_file file = { "egress.yaml", text, EG_LAYER_REPO, true };
    struct eg_diags *diags = NULL;
    if (eg_diags_new(&diags) != EG_OK)
        abort();
    enum eg_status st = eg_policy_fmt(&file, diags, out, NULL);
    if ((st == EG_INVALID) != (eg_diags_count(diags, EG_DIAG_ERROR) > 0))
        abort();
    if (st != EG_OK && out->len > 0)
        abort();
    eg_diags_free(diags);
    return st;
}

/* Its identity; false where it is not valid. */
static bool identity(struct eg_slice text, unsigned char id[32])
{
    const struct eg_policy_file file = { "egress.yaml", text, EG_LAYER_REPO, true };
    struct eg_diags *diags = NULL;
    struct eg_policy *p = NULL;
    struct eg_buf block;
    eg_buf_init(&block, 16 << 20);
    if (eg_diags_new(&diags) != EG_OK)
        abort();
    bool ok = eg_policy_compile(&file, 1, NULL, diags, &block, NULL) == EG_OK;
    if (ok && eg_policy_open(block.data, block.len, &p, NULL) != EG_OK)
        abort();
    if (ok)
        memcpy(id, eg_policy_id(p), 32);
    if (ok)
        eg_policy_close(p);
    eg_diags_free(diags);
    eg_buf_done(&block);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct eg_slice text = eg_slice(data, size);
    struct eg_buf once, twice;
    unsigned char ids[2][32];
    if (sodium_init() < 0)
        return 0;
    eg_buf_init(&once, 16 << 20);
    eg_buf_init(&twice, 16 << 20);
    if (lay_out(text, &once) == EG_OK) {
        if (lay_out(eg_buf_slice(&once), &twice) != EG_OK ||
            !eg_slice_eq(eg_buf_slice(&once), eg_buf_slice(&twice)))
            abort();
        bool valid = identity(text, ids[0]);
        if (valid != identity(eg_buf_slice(&once), ids[1]) ||
            (valid && memcmp(ids[0], ids[1], 32) != 0))
            abort();
    }
    eg_buf_done(&once);
    eg_buf_done(&twice);
    return 0;
}
