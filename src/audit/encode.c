/* encode.c - an event as one JSON object, by hand: the hot path needs no tree and no
 * allocation.
 *
 * Texts may hold bytes that an attacker chose. Whatever is not printable ASCII is escaped, so a
 * line stays a line and a terminal stays a terminal. The order of the keys is part of the
 * format. */
#include "audit/encode.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

#define JSON_INT_MAX ((UINT64_C(1) << 53) - 1) /* RFC 8259 section 6 */

const char *const eg_audit_kinds[EG_AUDIT_KINDS] = { "", "decision", "end", "canary", "system" };
const char *const eg_audit_vias[EG_AUDIT_VIAS] = { "",      "tunnel", "forward",
                                                   "route", "socks",  "captured" };
const char *const eg_audit_stages[EG_AUDIT_STAGES] = { "request", "address", "hello", "connect",
                                                       "response" };

struct writer {
    char *out;
    size_t n, cap; /* n stays below cap for the NUL */
    bool full;
};

static void put(struct writer *w, const char *p, size_t n)
{
    if (w->full || n >= w->cap - w->n) {
        w->full = true;
        return;
    }
    memcpy(w->out + w->n, p, n);
    w->n += n;
}

static void put_str(struct writer *w, const char *s)
{
    put(w, s, strlen(s));
}

static void put_u64(struct writer *w, uint64_t v)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%llu",
                     (unsigned long long)(v < JSON_INT_MAX ? v : JSON_INT_MAX));
    put(w, digits, (size_t)n);
}

static void put_escaped(struct writer *w, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    if (c == '"' || c == '\\') {
        char pair[2] = { '\\', (char)c };
        put(w, pair, 2);
    } else if (c >= 0x20 && c < 0x7f) {
        put(w, (const char *)&c, 1);
    } else {
        char code[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
        put(w, code, sizeof code);
    }
}

static void key(struct writer *w, const char *name)
{
    put_str(w, w->n > 1 ? ",\"" : "\"");
    put_str(w, name);
    put_str(w, "\":");
}

/* At most size bytes, in case nobody ended the text. */
static void text(struct writer *w, const char *name, const char *s, size_t size)
{
    size_t n = strnlen(s, size);
    if (n == 0)
        return;
    key(w, name);
    put_str(w, "\"");
    for (size_t i = 0; i < n; i++)
        put_escaped(w, (unsigned char)s[i]);
    put_str(w, "\"");
}

static void word(struct writer *w, const char *name, const char *s)
{
    text(w, name, s, strlen(s));
}

static void number(struct writer *w, const char *name, uint64_t v)
{
    key(w, name);
    put_u64(w, v);
}

static void number_if(struct writer *w, const char *name, uint64_t v)
{
    if (v)
        number(w, name, v);
}

static void duration(struct writer *w, uint64_t us)
{
    char fraction[8];
    if (us > JSON_INT_MAX)
        us = JSON_INT_MAX;
    number(w, "duration_ms", us / 1000);
    snprintf(fraction, sizeof fraction, ".%03u", (unsigned)(us % 1000));
    put_str(w, fraction);
}

static void head(struct writer *w, const struct egress_event *e)
{
    char when[32];
    number(w, "v", EGRESS_AUDIT_SCHEMA);
    number(w, "seq", e->seq);
    number_if(w, "id", e->id);
    word(w, "time", eg_clock_rfc3339(e->wall_us, when, sizeof when));
    word(w, "event", e->kind < EG_AUDIT_KINDS ? eg_audit_kinds[e->kind] : "");
    text(w, "session", e->session, sizeof e->session);
    word(w, "mode", e->observe ? "observe" : "enforce");
    if (e->kind != EGRESS_EVENT_SYSTEM)
        word(w, "decision",
             egress_event_would_deny(e) ? "would_deny"
             : e->allowed           ? "allow"
                                    : "deny");
    word(w, "reason", egress_status_name(e->reason));
    text(w, "rule", e->rule, sizeof e->rule);
    word(w, "via", e->via < EG_AUDIT_VIAS ? eg_audit_vias[e->via] : "");
    if (e->kind != EGRESS_EVENT_SYSTEM)
        word(w, "stage", e->stage < EG_AUDIT_STAGES ? eg_audit_stages[e->stage] : "");
}

static void rest(struct writer *w, const struct egress_event *e)
{
    text(w, "host", e->host, sizeof e->host);
    number_if(w, "port", e->port);
    text(w, "address", e->address, sizeof e->address);
    text(w, "method", e->method, sizeof e->method);
    text(w, "path", e->path, sizeof e->path);
    text(w, "service", e->service, sizeof e->service);
    text(w, "credential", e->credential, sizeof e->credential);
    number_if(w, "status", e->http_status);
    if (e->kind == EGRESS_EVENT_END) {
        number(w, "bytes_up", e->bytes_up);
        number(w, "bytes_down", e->bytes_down);
        duration(w, e->duration_us);
    }
    text(w, "detail", e->detail, sizeof e->detail);
    number(w, "worker", e->writer);
    if (e->truncated) {
        key(w, "truncated");
        put_str(w, "true");
    }
}

size_t egress_event_json(const struct egress_event *e, char *out, size_t cap)
{
    struct writer w = { .out = out, .cap = cap, .full = cap == 0 };
    put_str(&w, "{");
    head(&w, e);
    rest(&w, e);
    put_str(&w, "}");
    if (w.full) {
        if (cap > 0)
            out[0] = '\0';
        return 0;
    }
    out[w.n] = '\0';
    return w.n;
}
