/* learn_lines.c - the least lines for what was gathered, each with what speaks against taking it without a look. */
#include "policy/learn_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/table.h"

enum { SIBLINGS = 6, PATTERNS_MAX = 20 };

/* ---- what only a person can judge ---- */

static const char *service_there(const struct eg_learn *l, const struct eg_authority *to)
{
    for (unsigned i = 0; i < eg_policy_service_count(l->p); i++) {
        struct eg_service s;
        eg_policy_service(l->p, i, &s);
        if (!s.internal && eg_authority_eq(&s.upstream, to))
            return "a service leads there by its route; a tunnel would take any key";
    }
    return NULL;
}

/* Why an element of allow should be no more than a comment; NULL: it may stand. */
static const char *doubt(struct eg_learn *l, const struct eg_learn_entry *e)
{
    struct eg_slice host = eg_authority_host(&e->to);
    struct eg_verdict v = { .status = EG_OK };
    if (e->to.literal)
        return "a raw address, not a name";
    if (l->odd)
        eg_policy_judge_tunnel(l->odd, &e->to, &v);
    if (v.status == EG_HOST_DENIED)
        return v.detail.n ? eg_learn_text(l, v.detail.p).p : "a host for anybody's data";
    if (service_there(l, &e->to))
        return service_there(l, &e->to);
    if (eg_learn_name_doubt(host))
        return eg_learn_name_doubt(host);
    if (e->pattern.n > 0 || e->to.port == 80)
        return "plain http: whoever is on the way reads and changes it";
    return e->to.port != 443 ? "not port 443" : NULL;
}

/* ---- the lines ---- */

static struct eg_learnt *propose(struct eg_learn *l, const struct eg_learn_entry *e, struct eg_slice line,
                                 const char *why)
{
    char what[3000], at[EG_AUTHORITY_TEXT];
    struct eg_learnt *r = &l->learnt[l->learnt_count++];
    if (e->service.n)
        snprintf(what, sizeof what, "%.*s by the route of %.*s", (int)e->pattern.n, e->pattern.p,
                 (int)e->service.n, e->service.p);
    else
        snprintf(what, sizeof what, "%s%s%.*s", eg_authority_format(&e->to, 0, at, sizeof at),
                 e->pattern.n ? ": " : "", (int)e->pattern.n, e->pattern.n ? e->pattern.p : "");
    *r = (struct eg_learnt){ .kind = e->kind,
                             .service = e->service,
                             .line = line,
                             .what = eg_learn_text(l, what),
                             .why = why ? eg_slice_str(why) : EG_SLICE_NONE,
                             .count = e->count };
    return r;
}

static bool is_raw_port(uint16_t port)
{
    static const uint16_t raw[] = { 21, 22, 25, 110, 143, 587, 3306, 5432, 6379, 9418, 27017 };
    for (size_t i = 0; i < sizeof raw / sizeof *raw; i++)
        if (raw[i] == port)
            return true;
    return false;
}

/* "{host: a.example, ports: [8443]" without the end. */
static size_t begin_line(const struct eg_learn_entry *e, char *out, size_t cap)
{
    uint16_t port = e->to.port;
    bool http = e->pattern.n > 0 || port == 80, raw = !http && is_raw_port(port);
    struct eg_slice host = eg_authority_host(&e->to);
    char addr[EG_ADDR_TEXT];
    size_t n = (size_t)snprintf(out, cap, e->to.literal ? "{address: \"%.*s\"" : "{host: %.*s",
                                e->to.literal ? (int)strlen(eg_addr_format(&e->to.addr, addr, sizeof addr)) : (int)host.n,
                                e->to.literal ? addr : host.p);
    if (http || raw)
        n += (size_t)snprintf(out + n, cap - n, ", scheme: %s", http ? "http" : "tcp");
    if (port != (http ? 80 : 443) || raw)
        n += (size_t)snprintf(out + n, cap - n, ", ports: [%u]", port);
    return n;
}

/* All requests to one place become one element with its rules. */
static void propose_requests(struct eg_learn *l, unsigned from)
{
    struct eg_learn_entry *e = l->list[from];
    enum { CAP = PATTERNS_MAX * (EG_LEARN_PATTERN + 8) + 600 };
    char *line = malloc(CAP);
    unsigned patterns = 0;
    struct eg_learn_entry all = *e;
    if (!line) {
        l->failed = true;
        return;
    }
    size_t n = begin_line(e, line, CAP);
    all.count = 0;
    for (unsigned i = from; i < l->count; i++) {
        struct eg_learn_entry *o = l->list[i];
        if (o->kind != EG_LEARNT_ALLOW || o->pattern.n == 0 || !eg_authority_eq(&o->to, &e->to))
            continue;
        o->used = true;
        all.count += o->count;
        if (patterns < PATTERNS_MAX)
            n += (size_t)snprintf(line + n, CAP - n, "%s\"%.*s\"", patterns ? ", " : ", rules: [", (int)o->pattern.n,
                                  o->pattern.p);
        patterns++;
    }
    snprintf(line + n, CAP - n, "]}");
    all.pattern = patterns == 1 ? e->pattern : EG_SLICE("requests");
    struct eg_learnt *r = propose(l, &all, eg_learn_text(l, line), doubt(l, e));
    if (patterns > PATTERNS_MAX)
        r->why = EG_SLICE("more kinds of requests than fit; these are some of them");
    free(line);
}

