/* origin_leaks.c - what the test origin answers that has to do with credentials, upgrades and trailers:
 *   /leak/WHERE/FORM[/N]  gives back the credential it was sent (Authorization: Bearer, else x-api-key) in that form:
 *       plain base64-0 base64-1 base64-2 (bytes before it) base64url-0.. basic percent percent-lower json json-slash
 *     WHERE: body (N bytes stand before it) chunks (N bytes each, 1 by default) close (no length) events (a stream) error (400)
 *       reason field name location cookie interim trailer coded (Content-Encoding: gzip, but it is not) redirect
 *   /secret  200 where Authorization is "Bearer " and the text of DIR/want, else 401
 *   /trailers  a chunked answer with X-Checksum, X-Other and Proxy-Status behind it
 *   /ws  a WebSocket whose bytes come back as they are, after the text that the query holds    /ws/bad  with a wrong proof
 *   /ws/plain  101 without Upgrade    /ws/refused  403    /switch  101 that nobody asked for    /interim/N  N times 103 first
 *   /early/STATUS  answers before the body, and closes    /deaf  never reads the body
 * It sends nothing itself. */
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "http/write.h"
#include "support/origin.h"
#include "tls/sha1.h"

enum { FORM_MAX = 4096 };

static struct eg_slice credential_of(const struct eg_head *h)
{
    const struct eg_field *f = eg_head_find(h, EG_SLICE("Authorization"), NULL);
    struct eg_slice bearer = EG_SLICE("Bearer ");
    if (f && eg_slice_casestarts(f->value, bearer))
        return eg_slice_from(f->value, bearer.n);
    f = eg_head_find(h, EG_SLICE("x-api-key"), NULL);
    return f ? f->value : EG_SLICE_NONE;
}

/* ---- forms ---- */

static enum eg_status base64(struct eg_buf *out, struct eg_slice s, unsigned before, int variant)
{
    unsigned char raw[FORM_MAX];
    char text[FORM_MAX * 2];
    size_t n = 0;
    if (s.n + before + 2 > sizeof raw)
        return EG_TOO_BIG;
    while (n < before)
        raw[n++] = 'x';
    memcpy(raw + n, s.p, s.n);
    n += s.n;
    raw[n++] = ';';
    sodium_bin2base64(text, sizeof text, raw, n, variant);
    return eg_buf_put(out, eg_slice_str(text));
}

static enum eg_status basic(struct eg_buf *out, struct eg_slice s)
{
    char login[FORM_MAX];
    int n = snprintf(login, sizeof login, "user:%.*s", (int)s.n, s.p);
    return base64(out, eg_slice(login, (size_t)n), 0, sodium_base64_VARIANT_ORIGINAL);
}

static enum eg_status percent(struct eg_buf *out, struct eg_slice s, bool upper)
{
    enum eg_status r = EG_OK;
    for (size_t i = 0; i < s.n && r == EG_OK; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     strchr("-._~", c);
        if (plain) {
            r = eg_buf_append(out, &c, 1);
            continue;
        }
        r = upper ? eg_buf_printf(out, "%%%02X", c) : eg_buf_printf(out, "%%%02x", c);
    }
    return r;
}

static enum eg_status json(struct eg_buf *out, struct eg_slice s, bool slash)
{
    enum eg_status r = EG_OK;
    for (size_t i = 0; i < s.n && r == EG_OK; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\' || (slash && s.p[i] == '/'))
            r = eg_buf_append(out, "\\", 1);
        if (r == EG_OK)
            r = eg_buf_append(out, s.p + i, 1);
    }
    return r;
}

