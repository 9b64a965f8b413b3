/* diff_credentials.c - credentials, by their names: where they come from and which hosts get them. Names of places are shown; what programs are started
 * with is not. */
#include "policy/diff_values.h"

#include <stdio.h>

struct both {
    struct eg_diff *d;
    unsigned index[2];
    struct eg_credential c[2];
    struct eg_pair_of key;
};

static struct eg_pair_of *at(struct both *b, const char *key)
{
    eg_pair_name(&b->key, "credentials", b->c[1].name, key);
    return &b->key;
}

/* "env:NAME"; of a command the program alone. */
static const char *print_source(const struct eg_policy *p, unsigned i,
                                const struct eg_credential *c, char out[EG_DIFF_VALUE])
{
    static const char *const kinds[] = { "env:",     "file:", "keyring:", "kernel:",
                                         "systemd:", "cmd: ", "oauth2",   "aws_sigv4" };
    char place[120], account[80];
    struct eg_slice first = c->place;
    if (c->kind == EG_SOURCE_CMD && c->arg_count > 0)
        first = eg_policy_credential_arg(p, i, 0);
    snprintf(out, EG_DIFF_VALUE, "%s%s%s%s", kinds[c->kind],
             eg_pair_print(first, place, sizeof place), c->account.n ? "/" : "",
             eg_pair_print(c->account, account, sizeof account));
    return out;
}

static bool same_source(const struct both *b)
{
    const struct eg_credential *x = &b->c[0], *y = &b->c[1];
    if (x->kind != y->kind || !eg_slice_eq(x->place, y->place) ||
        !eg_slice_eq(x->account, y->account) || x->arg_count != y->arg_count || x->json != y->json)
        return false;
    for (unsigned i = 0; i < x->arg_count; i++)
        if (!eg_slice_eq(eg_policy_credential_arg(b->d->p[0], b->index[0], i),
                         eg_policy_credential_arg(b->d->p[1], b->index[1], i)))
            return false;
    return true;
}

static void compare_source(struct both *b)
{
    char before[EG_DIFF_VALUE], after[EG_DIFF_VALUE];
    if (same_source(b))
        return;
    print_source(b->d->p[0], b->index[0], &b->c[0], before);
    print_source(b->d->p[1], b->index[1], &b->c[1], after);
    eg_diff_setting(b->d, EG_CHANGE_CREDENTIAL, at(b, "from")->subject, before,
                    strcmp(before, after) == 0 ? "the same with other arguments" : after,
                    b->c[0].rule, b->c[1].rule);
}

static void add_hosts(struct eg_diff *d, unsigned side, unsigned index, struct eg_pair_list *l)
{
    const struct eg_policy *p = d->p[side];
    const struct eg_block_credential *c = &p->credentials[index];
    for (uint32_t i = 0; i < c->hosts.count; i++) {
        const struct eg_block_host *h = &p->hosts[c->hosts.first + i];
        struct eg_slice host = eg_block_slice(p, h->host);
        struct eg_addr a = { h->family, { 0 } };
        char text[EG_HOST_MAX + 8], addr[EG_ADDR_TEXT];
        memcpy(a.b, h->b, sizeof a.b);
        if (h->kind == EG_PATTERN_PREFIX)
            snprintf(text, sizeof text, "%s/%u", eg_addr_format(&a, addr, sizeof addr),
                     (unsigned)h->bits);
        else
            snprintf(text, sizeof text, "%s%.*s", h->kind == EG_PATTERN_BELOW ? "*." : "",
                     (int)host.n, host.p);
        eg_pair_add(l, eg_diff_copy(d, eg_slice_str(text)));
    }
}

static void compare_hosts(struct both *b)
{
    struct eg_pair_list hosts[2] = { { .count = 0 }, { .count = 0 } };
    for (unsigned i = 0; i < 2; i++)
        add_hosts(b->d, i, b->index[i], &hosts[i]);
    eg_pair_lists(at(b, "hosts"), EG_CHANGE_CREDENTIAL, EG_CHANGE_CREDENTIAL, &hosts[0], &hosts[1]);
}

