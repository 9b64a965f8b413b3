/* view.c - rows for people: one a decision, with what its `end` said beside it. It reads events and
 * writes text; no files, no sockets.
 *
 * Invariant: every text of an event is escaped here, since hosts, paths and methods are what a
 * child made them. */
#include "cmd/view.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/table.h"

struct eg_view {
    bool color;
    struct egress_event *events;
    size_t count, cap;
    struct eg_table *ends; /* id -> index + 1 of its end */
};

bool eg_view_wanted(const struct eg_view_filter *f, const struct egress_event *e)
{
    if (f->session && strcmp(f->session, e->session) != 0)
        return false;
    if (!f->denied)
        return true;
    return (e->kind == EGRESS_EVENT_DECISION && !e->allowed) || egress_event_would_deny(e) ||
           e->kind == EGRESS_EVENT_CANARY;
}

enum eg_status eg_view_new(bool color, struct eg_view **ret)
{
    struct eg_view *v = calloc(1, sizeof *v);
    if (!v)
        return EG_NOMEM;
    v->color = color;
    enum eg_status status = eg_table_new(&v->ends, EG_VIEW_MAX);
    if (status != EG_OK) {
        free(v);
        return status;
    }
    *ret = v;
    return EG_OK;
}

void eg_view_free(struct eg_view *v)
{
    if (!v)
        return;
    eg_table_free(v->ends, NULL);
    free(v->events);
    free(v);
}

enum eg_status eg_view_add(struct eg_view *v, const struct egress_event *e)
{
    if (v->count == EG_VIEW_MAX)
        return EG_TOO_BIG;
    if (v->count == v->cap) {
        size_t cap = v->cap ? 2 * v->cap : 64;
        struct egress_event *grown = realloc(v->events, cap * sizeof *grown);
        if (!grown)
            return EG_NOMEM;
        v->events = grown;
        v->cap = cap;
    }
    v->events[v->count++] = *e;
    if (e->kind != EGRESS_EVENT_END)
        return EG_OK;
    enum eg_status status =
        eg_table_add(v->ends, eg_slice(&e->id, sizeof e->id), (void *)(uintptr_t)v->count);
    return status == EG_EXISTS ? EG_OK : status;
}

/* ---- one row ---- */

static enum eg_status put_text(struct eg_buf *out, const char *text, size_t max)
{
    enum eg_status status = EG_OK;
    for (size_t i = 0; i < max && text[i] && status == EG_OK; i++) {
        unsigned char c = (unsigned char)text[i];
        status = c >= 0x20 && c < 0x7f ? eg_buf_append(out, text + i, 1)
                                       : eg_buf_printf(out, "\\x%02x", c);
    }
    return status;
}

static enum eg_status put_bytes(struct eg_buf *out, uint64_t n)
{
    static const char units[] = " KMGT";
    int u = 0;
    double v = (double)n;
    while (v >= 1000 && units[u + 1]) {
        v /= 1024;
        u++;
    }
    return u ? eg_buf_printf(out, "%.1f%c", v, units[u]) : eg_buf_printf(out, "%u", (unsigned)n);
}

/* Spaces up to a column, at least one. */
static enum eg_status pad(struct eg_buf *out, size_t from, size_t width)
{
    enum eg_status status = eg_buf_append(out, " ", 1);
    while (status == EG_OK && out->len - from < width)
        status = eg_buf_append(out, " ", 1);
    return status;
}

static const char *via_name(uint8_t via)
{
    static const char *const names[] = { "-", "tunnel", "http", "route", "socks", "captured" };
    return via < sizeof names / sizeof *names ? names[via] : "?";
}

static enum eg_status put_target(struct eg_buf *out, const struct egress_event *e)
{
    enum eg_status status = EG_OK;
    if (e->kind == EGRESS_EVENT_SYSTEM)
        return put_text(out, e->detail, sizeof e->detail);
    if (e->method[0]) {
        status = put_text(out, e->method, sizeof e->method);
        if (status == EG_OK)
            status = eg_buf_append(out, " ", 1);
    }
    const char *host = e->host[0] ? e->host : "-";
    bool v6 = strchr(host, ':') != NULL;
    if (status == EG_OK && v6)
        status = eg_buf_append(out, "[", 1);
    if (status == EG_OK)
        status = put_text(out, host, sizeof e->host);
    if (status == EG_OK && e->port)
        status = eg_buf_printf(out, "%s:%u", v6 ? "]" : "", e->port);
    return status == EG_OK ? put_text(out, e->path, sizeof e->path) : status;
}

