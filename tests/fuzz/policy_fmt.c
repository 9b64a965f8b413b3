/* policy_fmt.c - fuzzes the layout of policy files: what can be read is laid out or left alone, and stays so when it is laid out again; and it is the
 * same policy then: valid or not, and with the same identity. What `policy learn` puts into it leaves it valid, and allows what was refused. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>

#include "policy/explain.h"
#include "policy/fmt.h"
#include "policy/learn.h"

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

static struct eg_policy *compile(struct eg_slice text, struct eg_buf *block)
{
    const struct eg_policy_file file = { "egress.yaml", text, EG_LAYER_REPO, true };
    struct eg_diags *diags = NULL;
    struct eg_policy *p = NULL;
    eg_buf_init(block, 16 << 20);
    if (eg_diags_new(&diags) != EG_OK)
        abort();
    if (eg_policy_compile(&file, 1, NULL, diags, block, NULL) == EG_OK &&
        eg_policy_open(block->data, block->len, &p, NULL) != EG_OK)
        abort();
    eg_diags_free(diags);
    return p;
}

static struct eg_learn *learn_of(const struct eg_policy *p)
{
    static const char *const hosts[] = { "new.example:443", "odd.example:8443", "a.example:443" };
    struct eg_learn *l = NULL;
    if (eg_learn_new(p, NULL, &l) != EG_OK)
        abort();
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        struct eg_learn_seen seen = { .method = EG_SLICE("CONNECT"), .reason = EG_HOST_NOT_ALLOWED };
        if (eg_authority_parse(eg_slice_str(hosts[i]), 443, &seen.to, NULL) != EG_OK || eg_learn_add(l, &seen) != EG_OK)
            abort();
    }
    for (unsigned i = 0; i < eg_policy_service_count(p) && i < 3; i++) {
        struct eg_service s;
        struct eg_learn_seen seen = { .method = EG_SLICE("PATCH"), .path = EG_SLICE("/new/0123456789abcdef"), .reason = EG_RULE_DENIED };
        eg_policy_service(p, i, &s);
        seen.to = s.upstream;
        seen.service = s.name;
        if (eg_learn_add(l, &seen) != EG_OK)
            abort();
    }
    if (eg_learn_finish(l) != EG_OK)
        abort();
    return l;
}

/* What is proposed and has found a place is learnt no more. */
static void learn(struct eg_slice text)
{
    const struct eg_policy_file file = { "egress.yaml", text, EG_LAYER_REPO, true };
    struct eg_buf block, after_block, out;
    struct eg_diags *diags = NULL;
    struct eg_policy *p = compile(text, &block), *after;
    if (!p) {
        eg_buf_done(&block);
        return;
    }
    struct eg_learn *l = learn_of(p), *again;
    eg_buf_init(&out, 16 << 20);
    if (eg_diags_new(&diags) != EG_OK || eg_learn_patch(l, &file, diags, &out, NULL) != EG_OK)
        abort();
    after = compile(eg_buf_slice(&out), &after_block);
    if (!after)
        abort();
    again = learn_of(after);
    unsigned placed = 0, left = 0;
    for (unsigned i = 0; i < eg_learn_count(l); i++)
        placed += eg_learn_at(l, i)->placed && eg_learn_at(l, i)->why.n == 0;
    for (unsigned i = 0; i < eg_learn_count(again); i++)
        left += eg_learn_at(again, i)->why.n == 0;
    unsigned all = 0;
    for (unsigned i = 0; i < eg_learn_count(l); i++)
        all += eg_learn_at(l, i)->why.n == 0;
    if (left + placed != all)
        abort();
    eg_learn_free(again);
    eg_learn_free(l);
    eg_policy_close(after);
    eg_policy_close(p);
    eg_diags_free(diags);
    eg_buf_done(&after_block);
    eg_buf_done(&block);
    eg_buf_done(&out);
}

/* Its identity; false where it is not valid. */
static bool identity(struct eg_slice text, unsigned char id[32])
{
    struct eg_buf block;
    struct eg_policy *p = compile(text, &block);
    bool ok = p != NULL;
    if (ok)
        memcpy(id, eg_policy_id(p), 32);
    if (ok)
        eg_policy_close(p);
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
        bool valid = identity(text, ids[0]);
        /* Lists in lists, which no policy has, may settle at the second time. */
        if (lay_out(eg_buf_slice(&once), &twice) != EG_OK ||
            (valid && !eg_slice_eq(eg_buf_slice(&once), eg_buf_slice(&twice))))
            abort();
        if (valid != identity(eg_buf_slice(&once), ids[1]) ||
            (valid && memcmp(ids[0], ids[1], 32) != 0))
            abort();
        learn(text);
    }
    eg_buf_done(&once);
    eg_buf_done(&twice);
    return 0;
}
