/* diff_services.c - services, matched by the route that children use, and credentials, by their names.
 *
 * What a route lets through is asked of both policies. All else of a service is compared as it is: where it has a credential, whatever says who gets it,
 * where it comes in and how it is guarded is a change of the label "credential". */
#include "policy/diff_values.h"

#include <stdio.h>

struct both { /* one service */
    struct eg_diff *d;
    struct eg_service s[2];
    enum eg_change_label guard; /* of what would be "credential" if it has one */
    struct eg_pair_of key;
};

/* ---- members of a service ---- */

static struct eg_pair_of *at(struct both *b, const char *key)
{
    eg_pair_name(&b->key, "services", b->s[1].name, key);
    return &b->key;
}

static struct eg_slice print_upstream(struct eg_diff *d, const struct eg_service *s)
{
    char to[EG_AUTHORITY_TEXT], text[EG_AUTHORITY_TEXT + 1100];
    int n = snprintf(text, sizeof text, "%s://%s%.*s", s->tls ? "https" : "http",
                     eg_authority_format(&s->upstream, s->tls ? 443 : 80, to, sizeof to),
                     (int)s->base_path.n, s->base_path.n ? s->base_path.p : "");
    return eg_diff_copy(d, eg_slice(text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1));
}

static void add_slots(struct eg_diff *d, struct eg_pair_list *l, const struct eg_slot *slots,
                      unsigned count)
{
    static const char *const kinds[] = { "bearer",  "header:", "basic:", "query:",
                                         "cookie:", "path:",   "sigv4" };
    for (unsigned i = 0; i < count; i++) {
        char number[16] = "";
        if (slots[i].kind == EG_SLOT_PATH)
            snprintf(number, sizeof number, "%u", slots[i].segment);
        eg_pair_add(l, EG_DIFF_JOIN(d, eg_slice_str(kinds[slots[i].kind]), slots[i].name,
                                    eg_slice_str(number)));
    }
}

static void compare_slots(struct both *b)
{
    struct eg_pair_list accept[2] = { { .count = 0 }, { .count = 0 } };
    struct eg_pair_list strip[2] = { { .count = 0 }, { .count = 0 } };
    for (unsigned i = 0; i < 2; i++) {
        add_slots(b->d, &accept[i], b->s[i].accept, b->s[i].accept_count);
        add_slots(b->d, &strip[i], b->s[i].strip_slots, b->s[i].strip_slot_count);
    }
    eg_pair_lists(at(b, "accept"), b->guard, b->guard, &accept[0], &accept[1]);
    eg_pair_lists(at(b, "strip"), b->guard, b->guard, &strip[0], &strip[1]);
}

static bool same_writes(const struct eg_service *a, const struct eg_service *b)
{
    if (a->write_count != b->write_count)
        return false;
    for (unsigned i = 0; i < a->write_count; i++)
        if (a->write[i].kind != b->write[i].kind ||
            a->write[i].credential != b->write[i].credential ||
            !eg_slice_eq(a->write[i].name, b->write[i].name) ||
            !eg_slice_eq(a->write[i].text, b->write[i].text))
            return false;
    return true;
}

/* Where it writes, not what: a template may hold more than braces. */
static const char *print_writes(const struct eg_service *s, char out[EG_DIFF_VALUE])
{
    static const char *const kinds[] = { "header:", "basic", "query:", "path", "cookie:", "sigv4" };
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < s->write_count && n + 40 < EG_DIFF_VALUE; i++) {
        char name[64];
        n += (size_t)snprintf(out + n, EG_DIFF_VALUE - n, "%s%s%s", i ? ", " : "",
                              kinds[s->write[i].kind],
                              eg_pair_print(s->write[i].name, name, sizeof name));
        n = n < EG_DIFF_VALUE ? n : EG_DIFF_VALUE - 1;
    }
    return s->write_count ? out : "none";
}

