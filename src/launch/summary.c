/* summary.c - what was refused, for the person who started the child: one line for each kind of
 * refusal, in the order of their first time. The ring is written by workers that parse hostile
 * bytes: every text of it is shown with anything unprintable replaced. */
#include "launch/launch.h"

#include <stdlib.h>

enum { EG_SUMMARY_LINES = 20, EG_SUMMARY_KINDS = 1024 };

struct eg_refused {
    struct egress_event first;
    uint64_t count;
};

struct eg_tally {
    struct eg_refused *kinds;
    unsigned count;
    uint64_t others; /* beyond EG_SUMMARY_KINDS */
};

static bool wanted(const struct egress_event *e)
{
    return e->kind == EGRESS_EVENT_DECISION && (!e->allowed || (e->observe && e->reason != EG_OK));
}

static bool same_place(const struct egress_event *a, const struct egress_event *b)
{
    return a->port == b->port && strcmp(a->host, b->host) == 0;
}

static bool same(const struct egress_event *a, const struct egress_event *b)
{
    return same_place(a, b) && a->reason == b->reason && a->allowed == b->allowed &&
           strcmp(a->rule, b->rule) == 0 && strcmp(a->service, b->service) == 0;
}

/* git asks without a token first, on purpose, and comes back with it: no refusal that anybody
 * wants to hear of. */
static void forgive(struct eg_tally *t, const struct egress_event *allowed)
{
    for (unsigned i = 0; i < t->count; i++)
        if (t->kinds[i].first.reason == EG_TOKEN_MISSING && same_place(&t->kinds[i].first, allowed))
            t->kinds[i].count = 0;
}

static void count(struct eg_tally *t, const struct egress_event *e)
{
    if (e->kind == EGRESS_EVENT_DECISION && e->allowed)
        forgive(t, e);
    if (!wanted(e))
        return;
    for (unsigned i = 0; i < t->count; i++)
        if (same(&t->kinds[i].first, e)) {
            t->kinds[i].count++;
            return;
        }
    if (t->count == EG_SUMMARY_KINDS) {
        t->others++;
        return;
    }
    t->kinds[t->count++] = (struct eg_refused){ .first = *e, .count = 1 };
}

static void printable(const char *text, size_t cap, char *out)
{
    size_t i = 0;
    for (; i + 1 < cap && text[i]; i++)
        out[i] = text[i] > ' ' && text[i] < 127 ? text[i] : '?';
    out[i] = '\0';
}

static enum eg_status line(const struct eg_refused *r, bool color, struct eg_buf *out)
{
    const struct egress_event *e = &r->first;
    char host[sizeof e->host], rule[sizeof e->rule], service[sizeof e->service];
    printable(e->host, sizeof host, host);
    printable(e->rule, sizeof rule, rule);
    printable(e->service, sizeof service, service);
    enum eg_status status = eg_buf_printf(out, "%s%s%s %llux  ", color ? "\033[31m" : "",
                                          e->allowed ? "would refuse" : "refused",
                                          color ? "\033[0m" : "", (unsigned long long)r->count);
    if (status == EG_OK && host[0])
        status = e->port ? eg_buf_printf(out, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
                                         (unsigned)e->port)
                         : eg_buf_printf(out, "%s", host);
    else if (status == EG_OK)
        status = eg_buf_printf(out, "%s", service[0] ? service : "-");
    if (status == EG_OK)
        status = eg_buf_printf(out, "  %s  (%s)\n", egress_status_name((enum eg_status)e->reason),
                               rule[0] ? rule : "no rule");
    return status;
}

static enum eg_status write_all(const struct eg_tally *t, bool color, struct eg_buf *out)
{
    unsigned shown = 0;
    uint64_t kinds = t->others;
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < t->count && status == EG_OK; i++) {
        if (t->kinds[i].count == 0)
            continue;
        if (shown++ < EG_SUMMARY_LINES)
            status = line(&t->kinds[i], color, out);
        else
            kinds++;
    }
    if (status == EG_OK && kinds > 0)
        status = eg_buf_printf(out, "and %llu more; `egressctl audit --denied` shows all\n",
                               (unsigned long long)kinds);
    return status;
}

enum eg_status eg_summary_write(const struct egress_ring *ring, bool color, struct eg_buf *out)
{
    struct eg_tally t = { .kinds = calloc(EG_SUMMARY_KINDS, sizeof *t.kinds) };
    struct egress_event *e = malloc(sizeof *e);
    uint64_t newest = 0, lost;
    enum eg_status status = t.kinds && e ? EG_OK : EG_NOMEM;
    if (status == EG_OK) {
        egress_ring_stats(ring, &newest, NULL, NULL);
        for (uint64_t at = 0;
             at < newest && egress_ring_read(ring, at, e, &lost) == EG_OK && e->seq > at;
             at = e->seq)
            count(&t, e);
        status = write_all(&t, color, out);
    }
    free(e);
    free(t.kinds);
    return status;
}
