/* control_creds.c - the requests creds.list and creds.test of the control socket: what the supervisor
 * knows of each credential, before or after it was read again.
 *
 * Invariant: no answer holds a value, a command's arguments or its output. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "cmd/creds.h"
#include "cmd/upstream.h"

enum { TEST_MS = 120000 };

/* ---- one credential ---- */

static json_t *source_json(const struct eg_sup_credential *e)
{
    if (e->login)
        return json_string("login of the upstream proxy");
    switch (e->kind) {
    case EG_SOURCE_ENV:
        return json_sprintf("env:%s", e->place);
    case EG_SOURCE_FILE:
        return json_sprintf("file:%s", e->place);
    case EG_SOURCE_KEYRING:
        return json_sprintf("keyring:%s%s%s", e->place, *e->account ? "/" : "", e->account);
    case EG_SOURCE_KERNEL:
        return json_sprintf("kernel:%s", e->place);
    case EG_SOURCE_SYSTEMD:
        return json_sprintf("systemd:%s", e->place);
    case EG_SOURCE_CMD:
        return json_sprintf("cmd:%s", e->argv ? e->argv[0] : "");
    case EG_SOURCE_OAUTH2:
        return json_string("oauth2");
    case EG_SOURCE_SIGV4:
        return e->argv ? json_sprintf("aws_sigv4 cmd:%s", e->argv[0]) : json_string("aws_sigv4");
    }
    return json_null();
}

/* What a person does next. */
static json_t *next_json(const struct eg_sup_credential *e)
{
    if (e->why.status == EG_PERMISSION)
        return json_string("see what may read it: its owner and its mode");
    switch (e->kind) {
    case EG_SOURCE_ENV:
        return json_sprintf("set %s where the proxy is started, and start it anew", e->place);
    case EG_SOURCE_FILE:
        return json_sprintf("(umask 077; cat > '%s')", e->place);
    case EG_SOURCE_KEYRING:
        return json_sprintf("secret-tool store --label=egress service '%s'%s%s%s", e->place,
                            *e->account ? " account '" : "", e->account, *e->account ? "'" : "");
    case EG_SOURCE_KERNEL:
        return json_sprintf("keyctl padd user '%s' @u", e->place);
    case EG_SOURCE_SYSTEMD:
        return json_sprintf("LoadCredential=%s:PATH in the unit", e->place);
    case EG_SOURCE_CMD:
        return json_string("run the command by hand as the proxy's user");
    default:
        return json_string("egressctl audit shows what was sent for it");
    }
}

static void add_unique(json_t *list, struct eg_slice text)
{
    const json_t *v;
    size_t i;
    json_array_foreach(list, i,
                       v) if (eg_slice_eq(eg_slice_str(json_string_value(v)), text)) return;
    json_array_append_new(list, json_stringn(text.p, text.n));
}

static void add_hops(const struct eg_policy *p, struct eg_slice name, json_t *hosts)
{
    struct eg_hop hops[EG_HOPS_MAX];
    for (int chain = EG_CHAIN_SECURE; chain <= EG_CHAIN_PLAIN; chain++) {
        unsigned n = eg_policy_hops(p, (enum eg_chain)chain, hops);
        for (unsigned i = 0; i < n; i++)
            if (eg_slice_eq(hops[i].credential, name))
                add_unique(hosts, hops[i].text);
    }
}

/* Where it goes: hosts of services, and proxies. */
static void add_places(const struct eg_sup_credential *e, json_t *o)
{
    const struct eg_policy *p = e->creds->supervisor->policy->policy;
    struct eg_slice name = eg_slice(e->name, strcspn(e->name, "#"));
    json_t *hosts = json_array(), *services = json_array();
    for (unsigned i = 0; hosts && services && i < eg_policy_service_count(p); i++) {
        struct eg_service s;
        char host[EG_AUTHORITY_TEXT];
        eg_policy_service(p, i, &s);
        if (!eg_slice_eq(s.credential, name))
            continue;
        add_unique(services, s.name);
        eg_authority_format(&s.upstream, s.tls ? 443 : 80, host, sizeof host);
        add_unique(hosts, eg_slice_str(host));
    }
    add_hops(p, name, hosts);
    json_object_set_new(o, "hosts", hosts);
    json_object_set_new(o, "services", services);
}

static void add_seconds(json_t *o, const char *key, uint64_t from_ms, uint64_t to_ms)
{
    json_object_set_new(o, key,
                        json_integer(to_ms > from_ms ? (json_int_t)((to_ms - from_ms) / 1000) : 0));
}

