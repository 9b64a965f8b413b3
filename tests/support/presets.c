/* presets.c - what a service is, for tables of tests. */
#include "support/presets.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>

struct text {
    char *out;
    size_t n, cap;
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->out + t->n, t->cap - t->n, format, args);
    va_end(args);
    cr_assert(n >= 0 && (size_t)n < t->cap - t->n);
    t->n += (size_t)n;
}
#define S(slice) (int)(slice).n, (slice).n ? (slice).p : ""

/* ":NAME" or nothing. */
static void add_name(struct text *t, bool named, const char *before, struct eg_slice name)
{
    if (named)
        add(t, "%s%.*s", before, S(name));
}

static void add_slots(struct text *t, const char *what, const struct eg_slot *list, unsigned count)
{
    static const char *const kinds[] = { "bearer", "header", "basic", "query",
                                         "cookie", "path",   "sigv4" };
    add(t, " %s ", what);
    for (unsigned i = 0; i < count; i++) {
        bool named = list[i].kind == EG_SLOT_HEADER || list[i].kind == EG_SLOT_QUERY ||
                     list[i].kind == EG_SLOT_COOKIE;
        add(t, "%s%s", i ? "," : "", kinds[list[i].kind]);
        add_name(t, named, ":", list[i].name);
    }
    if (count == 0)
        add(t, "-");
}

static void add_writes(struct text *t, const struct eg_service *s)
{
    static const char *const kinds[] = { "header:", "basic", "query:", "path", "cookie:", "sigv4" };
    add(t, " write ");
    for (unsigned i = 0; i < s->write_count; i++) {
        const struct eg_write *w = &s->write[i];
        bool named = strchr(kinds[w->kind], ':') != NULL;
        add(t, "%s%s", i ? "," : "", kinds[w->kind]);
        add_name(t, named, "", w->name);
        add(t, "=%.*s", S(w->text));
    }
}

static void add_source(struct text *t, const struct eg_policy *p, int i)
{
    static const char *const kinds[] = { "env", "file", "keyring", "kernel", "systemd", "cmd" };
    struct eg_credential c;
    struct eg_sigv4_scope scope;
    cr_assert_geq(i, 0);
    eg_policy_credential(p, (unsigned)i, &c);
    if (c.kind == EG_SOURCE_SIGV4) {
        eg_policy_credential_sigv4(p, (unsigned)i, &scope);
        add(t, " from %.*s/%.*s", S(scope.service), S(scope.region));
    } else if (c.kind == EG_SOURCE_OAUTH2) {
        char part[128];
        snprintf(part, sizeof part, "%.*s#key", S(c.name));
        add_source(t, p, eg_policy_credential_find(p, eg_slice_str(part)));
    } else {
        struct eg_slice place =
            c.arg_count ? eg_policy_credential_arg(p, (unsigned)i, 0) : c.place;
        add(t, " from %s:%.*s", kinds[c.kind], S(place));
        add_name(t, c.kind == EG_SOURCE_KEYRING, "/", c.account);
    }
}

static void add_host(struct text *t, const struct eg_policy *p, const struct eg_service *s,
                     const char *before, bool *first)
{
    char host[300];
    snprintf(host, sizeof host, "%s%.*s", before, S(eg_authority_host(&s->upstream)));
    if (!eg_policy_credential_host(p, s->credential, eg_slice_str(host)))
        return;
    add(t, "%s%s", *first ? " hosts " : ",", host);
    *first = false;
}

void eg_presets_service(const struct eg_policy *p, const char *name, struct eg_service *ret)
{
    for (unsigned i = 0; i < eg_policy_service_count(p); i++) {
        eg_policy_service(p, i, ret);
        if (eg_slice_eq(ret->name, eg_slice_str(name)))
            return;
    }
    cr_assert_fail("there is no service %s", name);
}

char *eg_presets_describe(const struct eg_policy *p, const char *name, char *out, size_t cap)
{
    struct text t = { out, 0, cap };
    struct eg_service s;
    bool first = true;
    eg_presets_service(p, name, &s);
    add(&t, "%s://%.*s", s.tls ? "https" : "http", S(eg_authority_host(&s.upstream)));
    add_slots(&t, "accept", s.accept, s.accept_count);
    add_writes(&t, &s);
    add_slots(&t, "strip", s.strip_slots, s.strip_slot_count);
    add(&t, " url %.*s%.*s key ", S(s.env_base_url), S(s.env_base_path));
    for (unsigned i = 0; i < s.env_key_count; i++)
        add(&t, "%s%.*s", i ? "," : "", S(s.env_keys[i]));
    if (s.credential.n == 0)
        return out;
    add_source(&t, p, eg_policy_credential_find(p, s.credential));
    add_host(&t, p, &s, "", &first);
    add_host(&t, p, &s, "b.", &first);
    return out;
}