static enum eg_status in_form(struct eg_buf *out, struct eg_slice form, struct eg_slice s)
{
    static const struct eg_slice b64 = { "base64-", 7 }, url = { "base64url-", 10 };
    if (eg_slice_starts(form, b64))
        return base64(out, s, (unsigned)(form.p[b64.n] - '0'), sodium_base64_VARIANT_ORIGINAL);
    if (eg_slice_starts(form, url))
        return base64(out, s, (unsigned)(form.p[url.n] - '0'),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    if (eg_slice_eq(form, EG_SLICE("basic")))
        return basic(out, s);
    if (eg_slice_eq(form, EG_SLICE("percent")))
        return percent(out, s, true);
    if (eg_slice_eq(form, EG_SLICE("percent-lower")))
        return percent(out, s, false);
    if (eg_slice_starts(form, EG_SLICE("json")))
        return json(out, s, form.n > 4);
    return eg_buf_put(out, s);
}

/* ---- places ---- */

static enum eg_status whole(struct eg_buf *out, const char *start, const char *fields,
                            struct eg_slice body)
{
    return eg_buf_printf(out, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%.*s", start, fields,
                         body.n, (int)body.n, body.n ? body.p : "");
}

static enum eg_status padded(struct eg_buf *out, unsigned long long pad, struct eg_slice text)
{
    enum eg_status r =
        eg_buf_printf(out, "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n", pad + text.n + 4);
    for (; pad > 0 && r == EG_OK; pad--)
        r = eg_buf_append(out, "-", 1);
    if (r == EG_OK)
        r = eg_buf_put(out, text);
    return r == EG_OK ? eg_buf_put(out, EG_SLICE("-end")) : r;
}

static enum eg_status chunks(struct eg_buf *out, size_t size, struct eg_slice text,
                             const char *type, const char *trailer)
{
    enum eg_status r = eg_buf_printf(
        out, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", type);
    for (size_t at = 0; at < text.n && r == EG_OK; at += size)
        r = eg_write_chunk(out, eg_slice(text.p + at, text.n - at < size ? text.n - at : size));
    return r == EG_OK ? eg_buf_printf(out, "0\r\n%s\r\n", trailer) : r;
}

static enum eg_status in_head(struct eg_buf *out, struct eg_slice where, struct eg_slice text)
{
    static const struct {
        struct eg_slice where;
        const char *before, *after;
    } fields[] = {
        { { "field", 5 }, "X-Echo: before ", " after" },
        { { "location", 8 }, "Location: https://x.test/?k=", "&b=1" },
        { { "redirect", 8 }, "Location: https://x.test/", "/there" },
        { { "cookie", 6 }, "Set-Cookie: k=", "; Path=/" },
        { { "name", 4 }, "X-", ": 1" },
        { { "coded", 5 }, "Content-Encoding: gzip\r\nX-Note: ", "" },
    };
    char line[FORM_MAX * 2] = "";
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (eg_slice_eq(where, fields[i].where))
            snprintf(line, sizeof line, "%s%.*s%s\r\n", fields[i].before, (int)text.n, text.p,
                     fields[i].after);
    return whole(out, "200 OK", line, EG_SLICE("head\n"));
}

static enum eg_status leak_at(struct origin_answer *a, struct eg_slice where, struct eg_slice text,
                              unsigned long long n)
{
    char line[FORM_MAX * 2];
    if (eg_slice_eq(where, EG_SLICE("body")))
        return padded(&a->out, n, text);
    if (eg_slice_eq(where, EG_SLICE("chunks")))
        return chunks(&a->out, n ? (size_t)n : 1, text, "text/plain", "");
    if (eg_slice_eq(where, EG_SLICE("events")))
        return chunks(&a->out, 8, text, "text/event-stream", "");
    if (eg_slice_eq(where, EG_SLICE("error")))
        return whole(&a->out, "400 Bad", "Content-Type: application/json\r\n", text);
    if (eg_slice_eq(where, EG_SLICE("trailer"))) {
        snprintf(line, sizeof line, "X-Checksum: %.*s\r\n", (int)text.n, text.p);
        return chunks(&a->out, 64, EG_SLICE("with a trailer"), "text/plain", line);
    }
    if (eg_slice_eq(where, EG_SLICE("reason"))) {
        snprintf(line, sizeof line, "200 Well %.*s", (int)text.n, text.p);
        return whole(&a->out, line, "", EG_SLICE("reason\n"));
    }
    if (eg_slice_eq(where, EG_SLICE("interim"))) {
        enum eg_status r = eg_buf_printf(&a->out, "HTTP/1.1 103 Hints %.*s\r\nLink: %.*s\r\n\r\n",
                                         (int)text.n, text.p, (int)text.n, text.p);
        return r == EG_OK ? whole(&a->out, "200 OK", "", EG_SLICE("interim\n")) : r;
    }
    if (eg_slice_eq(where, EG_SLICE("close"))) {
        a->after = ORIGIN_CLOSE;
        return eg_buf_printf(&a->out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%.*s",
                             (int)text.n, text.p);
    }
    return in_head(&a->out, where, text);
}

/* The next segment of a path. */
static struct eg_slice segment(struct eg_slice *rest)
{
    long end = eg_slice_index(*rest, '/');
    struct eg_slice part = end < 0 ? *rest : eg_slice(rest->p, (size_t)end);
    *rest = eg_slice_from(*rest, end < 0 ? rest->n : (size_t)end + 1);
    return part;
}

static enum eg_status leak(const struct origin_request *q, struct origin_answer *a)
{
    struct eg_slice rest = eg_slice_from(q->path, sizeof "/leak/" - 1);
    struct eg_slice where = segment(&rest), form = segment(&rest);
    struct eg_buf text;
    unsigned long long n = 0;
    (void)eg_slice_u64(rest, &n);
    eg_buf_init(&text, FORM_MAX * 2);
    enum eg_status r = in_form(&text, form, credential_of(q->head));
    if (r == EG_OK)
        r = leak_at(a, where, eg_buf_slice(&text), n);
    eg_buf_done(&text);
    return r;
}

/* ---- the rest ---- */

static enum eg_status secret(const struct origin_request *q, struct origin_answer *a)
{
    char path[600], want[512];
    snprintf(path, sizeof path, "%s/want", q->dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, want, sizeof want) : -1;
    if (fd >= 0)
        close(fd);
    struct eg_slice wanted = eg_slice_trim(eg_slice(want, n > 0 ? (size_t)n : 0));
    if (wanted.n > 0 && want[wanted.n - 1] == '\n')
        wanted.n--;
    bool good = wanted.n > 0 && eg_slice_eq(credential_of(q->head), wanted);
    char text[64];
    snprintf(text, sizeof text, "%s %zu\n", good ? "welcome" : "unknown key", q->body.n);
    return whole(&a->out, good ? "200 OK" : "401 Unauthorized",
                 good ? "" : "WWW-Authenticate: Bearer\r\n", eg_slice_str(text));
}

static enum eg_status websocket(const struct origin_request *q, struct origin_answer *a)
{
    const struct eg_field *key = eg_head_find(q->head, EG_SLICE("Sec-WebSocket-Key"), NULL);
    unsigned char hash[EG_SHA1_SIZE];
    char text[200], proof[64];
    long query = eg_slice_index(q->head->target, '?');
    bool bad = eg_slice_eq(q->path, EG_SLICE("/ws/bad")),
         plain = eg_slice_eq(q->path, EG_SLICE("/ws/plain"));
    if (eg_slice_eq(q->path, EG_SLICE("/ws/refused")))
        return whole(&a->out, "403 Forbidden", "", EG_SLICE("no\n"));
    if (!key || !q->head->upgrade)
        return whole(&a->out, "426 Upgrade Required", "", EG_SLICE("a WebSocket is wanted\n"));
    int n = snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11%s",
                     (int)key->value.n, key->value.p, bad ? "?" : "");
    enum eg_status r = eg_tls_sha1(eg_slice(text, (size_t)n), hash);
    if (r != EG_OK)
        return r;
    sodium_bin2base64(proof, sizeof proof, hash, sizeof hash, sodium_base64_VARIANT_ORIGINAL);
    a->after = ORIGIN_ECHO;
    r = eg_buf_printf(
        &a->out,
        "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\n%sSec-WebSocket-Accept: %s\r\n\r\n",
        plain ? "" : "Upgrade: websocket\r\n", proof);
    return r == EG_OK && query >= 0
               ? eg_buf_put(&a->out, eg_slice_from(q->head->target, (size_t)query + 1))
               : r;
}

static enum eg_status interim(struct origin_answer *a, unsigned long long n)
{
    enum eg_status r = EG_OK;
    for (; n > 0 && r == EG_OK; n--)
        r = eg_buf_put(&a->out, EG_SLICE("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"));
    return r == EG_OK ? whole(&a->out, "200 OK", "", EG_SLICE("done\n")) : r;
}

bool origin_leaks(const struct origin_request *q, struct origin_answer *a, enum eg_status *r)
{
    static const struct eg_slice interims = { "/interim/", 9 };
    unsigned long long n;
    if (eg_slice_starts(q->path, EG_SLICE("/leak/")))
        *r = leak(q, a);
    else if (eg_slice_eq(q->path, EG_SLICE("/secret")))
        *r = secret(q, a);
    else if (eg_slice_eq(q->path, EG_SLICE("/trailers")))
        *r = eg_buf_put(
            &a->out,
            EG_SLICE(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum, X-Other, "
                "Proxy-Status\r\n\r\n5\r\nhello\r\n0\r\nX-Checksum: abc\r\nX-Other: "
                "1\r\nProxy-Status: x\r\n\r\n"));
    else if (eg_slice_eq(q->path, EG_SLICE("/switch")))
        *r = eg_buf_put(&a->out,
                        EG_SLICE("HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: "
                                 "websocket\r\n\r\nframes"));
    else if (eg_slice_eq(q->path, EG_SLICE("/ws")) || eg_slice_starts(q->path, EG_SLICE("/ws/")))
        *r = websocket(q, a);
    else if (eg_slice_starts(q->path, interims) &&
             eg_slice_u64(eg_slice_from(q->path, interims.n), &n) && n < 1000)
        *r = interim(a, n);
    else
        return false;
    return true;
}

bool origin_early(const struct origin_request *q, struct origin_answer *a, enum eg_status *r)
{
    static const struct eg_slice early = { "/early/", 7 };
    unsigned long long n;
    char start[64];
    if (eg_slice_eq(q->path, EG_SLICE("/deaf"))) {
        a->after = ORIGIN_HOLD;
        *r = EG_OK;
        return true;
    }
    if (!eg_slice_starts(q->path, early) || !eg_slice_u64(eg_slice_from(q->path, early.n), &n) ||
        n < 200 || n > 599)
        return false;
    snprintf(start, sizeof start, "%llu Early", n);
    a->after = ORIGIN_CLOSE;
    *r = whole(&a->out, start, "Connection: close\r\n", EG_SLICE("too early\n"));
    return true;
}
