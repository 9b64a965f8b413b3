/* learn.c - gathers refusals and makes the least lines of them.
 *
 * The policy itself is asked what stands against each (eg_policy_least): where no rule of `allow` or of a service's `rules` could help, none is proposed. */
#include "policy/learn.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/table.h"
#include "policy/explain.h"

enum { SEEN_MAX = 10000, ARENA_MAX = 64 << 20, SIBLINGS = 6, PATTERNS_MAX = 20, PATTERN_CAP = 2048 };

struct entry { /* one thing that was asked for */
    struct eg_slice key; /* what it is sorted by */
    enum eg_learnt_kind kind;
    struct eg_authority to;
    struct eg_slice service, pattern; /* "METHOD /path" of requests */
    struct eg_slice why;
    unsigned long count;
    bool used;
};

struct eg_learn {
    const struct eg_policy *p, *odd;
    struct eg_arena arena;
    struct eg_table *table;
    struct entry **list;
    unsigned count;
    struct eg_learnt *learnt;
    unsigned learnt_count;
    bool failed;
};

enum eg_status eg_learn_new(const struct eg_policy *p, const struct eg_policy *odd,
                            struct eg_learn **ret)
{
    struct eg_learn *l = calloc(1, sizeof *l);
    if (!l)
        return EG_NOMEM;
    l->p = p;
    l->odd = odd;
    eg_arena_init(&l->arena, ARENA_MAX);
    enum eg_status st = eg_table_new(&l->table, SEEN_MAX);
    if (st != EG_OK) {
        eg_learn_free(l);
        return st;
    }
    *ret = l;
    return EG_OK;
}

void eg_learn_free(struct eg_learn *l)
{
    if (!l)
        return;
    eg_table_free(l->table, NULL);
    eg_arena_done(&l->arena);
    free(l);
}

static struct eg_slice text_of(struct eg_learn *l, const char *text)
{
    char *copy = eg_arena_dup(&l->arena, eg_slice_str(text));
    l->failed = l->failed || !copy;
    return eg_slice_str(copy);
}

/* ---- patterns ---- */

/* Can it stand in a pattern, and in YAML's double quotes? */
static bool is_plain(struct eg_slice path)
{
    for (size_t i = 0; i < path.n; i++)
        if (strchr("*{}\"\\", path.p[i]) || path.p[i] == '\0')
            return false;
    return path.n > 0 && path.p[0] == '/';
}

/* "METHOD /base/path" with identifiers as *. */
static struct eg_slice pattern_of(struct eg_learn *l, const struct eg_learn_seen *seen,
                                  struct eg_slice base)
{
    struct eg_buf out;
    eg_buf_init(&out, PATTERN_CAP);
    enum eg_status st = eg_buf_put(&out, seen->method);
    if (st == EG_OK)
        st = eg_buf_put(&out, EG_SLICE(" "));
    if (st == EG_OK)
        st = eg_buf_put(&out, base);
    if (st == EG_OK)
        st = eg_learn_pattern(seen->path, &out);
    char *copy = st == EG_OK ? eg_arena_dup(&l->arena, eg_buf_slice(&out)) : NULL;
    struct eg_slice pattern = eg_slice(copy, copy ? out.len : 0);
    eg_buf_done(&out);
    return pattern;
}

/* ---- what is asked for ---- */

static int service_index(const struct eg_policy *p, struct eg_slice name)
{
    for (unsigned i = 0; i < eg_policy_service_count(p); i++) {
        struct eg_service s;
        eg_policy_service(p, i, &s);
        if (!s.internal && eg_slice_eq(s.name, name))
            return (int)i;
    }
    return -1;
}

/* False: it can't be asked (no such service any more). */
static bool make_ask(const struct eg_learn *l, const struct eg_learn_seen *seen,
                     struct eg_buf *canonical, struct eg_ask *ask)
{
    int service = seen->service.n ? service_index(l->p, seen->service) : -1;
    *ask = (struct eg_ask){ .kind = seen->service.n ? EG_ASK_ROUTE
                                    : seen->path.n  ? EG_ASK_HTTP
                                                    : EG_ASK_TUNNEL,
                            .to = seen->to,
                            .service = service < 0 ? 0 : (unsigned)service,
                            .method = seen->method,
                            .addr = seen->addr.family ? &seen->addr : NULL };
    if (seen->service.n && service < 0)
        return false;
    if (seen->path.n && eg_path_canon(seen->path, canonical, &ask->flags, NULL) != EG_OK)
        return false;
    ask->path = eg_buf_slice(canonical);
    return true;
}