static void compare_oauth2(struct both *b)
{
    static const char *const grants[] = { "client_credentials", "refresh_token", "jwt_bearer",
                                          "github_app" };
    struct eg_oauth2 x, y;
    const enum eg_change_label label = EG_CHANGE_CREDENTIAL;
    eg_policy_credential_oauth2(b->d->p[0], b->index[0], &x);
    eg_policy_credential_oauth2(b->d->p[1], b->index[1], &y);
    eg_pair_text(at(b, "oauth2.grant"), label, eg_slice_str(grants[x.grant]),
                 eg_slice_str(grants[y.grant]));
    eg_pair_text(at(b, "oauth2.token_url"), label, x.path, y.path);
    eg_pair_text(at(b, "oauth2.client_id"), label, x.client_id, y.client_id);
    eg_pair_text(at(b, "oauth2.scope"), label, x.scope, y.scope);
    eg_pair_text(at(b, "oauth2.audience"), label, x.audience, y.audience);
    eg_pair_text(at(b, "oauth2.issuer"), label, x.issuer, y.issuer);
    eg_pair_text(at(b, "oauth2.subject"), label, x.subject, y.subject);
    eg_pair_text(at(b, "oauth2.auth"), label, eg_slice_str(x.basic ? "basic" : "body"),
                 eg_slice_str(y.basic ? "basic" : "body"));
}

static void compare_derived(struct both *b)
{
    struct eg_sigv4_scope x, y;
    if (b->c[0].kind != b->c[1].kind)
        return;
    if (b->c[0].kind == EG_SOURCE_OAUTH2)
        compare_oauth2(b);
    if (b->c[0].kind != EG_SOURCE_SIGV4)
        return;
    eg_policy_credential_sigv4(b->d->p[0], b->index[0], &x);
    eg_policy_credential_sigv4(b->d->p[1], b->index[1], &y);
    eg_pair_text(at(b, "aws_sigv4.region"), EG_CHANGE_CREDENTIAL, x.region, y.region);
    eg_pair_text(at(b, "aws_sigv4.service"), EG_CHANGE_CREDENTIAL, x.service, y.service);
}

static void compare_life(struct both *b)
{
    const struct eg_credential *x = &b->c[0], *y = &b->c[1];
    const struct {
        const char *key;
        uint64_t a, b;
    } times[] = { { "ttl", x->ttl_ms, y->ttl_ms }, { "timeout", x->timeout_ms, y->timeout_ms } };
    for (unsigned i = 0; i < 2; i++) {
        char before[32], after[32];
        snprintf(before, sizeof before, "%llums", (unsigned long long)times[i].a);
        snprintf(after, sizeof after, "%llums", (unsigned long long)times[i].b);
        if (times[i].a != times[i].b)
            eg_diff_setting(b->d, EG_CHANGE_NEUTRAL, at(b, times[i].key)->subject,
                            times[i].a ? before : "none", times[i].b ? after : "none", x->rule,
                            y->rule);
    }
    eg_pair_text(at(b, "load"), EG_CHANGE_NEUTRAL, eg_slice_str(x->lazy ? "lazy" : "start"),
                 eg_slice_str(y->lazy ? "lazy" : "start"));
}

static void lone(struct eg_diff *d, unsigned side, unsigned index)
{
    struct eg_pair_of key = { .d = d };
    struct eg_credential c;
    struct eg_slice rule[2] = { EG_SLICE_NONE, EG_SLICE_NONE };
    char source[EG_DIFF_VALUE];
    eg_policy_credential(d->p[side], index, &c);
    rule[side] = c.rule;
    eg_pair_name(&key, "credentials", c.name, "");
    print_source(d->p[side], index, &c, source);
    eg_diff_setting(d, EG_CHANGE_CREDENTIAL, key.subject, side == 0 ? source : "none",
                    side == 0 ? "none" : source, rule[0], rule[1]);
}

static void one_credential(struct eg_diff *d, unsigned x, unsigned y)
{
    struct both b = { .d = d, .index = { x, y }, .key = { .d = d } };
    for (unsigned i = 0; i < 2; i++) {
        eg_policy_credential(d->p[i], b.index[i], &b.c[i]);
        b.key.rule[i] = b.c[i].rule;
    }
    compare_source(&b);
    compare_hosts(&b);
    compare_derived(&b);
    compare_life(&b);
    eg_arena_reset(&d->scratch);
}

void eg_diff_credentials(struct eg_diff *d)
{
    struct eg_credential c;
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < eg_policy_credential_count(d->p[side]) && d->status == EG_OK;
             i++) {
            eg_policy_credential(d->p[side], i, &c);
            int other = eg_policy_credential_find(d->p[1 - side], c.name);
            if (other < 0)
                lone(d, side, i);
            else if (side == 0)
                one_credential(d, i, (unsigned)other);
        }
}
