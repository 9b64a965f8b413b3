/* flow.c - runs flow_request.md and flow_response.md: each row through a whole engine, at once, byte by byte and cut in two at places all over it. */
#include <criterion/criterion.h>

#include "support/flow_run.h"
#include "support/http_feed.h"
#include "support/vectors.h"

enum { SENT, STATUS, FAR, COLUMNS, TEXT = 8192, CUTS = 12 };

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/* `{N*c}`; @ is the phantom or the credential, $ the origin's authority. */
static size_t expand(const struct flow_world *w, struct eg_slice cell, const char *at, char *out)
{
    static char plain[TEXT];
    size_t n = eg_fed_expand(cell, plain, sizeof plain), len = 0;
    for (size_t i = 0; i < n; i++) {
        const char *with = plain[i] == '@' ? at : plain[i] == '$' ? w->origin_text : NULL;
        size_t one = with ? strlen(with) : 1;
        cr_assert_lt(len + one, (size_t)TEXT);
        memcpy(out + len, with ? with : plain + i, one);
        len += one;
    }
    return len;
}

static void say_cut(struct flow_world *w, struct eg_stream *to_whom, const char *p, size_t n,
                    size_t step, size_t cut)
{
    for (size_t at = 0; at < n;) {
        size_t to = at + step < n ? at + step : n;
        to = cut > at && cut < to ? cut : to;
        flow_say(w, to_whom, p + at, to - at);
        (void)flow_turn(w);
        at = to;
    }
}

static bool refused_as(const struct flow_world *w, struct eg_slice status)
{
    char want[96];
    long space = eg_slice_index(status, ' ');
    if (space < 0)
        return false;
    snprintf(want, sizeof want, "HTTP/1.%d %.*s ", w->down[7] - '0', (int)space, status.p);
    if (w->down_n < 20 || memcmp(w->down, want, strlen(want)) != 0)
        return false;
    snprintf(want, sizeof want, "X-Egress-Reason: %.*s\r\n", (int)(status.n - (size_t)space - 1),
             status.p + space + 1);
    return flow_has(w->down, w->down_n, want);
}

/* Chunks follow what arrives: those of the message that begins at p become one. */
static size_t join_chunks(char *p, size_t n)
{
    static char data[FLOW_BYTES];
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    size_t at = end ? (size_t)(end - p) + 4 : n, len = 0, used;
    unsigned size;
    char line[16];
    if (!flow_has(p, at, "\r\nTransfer-Encoding: chunked\r\n"))
        return n;
    const size_t body = at;
    for (; at < n; at += used + size + 2) {
        size_t left = n - at < sizeof line - 1 ? n - at : sizeof line - 1;
        memcpy(line, p + at, left);
        line[left] = '\0';
        int digits = 0;
        if (sscanf(line, "%x%n", &size, &digits) != 1 || size == 0)
            break;
        used = (size_t)digits + 2;
        if (at + used + size + 2 > n)
            break;
        memcpy(data + len, p + at + used, size);
        len += size;
    }
    size_t rest = n - at;
    memmove(data + len, p + at, rest);
    n = body;
    if (len > 0)
        n += (size_t)snprintf(p + body, 16, "%zx\r\n", len);
    memcpy(p + n, data, len);
    n += len;
    if (len > 0) {
        memcpy(p + n, "\r\n", 2);
        n += 2;
    }
    memmove(p + n, data + len, rest);
    return n + rest;
}

static void tell(const struct eg_vector_row *row, size_t step, size_t cut, const char *p, size_t n,
                 struct eg_slice far)
{
    cr_expect(n == far.n && (n == 0 || memcmp(p, far.p, n) == 0), "%s:%d: by %zu, cut at %zu: %s",
              row->file, row->line, step, cut, eg_vector_show(eg_slice(p, n)));
}