static void compare_writes(struct both *b)
{
    char before[EG_DIFF_VALUE], after[EG_DIFF_VALUE + 16];
    if (same_writes(&b->s[0], &b->s[1]))
        return;
    print_writes(&b->s[0], before);
    print_writes(&b->s[1], after);
    if (strcmp(before, after) == 0)
        snprintf(after, sizeof after, "another template");
    eg_diff_setting(b->d, b->guard, at(b, "write")->subject, before, after, b->s[0].rule,
                    b->s[1].rule);
}

static void compare_tls(struct both *b)
{
    const struct eg_service *x = &b->s[0], *y = &b->s[1];
    struct eg_pair_list pins[2] = { { .count = 0 }, { .count = 0 } };
    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; k < b->s[i].pin_count; k++)
            eg_pair_add(&pins[i], b->s[i].pins[k]);
    eg_pair_hidden(at(b, "tls.ca"), b->guard, x->ca_pem, y->ca_pem);
    eg_pair_hidden(at(b, "tls.client_cert"), b->guard, x->client_cert_pem, y->client_cert_pem);
    eg_pair_hidden(at(b, "tls.client_key"), b->guard, x->client_key_pem, y->client_key_pem);
    eg_pair_text(at(b, "tls.server_name"), b->guard, x->server_name, y->server_name);
    eg_pair_lists(at(b, "tls.pin"), b->guard, b->guard, &pins[0], &pins[1]);
}

static void compare_limits(struct both *b)
{
    const struct eg_service_limits *x = &b->s[0].limits, *y = &b->s[1].limits;
    eg_pair_limit(at(b, "limits.requests_per_minute"), EG_PAIR_NUMBER, x->requests_per_minute,
                  y->requests_per_minute, "none");
    eg_pair_limit(at(b, "limits.concurrent"), EG_PAIR_NUMBER, x->concurrent, y->concurrent, "none");
    eg_pair_limit(at(b, "limits.request_bytes"), EG_PAIR_BYTES, x->request_bytes, y->request_bytes,
                  "none");
    eg_pair_limit(at(b, "limits.response_bytes"), EG_PAIR_BYTES, x->response_bytes,
                  y->response_bytes, "none");
}

static void compare_env(struct both *b)
{
    const struct eg_service *x = &b->s[0], *y = &b->s[1];
    struct eg_pair_list keys[2] = { { .ordered = true }, { .ordered = true } };
    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; k < b->s[i].env_key_count; k++)
            eg_pair_add(&keys[i], b->s[i].env_keys[k]);
    eg_pair_text(at(b, "env.base_url"), EG_CHANGE_NEUTRAL, x->env_base_url, y->env_base_url);
    eg_pair_text(at(b, "env.base_path"), EG_CHANGE_NEUTRAL, x->env_base_path, y->env_base_path);
    eg_pair_text(at(b, "env.git"), EG_CHANGE_NEUTRAL, x->env_git, y->env_git);
    eg_pair_lists(at(b, "env.key"), EG_CHANGE_NEUTRAL, EG_CHANGE_NEUTRAL, &keys[0], &keys[1]);
    eg_pair_text(at(b, "shape.prefix"), EG_CHANGE_NEUTRAL, x->shape_prefix, y->shape_prefix);
    if (x->shape_length != y->shape_length)
        eg_diff_setting(b->d, EG_CHANGE_NEUTRAL, at(b, "shape.length")->subject, "another length",
                        "this length", x->rule, y->rule);
}

static void compare_members(struct both *b)
{
    const struct eg_service *x = &b->s[0], *y = &b->s[1];
    struct eg_pair_list trailers[2] = { { .count = 0 }, { .count = 0 } };
    bool guarded = x->credential.n > 0 || y->credential.n > 0 || x->internal || y->internal;
    b->guard = guarded ? EG_CHANGE_CREDENTIAL : EG_CHANGE_WIDENS;
    b->key.rule[0] = x->rule;
    b->key.rule[1] = y->rule;
    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; k < b->s[i].trailer_count; k++)
            eg_pair_add(&trailers[i], b->s[i].trailers[k]);
    eg_pair_text(at(b, ""), EG_CHANGE_NEUTRAL, x->name, y->name);
    eg_pair_text(at(b, "upstream"), b->guard, print_upstream(b->d, x), print_upstream(b->d, y));
    eg_pair_text(at(b, "credential"), EG_CHANGE_CREDENTIAL, x->credential, y->credential);
    compare_slots(b);
    compare_writes(b);
    eg_pair_switch(at(b, "redact"), x->redact, y->redact, b->guard, b->guard);
    compare_tls(b);
    compare_limits(b);
    eg_pair_switch(at(b, "websocket"), x->websocket, y->websocket, EG_CHANGE_WIDENS,
                   EG_CHANGE_NARROWS);
    eg_pair_lists(at(b, "trailers"), EG_CHANGE_WIDENS, EG_CHANGE_NARROWS, &trailers[0],
                  &trailers[1]);
    compare_env(b);
}

