/* http_feed.c - drives an eg_msg as a connection would, piece by piece, and writes down all that
 * it says. */
#include "support/http_feed.h"

#include <stdio.h>
#include <stdlib.h>

struct feeder {
    struct eg_msg *m;
    struct eg_fed *fed;
    bool head_done, over; /* over: complete or refused */
};

static void put(char *to, size_t *n, struct eg_slice s)
{
    size_t room = EG_FED_TEXT - 1 - *n;
    size_t take = s.n < room ? s.n : room;
    if (take > 0) {
        memcpy(to + *n, s.p, take);
    }
    *n += take;
    to[*n] = '\0';
}

static void put_str(char *to, size_t *n, const char *s)
{
    put(to, n, eg_slice_str(s));
}

size_t eg_fed_expand(struct eg_slice text, char *out, size_t cap)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned count = 1;
        int used = 0;
        char c = text.p[i];
        if (c == '{' && sscanf(text.p + i, "{%u*%c}%n", &count, &c, &used) == 2 && used > 0) {
            i += (size_t)used - 1;
        }
        if (n + count > cap) {
            return 0;
        }
        memset(out + n, c, count);
        n += count;
    }
    return n;
}

static void name_status(enum eg_status status, char *to, size_t cap)
{
    if (status == EG_OK || status == EG_AGAIN || status == EG_CLOSED) {
        snprintf(to, cap, "%s", egress_status_name(status));
    } else {
        snprintf(to, cap, "%d %s", egress_status_http(status), egress_status_name(status));
    }
}

static void show_framing(const struct eg_head *h, char *to, size_t cap)
{
    static const char *const names[] = { "none", "length", "chunked", "close" };
    if (h->framing == EG_BODY_LENGTH) {
        snprintf(to, cap, " %u.%u length:%llu %s", 1, h->minor, (unsigned long long)h->length,
                 h->keep_alive ? "keep" : "close");
    } else {
        snprintf(to, cap, " %u.%u %s %s", 1, h->minor, names[h->framing],
                 h->keep_alive ? "keep" : "close");
    }
}

static void show_head(const struct eg_head *h, struct eg_fed *fed)
{
    char text[64];
    size_t *n = &fed->head_n;
    if (h->method.n > 0) {
        put(fed->head, n, h->method);
        put_str(fed->head, n, " ");
        put(fed->head, n, h->target);
    } else {
        snprintf(text, sizeof(text), "%u", h->status);
        put_str(fed->head, n, text);
    }
    show_framing(h, text, sizeof(text));
    put_str(fed->head, n, text);
    put_str(fed->head, n, h->upgrade ? " upgrade" : "");
    put_str(fed->head, n, h->expect_continue ? " expect" : "");
    if (h->host.p != NULL && !eg_slice_eq(h->host, EG_SLICE("a"))) {
        put_str(fed->head, n, " host=");
        put(fed->head, n, h->host);
    }
    if (h->method.n == 0) {
        put_str(fed->head, n, " reason=");
        put(fed->head, n, h->reason);
        if (h->framing == EG_BODY_NONE && h->has_length) {
            snprintf(text, sizeof(text), " clen=%llu", (unsigned long long)h->length);
            put_str(fed->head, n, text);
        }
    }
    for (uint32_t i = 0; i < h->field_count; i++) {
        put_str(fed->fields, &fed->fields_n, i > 0 ? "; " : "");
        put(fed->fields, &fed->fields_n, h->fields[i].name);
        put_str(fed->fields, &fed->fields_n, "=");
        put(fed->fields, &fed->fields_n, h->fields[i].value);
    }
}

static size_t feed_head(struct feeder *f, const char *p, size_t n)
{
    size_t used = 0;
    struct eg_err err = { 0 };
    enum eg_status status = eg_msg_head(f->m, p, n, &used, &err);
    name_status(status, f->fed->outcome, sizeof(f->fed->outcome));
    if (status == EG_OK) {
        f->head_done = true;
        f->over = eg_msg_complete(f->m);
        show_head(eg_msg_head_get(f->m), f->fed);
    } else if (status != EG_AGAIN) {
        f->over = true;
        if (err.status != status || err.text[0] == '\0') {
            snprintf(f->fed->outcome, sizeof(f->fed->outcome), "no detail");
        }
        return n;
    }
    return used;
}