static void add_fields(const struct eg_sup_credential *e, json_t *o)
{
    json_t *list = json_array();
    for (unsigned i = 0; list && i < e->field_count; i++)
        json_array_append_new(list, json_string(strrchr(e->fields[i].name, '#') + 1));
    json_object_set_new(o, "fields", list);
}

json_t *eg_sup_cred_json(const struct eg_sup_credential *e, bool brief)
{
    static const char *const states[] = { "reading", "reading", "loaded", "failed", "lazy" };
    uint64_t now = eg_clock_ms();
    char why[256];
    json_t *o = json_pack("{s:s,s:b,s:s,s:o}", "name", e->name, "loaded",
                          (int)(e->state == EG_SUP_CRED_LOADED), "state", states[e->state],
                          "source", source_json(e));
    if (!o)
        return NULL;
    if (e->failures > 0) /* also while an older value is still good */
        json_object_set_new(o, "error", json_string(eg_err_format(&e->why, why, sizeof why)));
    if (brief)
        return o;
    if (e->state == EG_SUP_CRED_LOADED && e->loaded_ms)
        add_seconds(o, "age", e->loaded_ms, now);
    if (e->ttl_ms)
        json_object_set_new(o, "ttl", json_integer((json_int_t)(e->ttl_ms / 1000)));
    if (e->state == EG_SUP_CRED_LOADED && e->expires_ms)
        add_seconds(o, "expires_in", now, e->expires_ms);
    if (e->field_count)
        add_fields(e, o);
    if (e->failures > 0)
        json_object_set_new(o, "next", next_json(e));
    add_places(e, o);
    return o;
}

/* ---- all of them ---- */

struct walk {
    struct eg_supervisor *supervisor;
    unsigned at, said;
    uint64_t until_ms;
    bool begun, over;
    char name[256]; /* empty: all */
};

static bool meant(const struct walk *w, const struct eg_sup_credential *e)
{
    size_t n = strlen(w->name);
    return n == 0 || (strncmp(e->name, w->name, n) == 0 && (!e->name[n] || e->name[n] == '#'));
}

static enum eg_status give(json_t *o, json_t **ret)
{
    *ret = o;
    return o ? EG_OK : EG_NOMEM;
}

/* First how many there are, at once: a test may take its time. */
static enum eg_status next(void *stream, json_t **ret)
{
    struct walk *w = stream;
    const struct eg_sup_creds *c = w->supervisor->creds; /* another after a reload */
    if (w->over)
        return EG_EOF;
    if (!w->begun) {
        w->begun = true;
        return give(json_pack("{s:i}", "credentials", (int)c->count), ret);
    }
    for (; w->at < c->count; w->at++) {
        const struct eg_sup_credential *e = &c->list[w->at];
        if (!meant(w, e))
            continue;
        if ((e->wanted || e->busy) && eg_clock_ms() < w->until_ms)
            return EG_AGAIN;
        w->at++;
        return give(json_pack("{s:o}", "credential", eg_sup_cred_json(e, false)), ret);
    }
    w->over = true;
    return give(json_pack("{s:b}", "done", 1), ret);
}

static enum eg_status begin(struct eg_supervisor *s, const json_t *request,
                            struct eg_ctl_answer *answer, struct walk **ret, struct eg_err *err)
{
    const char *name = eg_ctl_text(request, "name");
    if ((!name && json_object_get(request, "name")) ||
        (name && !eg_sup_creds_find(s->creds, eg_slice_str(name))))
        return eg_err_set(err, EG_NOT_FOUND, "creds", 0, "the policy has no such credential: egressctl creds list");
    struct walk *w = calloc(1, sizeof *w);
    if (!w)
        return EG_NOMEM;
    w->supervisor = s;
    snprintf(w->name, sizeof w->name, "%s", name ? name : "");
    *answer = (struct eg_ctl_answer){ .next = next, .done = free, .stream = w };
    *ret = w;
    return EG_OK;
}

enum eg_status eg_sup_op_creds_list(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                                    struct eg_err *err)
{
    struct walk *w;
    return begin(ctx, request, answer, &w, err);
}

/* What is read comes into force, as at any other time. */
enum eg_status eg_sup_op_creds_test(void *ctx, const json_t *request, struct eg_ctl_answer *answer,
                                    struct eg_err *err)
{
    struct eg_supervisor *s = ctx;
    struct walk *w;
    enum eg_status status = begin(s, request, answer, &w, err);
    if (status != EG_OK)
        return status;
    w->until_ms = eg_clock_ms() + TEST_MS;
    for (unsigned i = 0; i < s->creds->count; i++)
        if (meant(w, &s->creds->list[i]) && !s->creds->list[i].newer)
            eg_cred_want(&s->creds->list[i]);
    eg_sup_creds_more(s->creds);
    return EG_OK;
}