static enum eg_status put_end(struct eg_buf *out, const struct egress_event *end)
{
    enum eg_status status = end->http_status ? eg_buf_printf(out, " %u", end->http_status) : EG_OK;
    if (status == EG_OK)
        status = eg_buf_append(out, " up ", 4);
    if (status == EG_OK)
        status = put_bytes(out, end->bytes_up);
    if (status == EG_OK)
        status = eg_buf_append(out, " down ", 6);
    if (status == EG_OK)
        status = put_bytes(out, end->bytes_down);
    if (status == EG_OK)
        status = eg_buf_printf(out, " %.3fs", (double)end->duration_us / 1e6);
    return status;
}

static const char *verdict(const struct egress_event *e)
{
    if (e->kind == EGRESS_EVENT_SYSTEM)
        return "system";
    if (e->kind == EGRESS_EVENT_CANARY)
        return "canary";
    if (e->kind == EGRESS_EVENT_END)
        return "end";
    return egress_event_would_deny(e) ? "would" : e->allowed ? "allow" : "deny";
}

/* rule, credential or service, reason of the end and its figures */
static enum eg_status put_tail(struct eg_buf *out, const struct egress_event *e,
                               const struct egress_event *end)
{
    enum eg_status status = EG_OK;
    const struct egress_event *last = e->kind == EGRESS_EVENT_END ? e : end;
    if (e->rule[0] && (status = eg_buf_append(out, "  ", 2)) == EG_OK)
        status = put_text(out, e->rule, sizeof e->rule);
    if (status == EG_OK && e->credential[0] && (status = eg_buf_append(out, "  with ", 7)) == EG_OK)
        status = put_text(out, e->credential, sizeof e->credential);
    if (status == EG_OK && e->kind == EGRESS_EVENT_CANARY && e->detail[0] &&
        (status = eg_buf_append(out, "  ", 2)) == EG_OK)
        status = put_text(out, e->detail, sizeof e->detail);
    if (status == EG_OK && e->service[0] && !e->credential[0] &&
        (status = eg_buf_append(out, "  of ", 5)) == EG_OK)
        status = put_text(out, e->service, sizeof e->service);
    if (status == EG_OK && last)
        status = put_end(out, last);
    if (status == EG_OK && end && end->reason != EG_OK)
        status = eg_buf_printf(out, " %s", egress_status_name((enum eg_status)end->reason));
    return status;
}

enum eg_status eg_view_row(const struct egress_event *e, const struct egress_event *end, bool color,
                           struct eg_buf *out)
{
    char when[32];
    const char *v = verdict(e), *paint = !color                    ? ""
                                         : strcmp(v, "allow") == 0 ? "\033[32m"
                                         : strcmp(v, "end") == 0   ? ""
                                                                   : "\033[31m";
    eg_clock_rfc3339(e->wall_us, when, sizeof when);
    size_t from = out->len;
    enum eg_status status = eg_buf_printf(out, "%.10s %.12s  ", when, when + 11);
    if (status == EG_OK)
        status = put_text(out, e->session[0] ? e->session : "-", sizeof e->session);
    if (status == EG_OK)
        status = pad(out, from, 43);
    if (status == EG_OK)
        status = eg_buf_printf(out, "%s%-6s%s %-6s ", paint, v, *paint ? "\033[0m" : "",
                               e->kind == EGRESS_EVENT_SYSTEM ? "" : via_name(e->via));
    from = out->len;
    if (status == EG_OK)
        status = put_target(out, e);
    if (status == EG_OK)
        status = pad(out, from, 40);
    if (status == EG_OK)
        status = eg_buf_printf(out, "%s", egress_status_name((enum eg_status)e->reason));
    if (status == EG_OK)
        status = put_tail(out, e, end);
    return status == EG_OK ? eg_buf_append(out, "\n", 1) : status;
}

struct eg_slice eg_view_head(void)
{
    return EG_SLICE("TIME (UTC)               SESSION           VERDICT WAY   TARGET               "
                    "                   REASON, RULE, OUTCOME\n");
}

/* ---- the table ---- */

enum eg_status eg_view_write(const struct eg_view *v, const struct eg_view_filter *f,
                             enum eg_status (*line)(void *ctx, struct eg_slice text), void *ctx)
{
    struct eg_buf row;
    eg_buf_init(&row, 16384);
    enum eg_status status = line(ctx, eg_view_head());
    for (size_t i = 0; i < v->count && status == EG_OK; i++) {
        const struct egress_event *e = &v->events[i];
        if (e->kind == EGRESS_EVENT_END || !eg_view_wanted(f, e))
            continue;
        size_t end = e->kind == EGRESS_EVENT_DECISION
                         ? (size_t)(uintptr_t)eg_table_get(v->ends, eg_slice(&e->id, sizeof e->id))
                         : 0;
        eg_buf_reset(&row);
        status = eg_view_row(e, end ? &v->events[end - 1] : NULL, v->color, &row);
        if (status == EG_OK)
            status = line(ctx, eg_buf_slice(&row));
    }
    eg_buf_done(&row);
    return status;
}