static void propose_tunnel(struct eg_learn *l, const struct eg_learn_entry *e)
{
    char line[700];
    struct eg_slice host = eg_authority_host(&e->to);
    size_t n = begin_line(e, line, sizeof line);
    snprintf(line + n, sizeof line - n, "}");
    if (!e->to.literal && e->to.port == 443)
        snprintf(line, sizeof line, "%.*s", (int)host.n, host.p);
    propose(l, e, eg_learn_text(l, line), doubt(l, e));
}

/* How many different names directly below the same one were asked for? Marks them as used where they are many. */
static bool propose_siblings(struct eg_learn *l, unsigned from)
{
    const struct eg_learn_entry *e = l->list[from];
    struct eg_slice host = eg_authority_host(&e->to), parent;
    long dot = eg_slice_index(host, '.');
    unsigned names = 0;
    struct eg_learn_entry all = *e;
    if (e->to.literal || e->to.port != 443 || e->pattern.n > 0 || dot < 0)
        return false;
    parent = eg_slice_from(host, (size_t)dot + 1);
    if (eg_slice_index(parent, '.') < 0)
        return false;
    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = from; i < l->count; i++) {
            struct eg_learn_entry *o = l->list[i];
            struct eg_slice other = eg_authority_host(&o->to);
            long d = eg_slice_index(other, '.');
            if (o->used || o->kind != EG_LEARNT_ALLOW || o->to.literal || o->to.port != 443 || o->pattern.n > 0 ||
                d < 0 || !eg_slice_eq(eg_slice_from(other, (size_t)d + 1), parent))
                continue;
            names += pass == 0;
            o->used = pass == 1;
            all.count += pass == 1 && o != e ? o->count : 0;
        }
        if (names < SIBLINGS)
            return false;
    }
    char line[300], why[200];
    snprintf(line, sizeof line, "\"*.%.*s\"", (int)parent.n, parent.p);
    snprintf(why, sizeof why, "%u names below it were asked for; a wildcard lets all of them through, and data can leave in names", names);
    propose(l, &all, eg_learn_text(l, line), eg_learn_text(l, why).p);
    return true;
}

static void propose_rule(struct eg_learn *l, const struct eg_learn_entry *e)
{
    char line[EG_LEARN_PATTERN + 8];
    snprintf(line, sizeof line, "\"%.*s\"", (int)e->pattern.n, e->pattern.p);
    propose(l, e, eg_learn_text(l, line), NULL);
}

static int by_key(const void *a, const void *b)
{
    const struct eg_learn_entry *x = *(struct eg_learn_entry *const *)a, *y = *(struct eg_learn_entry *const *)b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int c = memcmp(x->key.p, y->key.p, n);
    return c ? c : (x->key.n > y->key.n) - (x->key.n < y->key.n);
}

enum eg_status eg_learn_finish(struct eg_learn *l)
{
    size_t count = eg_table_count(l->table), cursor = 0;
    struct eg_slice key;
    void *value;
    l->list = eg_arena_alloc(&l->arena, (count + 1) * sizeof(struct eg_learn_entry *));
    l->learnt = eg_arena_alloc(&l->arena, (count + 1) * sizeof *l->learnt);
    if (!l->list || !l->learnt)
        return EG_NOMEM;
    while (eg_table_next(l->table, &cursor, &key, &value))
        l->list[l->count++] = value;
    if (l->count)
        qsort(l->list, l->count, sizeof(struct eg_learn_entry *), by_key);
    for (unsigned i = 0; i < l->count && !l->failed; i++) {
        struct eg_learn_entry *e = l->list[i];
        if (e->used)
            continue;
        if (e->kind == EG_LEARNT_NEVER)
            propose(l, e, EG_SLICE_NONE, e->why.p);
        else if (e->kind == EG_LEARNT_RULE)
            propose_rule(l, e);
        else if (e->pattern.n > 0)
            propose_requests(l, i);
        else if (!propose_siblings(l, i))
            propose_tunnel(l, e);
    }
    return l->failed ? EG_NOMEM : EG_OK;
}
