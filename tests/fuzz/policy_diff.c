/* policy_diff.c - fuzzes the comparison of two policies: two files, divided by "---" on a line of its own. Whatever they are, the comparison ends; each
 * example that it gives is answered differently; it reports something one way where it does the other way; and where it reports nothing, each of a fixed
 * set of questions is answered alike. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>

#include "policy/compile.h"
#include "policy/diff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BLOCK_MAX = 4 << 20 };

struct seen {
    const struct eg_policy *p[2];
    unsigned changes;
};

static struct eg_policy *compile(struct eg_slice text, struct eg_buf *block)
{
    const struct eg_policy_file file = { "egress.yaml", text, EG_LAYER_ORG, true };
    struct eg_diags *d = NULL;
    struct eg_policy *p = NULL;
    if (eg_diags_new(&d) != EG_OK)
        return NULL;
    enum eg_status st = eg_policy_compile(&file, 1, NULL, d, block, NULL);
    if (st == EG_OK && eg_policy_open(block->data, block->len, &p, NULL) != EG_OK)
        abort();
    eg_diags_free(d);
    return p;
}

static void take(void *ctx, const struct eg_change *c)
{
    struct seen *s = ctx;
    struct eg_verdict v[2];
    s->changes++;
    if (!c->asked || c->kind == EG_CHANGE_ADDRESS)
        return;
    for (unsigned i = 0; i < 2; i++)
        eg_policy_ask(s->p[i], &c->ask[i], &v[i]);
    if (!eg_policy_diff_tells(c->kind, &v[0], &v[1]))
        abort();
}

static unsigned compare(const struct eg_policy *a, const struct eg_policy *b)
{
    struct seen s = { .p = { a, b } };
    enum eg_status st = eg_policy_diff(a, b, take, &s);
    if (st != EG_OK && st != EG_NOMEM)
        abort();
    return st == EG_OK ? s.changes : UINT32_MAX;
}

/* Questions that have nothing to do with how the comparison finds its own. */
static void ask_alike(const struct eg_policy *a, const struct eg_policy *b)
{
    static const char *const hosts[] = { "a.example",     "b.example",      "x.a.example",
                                         "y.x.a.example", "a.test",         "8.8.8.8",
                                         "10.0.0.1",      "64:ff9b::a00:1", "metadata",
                                         "192.168.0.1",   "2001:db8::1",    "c.b.test" };
    static const uint16_t ports[] = { 443, 80, 22, 8080 };
    static const char *const paths[] = { "/", "/a", "/a/b", "/v1/x", "/a%2Fb", "/a;x", "/a/" };
    static const char *const methods[] = { "GET", "POST", "get", "DELETE" };
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        for (size_t k = 0; k < sizeof ports / sizeof *ports; k++) {
            struct eg_ask ask = { .kind = EG_ASK_TUNNEL };
            struct eg_verdict v, w;
            if (eg_host_parse(eg_slice_str(hosts[i]), &ask.to, NULL) != EG_OK)
                abort();
            ask.to.port = ports[k];
            eg_policy_ask(a, &ask, &v);
            eg_policy_ask(b, &ask, &w);
            if (eg_policy_diff_tells(EG_CHANGE_TUNNEL, &v, &w))
                abort();
            ask.kind = EG_ASK_HTTP;
            for (size_t n = 0; n < 28; n++) {
                ask.method = eg_slice_str(methods[n / 7]);
                ask.path = eg_slice_str(paths[n % 7]);
                eg_policy_ask(a, &ask, &v);
                eg_policy_ask(b, &ask, &w);
                if (eg_policy_diff_tells(EG_CHANGE_REQUEST, &v, &w))
                    abort();
            }
        }
}

static void run(struct eg_slice first, struct eg_slice second)
{
    struct eg_buf block[2];
    struct eg_policy *p[2];
    const struct eg_slice texts[2] = { first, second };
    for (unsigned i = 0; i < 2; i++) {
        eg_buf_init(&block[i], BLOCK_MAX);
        p[i] = compile(texts[i], &block[i]);
    }
    if (p[0] && p[1]) {
        unsigned there = compare(p[0], p[1]), back = compare(p[1], p[0]);
        if ((there == 0) != (back == 0))
            abort();
        if (there == 0)
            ask_alike(p[0], p[1]);
        if (compare(p[0], p[0]) != 0)
            abort();
    }
    for (unsigned i = 0; i < 2; i++) {
        eg_policy_close(p[i]);
        eg_buf_done(&block[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char border[] = "\n---\n";
    if (sodium_init() < 0 || size > 8192)
        return 0;
    const char *middle = memmem(data, size, border, sizeof border - 1);
    if (!middle)
        return 0;
    size_t head = (size_t)(middle - (const char *)data) + 1;
    size_t tail = head + sizeof border - 2;
    run(eg_slice(data, head), eg_slice(data + tail, size - tail));
    return 0;
}