static void request(struct flow_world *w, const struct eg_vector_row *row, size_t step, size_t cut)
{
    static char sent[TEXT], far[TEXT];
    size_t n = expand(w, row->cell[SENT], FLOW_PHANTOM, sent);
    size_t far_n = expand(w, row->cell[FAR], FLOW_SECRET, far);
    bool ok = eg_vector_is(row->cell[STATUS], "ok");
    flow_open(w);
    say_cut(w, w->client, sent, n, step, cut);
    flow_settle(w);
    if (ok)
        flow_say(w, w->origin, ANSWER, sizeof ANSWER - 1);
    flow_settle(w);
    w->up_n = join_chunks(w->up, w->up_n);
    tell(row, step, cut, w->up, w->up_n, eg_slice(far, join_chunks(far, far_n)));
    cr_expect(ok ? w->down_n > 12 && memcmp(w->down + 8, " 200", 4) == 0
                 : refused_as(w, row->cell[STATUS]),
              "%s:%d: %s", row->file, row->line, eg_vector_show(eg_slice(w->down, w->down_n)));
    flow_close(w);
}

static void drop_date(struct flow_world *w)
{
    static const char name[] = "\r\nDate: ";
    char *at = memmem(w->down, w->down_n, name, sizeof name - 1);
    char *end = at ? memmem(at + 2, w->down_n - (size_t)(at + 2 - w->down), "\r\n", 2) : NULL;
    if (!end)
        return;
    memmove(at, end, w->down_n - (size_t)(end - w->down));
    w->down_n -= (size_t)(end - at);
}

static void response(struct flow_world *w, const struct eg_vector_row *row, size_t step, size_t cut)
{
    static const char asked[] =
        "GET /api/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " FLOW_PHANTOM
        "\r\nConnection: close\r\n\r\n";
    static char sent[TEXT], far[TEXT];
    size_t n = expand(w, row->cell[SENT], FLOW_SECRET, sent);
    size_t far_n = expand(w, row->cell[FAR], FLOW_PHANTOM, far);
    flow_open(w);
    flow_say(w, w->client, asked, sizeof asked - 1);
    flow_settle(w);
    say_cut(w, w->origin, sent, n, step, cut);
    flow_end(w->origin);
    flow_settle(w);
    drop_date(w);
    w->down_n = join_chunks(w->down, w->down_n);
    far_n = join_chunks(far, far_n);
    if (eg_vector_is(row->cell[STATUS], "cut"))
        far_n = w->down_n < far_n ? w->down_n : far_n;
    if (row->cell[FAR].n > 0)
        tell(row, step, cut, w->down, w->down_n, eg_slice(far, far_n));
    else
        cr_expect(refused_as(w, row->cell[STATUS]), "%s:%d: by %zu, cut at %zu: %s", row->file,
                  row->line, step, cut, eg_vector_show(eg_slice(w->down, w->down_n)));
    flow_close(w);
}

struct run {
    struct flow_world *w;
    void (*one)(struct flow_world *w, const struct eg_vector_row *row, size_t step, size_t cut);
};

static void each(const struct eg_vector_row *row, void *ctx)
{
    const struct run *r = ctx;
    size_t n = row->cell[SENT].n;
    r->one(r->w, row, SIZE_MAX / 2, 0);
    r->one(r->w, row, 1, 0);
    for (size_t cut = 1; cut < n; cut += 1 + n / CUTS)
        r->one(r->w, row, SIZE_MAX / 2, cut);
}

Test(proxy, flow_request_table, .timeout = 300)
{
    struct run r = { flow_new(""), request };
    cr_expect_geq(eg_vectors_each("tests/vectors/flow_request.md", COLUMNS, each, &r), 150);
    flow_free(r.w);
}

Test(proxy, flow_response_table, .timeout = 300)
{
    struct run r = { flow_new(""), response };
    cr_expect_geq(eg_vectors_each("tests/vectors/flow_response.md", COLUMNS, each, &r), 60);
    flow_free(r.w);
}
