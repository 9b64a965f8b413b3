/* advise.c - a verdict as the next step for a person. It decides nothing. */
#include "policy/block.h"

#include <stdio.h>

/* "no rule names it; add it to allow in FILE", by emit.c */
struct eg_slice eg_block_file(const struct eg_policy *p)
{
    struct eg_slice text = eg_block_slice(p, p->head->settings.file);
    const char *in = text.n ? strstr(text.p, "in ") : NULL;
    return in ? eg_slice_from(text, (size_t)(in - text.p) + 3) : text;
}

char *eg_policy_advise(const struct eg_policy *p, const struct eg_verdict *v,
                       const struct eg_authority *to, char *out, size_t cap)
{
    char text[EG_AUTHORITY_TEXT];
    struct eg_slice file = eg_block_slice(p, p->head->settings.file), name = eg_block_file(p);
    struct eg_slice host = eg_authority_host(to);
    bool route = v->detail.p >= p->pool && v->detail.p < p->pool + p->count[EG_BLOCK_POOL] &&
                 v->detail.p != file.p;
    if (v->status == EG_HOST_NOT_ALLOWED && route) /* a service has the host */
        snprintf(out, cap, "%.*s", (int)v->detail.n, v->detail.p);
    else if (v->status == EG_HOST_NOT_ALLOWED && to->literal)
        snprintf(out, cap, "add \"- {address: '%.*s', ports: [%u]}\" to allow in %.*s", (int)host.n,
                 host.p, to->port, (int)name.n, name.p);
    else if (v->status == EG_HOST_NOT_ALLOWED)
        snprintf(out, cap, "add \"- %.*s\" to allow in %.*s", (int)host.n, host.p, (int)name.n,
                 name.p);
    else if (v->status == EG_PORT_NOT_ALLOWED)
        snprintf(out, cap, "%.*s; %s is not among them", (int)v->detail.n, v->detail.p,
                 eg_authority_format(to, 0, text, sizeof text));
    else
        snprintf(out, cap, "%.*s", (int)v->detail.n, v->detail.p ? v->detail.p : "");
    return out;
}