/* Why nothing is proposed; empty: something is. */
static struct eg_slice against(struct eg_learn *l, const struct eg_learn_seen *seen,
                               const struct eg_ask *ask, const struct eg_verdict *v)
{
    struct eg_least least;
    if (v->status == EG_OK && v->would_deny == EG_OK) /* allowed, and what flowed was not what the rule is for */
        return text_of(l, egress_status_sentence(seen->reason));
    if (seen->cut)
        return EG_SLICE("the event does not have all of it");
    eg_policy_least(l->p, ask, v, &least);
    if (strcmp(least.key, "allow") != 0 && strcmp(least.key, "rules") != 0)
        return text_of(l, least.text);
    if (ask->kind != EG_ASK_TUNNEL && !is_plain(seen->path))
        return EG_SLICE("its path needs a pattern by hand");
    return EG_SLICE_NONE;
}

static enum eg_status count_in(struct eg_learn *l, const struct entry *e)
{
    struct entry *old = eg_table_get(l->table, e->key);
    if (old) {
        old->count++;
        return EG_OK;
    }
    struct entry *copy = eg_arena_alloc(&l->arena, sizeof *copy);
    char *key = eg_arena_dup(&l->arena, e->key);
    if (!copy || !key)
        return EG_NOMEM;
    *copy = *e;
    copy->key.p = key;
    copy->count = 1;
    return eg_table_add(l->table, copy->key, copy);
}

enum eg_status eg_learn_add(struct eg_learn *l, const struct eg_learn_seen *seen)
{
    struct eg_ask ask;
    struct eg_verdict v;
    struct eg_buf path;
    struct entry e = { .to = seen->to };
    struct eg_service s = { .base_path = EG_SLICE_NONE };
    char key[3000], at[EG_AUTHORITY_TEXT];
    eg_buf_init(&path, 1 << 16);
    bool known = make_ask(l, seen, &path, &ask);
    if (known)
        eg_policy_ask(l->p, &ask, &v);
    bool odd_bytes = seen->reason == EG_NOT_TLS || seen->reason == EG_SNI_MISMATCH;
    if (!known || (v.status == EG_OK && v.would_deny == EG_OK && !odd_bytes)) {
        eg_buf_done(&path);
        return EG_OK;
    }
    e.why = against(l, seen, &ask, &v);
    eg_buf_done(&path);
    if (ask.kind == EG_ASK_ROUTE)
        eg_policy_service(l->p, ask.service, &s);
    e.service = s.name;
    e.kind = e.why.n ? EG_LEARNT_NEVER : s.name.n ? EG_LEARNT_RULE : EG_LEARNT_ALLOW;
    if (seen->path.n)
        e.pattern = pattern_of(l, seen, s.base_path);
    if (seen->path.n && e.pattern.n == 0)
        return l->failed ? EG_NOMEM : EG_OK; /* longer than any pattern */
    int n = snprintf(key, sizeof key, "%d %.*s %s %.*s", (int)e.kind, (int)s.name.n,
                     s.name.n ? s.name.p : "", eg_authority_format(&seen->to, 0, at, sizeof at),
                     (int)e.pattern.n, e.pattern.n ? e.pattern.p : "");
    if (n < 0 || (size_t)n >= sizeof key)
        return EG_OK;
    e.key = eg_slice(key, (size_t)n);
    return l->failed ? EG_NOMEM : count_in(l, &e);
}

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
static const char *doubt(struct eg_learn *l, const struct entry *e)
{
    struct eg_slice host = eg_authority_host(&e->to);
    struct eg_verdict v = { .status = EG_OK };
    if (e->to.literal)
        return "a raw address, not a name";
    if (l->odd)
        eg_policy_judge_tunnel(l->odd, &e->to, &v);
    if (v.status == EG_HOST_DENIED)
        return v.detail.n ? text_of(l, v.detail.p).p : "a host for anybody's data";
    if (service_there(l, &e->to))
        return service_there(l, &e->to);
    if (eg_learn_name_doubt(host))
        return eg_learn_name_doubt(host);
    if (e->pattern.n > 0 || e->to.port == 80)
        return "plain http: whoever is on the way reads and changes it";
    return e->to.port != 443 ? "not port 443" : NULL;
}