/* ---- services ---- */

static int find(const struct eg_policy *p, const struct eg_service *like)
{
    for (unsigned i = 0; i < eg_policy_service_count(p); i++) {
        struct eg_service s;
        eg_policy_service(p, i, &s);
        if (s.internal == like->internal &&
            (s.internal ? eg_slice_eq(s.name, like->name) : eg_slice_eq(s.route, like->route)))
            return (int)i;
    }
    return -1;
}

static void try_route(struct eg_diff *d, const struct both *b, const int index[2])
{
    char subject[EG_DIFF_VALUE], text[96];
    struct eg_ask ask[2] = { { .kind = EG_ASK_ROUTE }, { .kind = EG_ASK_ROUTE } };
    for (unsigned i = 0; i < 2; i++) {
        ask[i].service = index[i] < 0 ? 0 : (unsigned)index[i];
        ask[i].to = b->s[index[i] < 0 ? 1 - i : i].upstream;
    }
    snprintf(subject, sizeof subject, "services.%s",
             eg_pair_print(b->s[index[1] < 0 ? 0 : 1].name, text, sizeof text));
    eg_diff_requests(d, EG_CHANGE_ROUTE, ask, index, -1);
    eg_diff_report(d, subject, EG_CHANGE_ROUTE);
}

/* A service that one of them alone has. */
static void lone(struct both *b, unsigned side)
{
    const struct eg_service *s = &b->s[side];
    const char *before = side == 0 ? "there" : "none", *after = side == 0 ? "none" : "there";
    struct eg_slice rule[2] = { EG_SLICE_NONE, EG_SLICE_NONE };
    char credential[EG_DIFF_VALUE], url[EG_DIFF_VALUE];
    rule[side] = s->rule;
    eg_pair_name(&b->key, "services", s->name, s->credential.n ? "credential" : "upstream");
    eg_pair_print(s->credential, credential, sizeof credential);
    eg_pair_print(print_upstream(b->d, s), url, sizeof url);
    const char *value = s->credential.n ? credential : url;
    if (s->credential.n > 0 || s->internal)
        eg_diff_setting(b->d, EG_CHANGE_CREDENTIAL, b->key.subject, side == 0 ? value : before,
                        side == 0 ? after : value, rule[0], rule[1]);
    else
        eg_diff_setting(b->d, EG_CHANGE_NEUTRAL, b->key.subject, side == 0 ? value : before,
                        side == 0 ? after : value, rule[0], rule[1]);
}

static void one_service(struct eg_diff *d, const int index[2])
{
    struct both b = { .d = d, .key = { .d = d } };
    for (unsigned i = 0; i < 2; i++)
        if (index[i] >= 0)
            eg_policy_service(d->p[i], (unsigned)index[i], &b.s[i]);
    if (index[0] >= 0 && index[1] >= 0)
        compare_members(&b);
    else
        lone(&b, index[0] >= 0 ? 0 : 1);
    if (!b.s[0].internal && !b.s[1].internal)
        try_route(d, &b, index);
    eg_arena_reset(&d->scratch);
}

void eg_diff_services(struct eg_diff *d)
{
    struct eg_service s;
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < eg_policy_service_count(d->p[side]) && d->status == EG_OK; i++) {
            int index[2];
            eg_policy_service(d->p[side], i, &s);
            index[side] = (int)i;
            index[1 - side] = find(d->p[1 - side], &s);
            if (side == 0 || index[0] < 0)
                one_service(d, index);
        }
}
