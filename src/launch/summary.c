/* summary.c - what was refused, for the person who started the child: each kind of refusal once, in the
 * order of their first time, with the command that explains it, or what it was.
 *
 * The ring is written by workers that parse hostile bytes: every text of it is shown with anything
 * unprintable replaced, and a command holds nothing that a shell would take for more than a word. */
#include "launch/launch.h"

#include <stdio.h>
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
    uint64_t lost;   /* overwritten before they were counted */
    bool others_ours;
};

static bool wanted(const struct egress_event *e)
{
    return e->kind == EGRESS_EVENT_DECISION && (!e->allowed || egress_event_would_deny(e));
}

/* Was it the policy, a session or a limit that refused, or the child that spoke badly, rather than
 * the world outside that failed? */
static bool is_ours(const struct egress_event *e)
{
    enum eg_class class = egress_status_class((enum eg_status)e->reason);
    return class == EG_CLASS_POLICY || class == EG_CLASS_AUTH || class == EG_CLASS_LIMIT ||
           class == EG_CLASS_CLIENT;
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
        t->others_ours = t->others_ours || is_ours(e);
        return;
    }
    t->kinds[t->count++] = (struct eg_refused){ .first = *e, .count = 1 };
}

static void printable(const char *text, size_t cap, bool blanks, char *out)
{
    size_t i = 0;
    for (; i + 1 < cap && text[i]; i++)
        out[i] = (text[i] > ' ' || (blanks && text[i] == ' ')) && text[i] < 127 ? text[i] : '?';
    out[i] = '\0';
}

/* ---- the command that explains it ---- */

/* Only bytes that mean nothing to a shell, wherever they stand, and no option. */
static bool is_word(const char *text)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "._-/:@%+,=";
    return text[0] && text[0] != '-' && text[strspn(text, good)] == '\0';
}

/* Of a host as the proxy writes it. */
static bool is_host(const char *text)
{
    return text[0] && text[0] != '-' &&
           !text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-:")];
}

static bool is_method(const char *text)
{
    return text[0] >= 'A' && text[0] <= 'Z' && !text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-")];
}

/* The rules know nothing of what is inside TLS, nor that an address is the proxy's own. */
static bool is_explained(const struct egress_event *e)
{
    enum eg_status reason = (enum eg_status)e->reason;
    return egress_status_class(reason) == EG_CLASS_POLICY && reason != EG_SNI_MISMATCH &&
           reason != EG_NOT_TLS && reason != EG_POLICY_CUT &&
           !strstr(e->detail, "the proxy itself");
}

/* The words behind the options; false: there are none that could be pasted. */
static bool operand(const struct egress_event *e, char *out, size_t cap)
{
    bool v6 = strchr(e->host, ':') != NULL;
    const char *open = v6 ? "[" : "", *close = v6 ? "]" : "";
    bool request = e->path[0] == '/' && is_word(e->path) && !e->truncated && is_method(e->method);
    int n = 0;
    if (e->service[0] && request && is_word(e->service))
        n = snprintf(out, cap, "--service %s -X %s %s", e->service, e->method, e->path);
    else if (!e->service[0] && !e->path[0] && e->port && is_host(e->host) &&
             e->via != EGRESS_VIA_FORWARD)
        n = snprintf(out, cap, v6 ? "'%s%s%s:%u'" : "%s%s%s:%u", open, e->host, close, e->port);
    else if (!e->service[0] && request && e->port && is_host(e->host))
        n = snprintf(out, cap, v6 ? "-X %s 'http://%s%s%s:%u%s'" : "-X %s http://%s%s%s:%u%s",
                     e->method, open, e->host, close, e->port, e->path);
    return n > 0 && (size_t)n < cap;
}

static enum eg_status hint(const struct egress_event *e, const char *options, struct eg_buf *out)
{
    char words[sizeof e->path + sizeof e->host + 200], address[sizeof e->address + 16] = "";
    char detail[sizeof e->detail];
    printable(e->detail, sizeof detail, true, detail);
    if (!is_explained(e) || !operand(e, words, sizeof words))
        return eg_buf_printf(out, "    %s%s%s\n", egress_status_sentence((enum eg_status)e->reason),
                             detail[0] ? ": " : "", detail);
    if (e->stage == EGRESS_STAGE_ADDRESS && is_host(e->address))
        snprintf(address, sizeof address, "--address %s ", e->address);
    return eg_buf_printf(out, "    egressctl explain %s%s%s%s\n", options ? options : "",
                         options && options[0] ? " " : "", address, words);
}

/* ---- the lines ---- */

static enum eg_status line(const struct eg_refused *r, const char *options, bool color,
                           struct eg_buf *out)
{
    const struct egress_event *e = &r->first;
    char host[sizeof e->host], rule[sizeof e->rule], service[sizeof e->service];
    printable(e->host, sizeof host, false, host);
    printable(e->rule, sizeof rule, false, rule);
    printable(e->service, sizeof service, false, service);
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
    return status == EG_OK ? hint(e, options, out) : status;
}

static enum eg_status write_all(const struct eg_tally *t, const char *options, bool color,
                                struct eg_buf *out)
{
    unsigned shown = 0;
    uint64_t kinds = t->others;
    enum eg_status status = EG_OK;
    for (unsigned i = 0; i < t->count && status == EG_OK; i++) {
        if (t->kinds[i].count == 0)
            continue;
        if (shown++ < EG_SUMMARY_LINES)
            status = line(&t->kinds[i], options, color, out);
        else
            kinds++;
    }
    if (status == EG_OK && kinds > 0)
        status = eg_buf_printf(out, "and %llu more; `egressctl audit --denied` shows all\n",
                               (unsigned long long)kinds);
    return status;
}

static bool was_denied(const struct eg_tally *t)
{
    bool denied = t->others_ours;
    for (unsigned i = 0; i < t->count; i++)
        denied = denied || (t->kinds[i].count > 0 && is_ours(&t->kinds[i].first));
    return denied;
}

enum eg_status eg_summary_write(const struct egress_ring *ring, const char *options, bool color,
                                struct eg_buf *out, struct eg_summary *ret)
{
    struct eg_tally t = { .kinds = calloc(EG_SUMMARY_KINDS, sizeof *t.kinds) };
    struct egress_event *e = malloc(sizeof *e);
    uint64_t newest = 0, lost = 0;
    enum eg_status status = t.kinds && e ? EG_OK : EG_NOMEM;
    if (status == EG_OK) {
        egress_ring_stats(ring, &newest, NULL, NULL);
        for (uint64_t at = 0;
             at < newest && egress_ring_read(ring, at, e, &lost) == EG_OK && e->seq > at;
             at = e->seq) {
            t.lost += lost;
            count(&t, e);
        }
        status = write_all(&t, options, color, out);
        *ret = (struct eg_summary){ .denied = was_denied(&t), .lost = t.lost };
    }
    free(e);
    free(t.kinds);
    return status;
}