static size_t feed_body(struct feeder *f, const char *p, size_t n)
{
    size_t used = 0;
    struct eg_slice data = EG_SLICE_NONE;
    struct eg_err err = { 0 };
    enum eg_status status = eg_msg_body(f->m, p, n, &used, &data, &err);
    if (status == EG_OK || status == EG_AGAIN || status == EG_EOF) {
        bool inside = data.n == 0 || (data.p >= p && data.p + data.n <= p + used);
        put(f->fed->body, &f->fed->body_n, data);
        put_str(f->fed->body, &f->fed->body_n,
                inside && (status != EG_AGAIN || data.n == 0) ? "" : "(misplaced)");
        f->over = status == EG_EOF;
        return used;
    }
    char name[64];
    name_status(status, name, sizeof(name));
    put_str(f->fed->body, &f->fed->body_n, "!");
    put_str(f->fed->body, &f->fed->body_n, name);
    f->over = true;
    return n;
}

/* One piece, as often as the parser wants to go on with it; what it leaves at the end of the
 * message is left over. */
static void feed_piece(struct feeder *f, const char *p, size_t n)
{
    while (n > 0 && !f->over) {
        size_t used = f->head_done ? feed_body(f, p, n) : feed_head(f, p, n);
        p += used;
        n -= used;
    }
    bool refused = f->over && !eg_msg_complete(f->m);
    put(f->fed->rest, &f->fed->rest_n, eg_slice(p, refused ? 0 : n));
}

static void end_stream(struct feeder *f)
{
    char name[64];
    bool complete = eg_msg_complete(f->m);
    bool refused = f->over && !complete;
    enum eg_status status = eg_msg_finish(f->m, NULL);
    name_status(status, name, sizeof(name));
    if (!f->head_done && status == EG_CLOSED) {
        snprintf(f->fed->outcome, sizeof(f->fed->outcome), "closed");
    } else if (f->head_done && !refused && status != EG_EOF) {
        put_str(f->fed->body, &f->fed->body_n, "!");
        put_str(f->fed->body, &f->fed->body_n, name);
    } else if (refused && (status == EG_EOF || status == EG_CLOSED)) {
        put_str(f->fed->body, &f->fed->body_n, "(a refused message ended well)");
    } else if (complete && status != EG_EOF) {
        put_str(f->fed->body, &f->fed->body_n, "(a complete message did not end well)");
    }
}

void eg_fed_run(struct eg_msg *m, struct eg_slice asked, struct eg_slice bytes, size_t step,
                size_t cut, struct eg_fed *ret)
{
    struct feeder f = { .m = m, .fed = ret };
    memset(ret, 0, sizeof(*ret));
    snprintf(ret->outcome, sizeof(ret->outcome), "again");
    eg_msg_reset(m, asked);
    for (size_t at = 0; at < bytes.n;) {
        size_t to = at + step < bytes.n ? at + step : bytes.n;
        if (cut > at && cut < to) {
            to = cut;
        }
        char *piece = malloc(to - at);
        if (piece == NULL) {
            abort();
        }
        memcpy(piece, bytes.p + at, to - at);
        feed_piece(&f, piece, to - at);
        free(piece);
        at = to;
    }
    end_stream(&f);
}

static bool same(const char *a, size_t an, const char *b, size_t bn)
{
    return an == bn && memcmp(a, b, an) == 0;
}

bool eg_fed_same(const struct eg_fed *a, const struct eg_fed *b)
{
    return strcmp(a->outcome, b->outcome) == 0 && same(a->head, a->head_n, b->head, b->head_n) &&
           same(a->fields, a->fields_n, b->fields, b->fields_n) &&
           same(a->body, a->body_n, b->body, b->body_n) &&
           same(a->rest, a->rest_n, b->rest, b->rest_n);
}
