/* learn.c - gathers refusals: each kind once, with how often it was asked for.
 *
 * The policy itself is asked what stands against each (eg_policy_least): where no rule of `allow` or of a service's `rules` could help, none is proposed. */
#include "policy/learn_parts.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/table.h"
#include "policy/explain.h"

enum { SEEN_MAX = 10000, ARENA_MAX = 64 << 20 };

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

struct eg_slice eg_learn_text(struct eg_learn *l, const char *text)
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
    eg_buf_init(&out, EG_LEARN_PATTERN);
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
        return eg_learn_text(l, egress_status_sentence(seen->reason));
    if (seen->cut)
        return EG_SLICE("the event does not have all of it");
    eg_policy_least(l->p, ask, v, &least);
    if (strcmp(least.key, "allow") != 0 && strcmp(least.key, "rules") != 0)
        return eg_learn_text(l, least.text);
    if (ask->kind != EG_ASK_TUNNEL && !is_plain(seen->path))
        return EG_SLICE("its path needs a pattern by hand");
    return EG_SLICE_NONE;
}

static enum eg_status count_in(struct eg_learn *l, const struct eg_learn_entry *e)
{
    struct eg_learn_entry *old = eg_table_get(l->table, e->key);
    if (old) {
        old->count++;
        return EG_OK;
    }
    struct eg_learn_entry *copy = eg_arena_alloc(&l->arena, sizeof *copy);
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
    struct eg_learn_entry e = { .to = seen->to };
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

size_t eg_learn_kinds(const struct eg_learn *l)
{
    return eg_table_count(l->table);
}

unsigned eg_learn_count(const struct eg_learn *l)
{
    return l->learnt_count;
}

struct eg_learnt *eg_learn_at(const struct eg_learn *l, unsigned i)
{
    return &l->learnt[i];
}