/* ---- the lines ---- */

static struct eg_learnt *propose(struct eg_learn *l, const struct entry *e, struct eg_slice line,
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
                             .what = text_of(l, what),
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
static size_t begin_line(const struct entry *e, char *out, size_t cap)
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
    struct entry *e = l->list[from];
    enum { CAP = PATTERNS_MAX * (PATTERN_CAP + 8) + 600 };
    char *line = malloc(CAP);
    unsigned patterns = 0;
    struct entry all = *e;
    if (!line) {
        l->failed = true;
        return;
    }
    size_t n = begin_line(e, line, CAP);
    all.count = 0;
    for (unsigned i = from; i < l->count; i++) {
        struct entry *o = l->list[i];
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
    struct eg_learnt *r = propose(l, &all, text_of(l, line), doubt(l, e));
    if (patterns > PATTERNS_MAX)
        r->why = EG_SLICE("more kinds of requests than fit; these are some of them");
    free(line);
}

static void propose_tunnel(struct eg_learn *l, const struct entry *e)
{
    char line[700];
    struct eg_slice host = eg_authority_host(&e->to);
    size_t n = begin_line(e, line, sizeof line);
    snprintf(line + n, sizeof line - n, "}");
    if (!e->to.literal && e->to.port == 443)
        snprintf(line, sizeof line, "%.*s", (int)host.n, host.p);
    propose(l, e, text_of(l, line), doubt(l, e));
}

/* How many different names directly below the same one were asked for? Marks them as used where they are many. */
static bool propose_siblings(struct eg_learn *l, unsigned from)
{
    const struct entry *e = l->list[from];
    struct eg_slice host = eg_authority_host(&e->to), parent;
    long dot = eg_slice_index(host, '.');
    unsigned names = 0;
    struct entry all = *e;
    if (e->to.literal || e->to.port != 443 || e->pattern.n > 0 || dot < 0)
        return false;
    parent = eg_slice_from(host, (size_t)dot + 1);
    if (eg_slice_index(parent, '.') < 0)
        return false;
    for (int pass = 0; pass < 2; pass++) {
        for (unsigned i = from; i < l->count; i++) {
            struct entry *o = l->list[i];
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
    propose(l, &all, text_of(l, line), text_of(l, why).p);
    return true;
}

static void propose_rule(struct eg_learn *l, const struct entry *e)
{
    char line[PATTERN_CAP + 8];
    snprintf(line, sizeof line, "\"%.*s\"", (int)e->pattern.n, e->pattern.p);
    propose(l, e, text_of(l, line), NULL);
}

static int by_key(const void *a, const void *b)
{
    const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int c = memcmp(x->key.p, y->key.p, n);
    return c ? c : (x->key.n > y->key.n) - (x->key.n < y->key.n);
}

enum eg_status eg_learn_finish(struct eg_learn *l)
{
    size_t count = eg_table_count(l->table), cursor = 0;
    struct eg_slice key;
    void *value;
    l->list = eg_arena_alloc(&l->arena, (count + 1) * sizeof(struct entry *));
    l->learnt = eg_arena_alloc(&l->arena, (count + 1) * sizeof *l->learnt);
    if (!l->list || !l->learnt)
        return EG_NOMEM;
    while (eg_table_next(l->table, &cursor, &key, &value))
        l->list[l->count++] = value;
    if (l->count)
        qsort(l->list, l->count, sizeof(struct entry *), by_key);
    for (unsigned i = 0; i < l->count && !l->failed; i++) {
        struct entry *e = l->list[i];
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

unsigned eg_learn_count(const struct eg_learn *l)
{
    return l->learnt_count;
}

struct eg_learnt *eg_learn_at(const struct eg_learn *l, unsigned i)
{
    return &l->learnt[i];
}
