/* malformed.c - malformed and ambiguous requests sent raw to a real egressd, whole and byte by
 * byte: each gets a complete refusal with its reason and an event, its connection ends, and no
 * origin sees a request. What the parser alone does with every such byte is in
 * tests/vectors/request.md; here it is what a client and an origin see. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "support/peer.h"

static const char POLICY[] = "egress: 1\n"
                             "allow:\n"
                             "  - {host: web.test, scheme: http, ports: [@PLAIN@]}\n"
                             "  - {host: raw.test, scheme: tcp, ports: [@PLAIN@]}\n"
                             "services:\n"
                             "  open: {upstream: \"http://web.test:@PLAIN@\"}\n"
                             "networks: {allow: [127.0.0.1/32]}\n"
                             "dns: {servers: [\"127.0.0.1:@DNS@\"]}\n";

static const char *const NAMES[] = { "web.test=127.0.0.1", "raw.test=127.0.0.1", NULL };

/* @T@: the token, @P@: the origin's port, @S@: the proxy's own. A byte 1 stands for a NUL. */
#define H       "Host: web.test\r\n"
#define A       "Proxy-Authorization: Bearer @T@\r\n"
#define U       "http://web.test:@P@/x"
#define GET     "GET " U " HTTP/1.1\r\n"
#define POST    "POST " U " HTTP/1.1\r\n" H A
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define SECOND  "GET " U "second HTTP/1.1\r\n" H A "\r\n"

static const struct row {
    const char *bytes;
    int status;
    const char *reason;
} rows[] = {
    /* the request line */
    { "GET " U "\r\n" H A "\r\n", 400, "bad_version" },
    { "GET " U " HTTP/1.1 \r\n" H A "\r\n", 400, "bad_version" },
    { "GET " U " HTTP/1.01\r\n" H A "\r\n", 400, "bad_version" },
    { "GET " U " http/1.1\r\n" H A "\r\n", 400, "bad_version" },
    { "GET " U " HTTP/0.9\r\n" H A "\r\n", 505, "not_supported" },
    { "GET " U " HTTP/2.0\r\n" H A "\r\n", 505, "not_supported" },
    { "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request" },
    { "GET  " U " HTTP/1.1\r\n" H A "\r\n", 400, "bad_target" },
    { "GET\t" U " HTTP/1.1\r\n" H A "\r\n", 400, "bad_request" },
    { " GET " U " HTTP/1.1\r\n" H A "\r\n", 400, "bad_request" },
    { "get " U " HTTP/1.1\r\n" H A "\r\n", 501, "not_supported" },
    { "BREW " U " HTTP/1.1\r\n" H A "\r\n", 501, "not_supported" },
    { "TRACE " U " HTTP/1.1\r\n" H A "\r\n", 405, "trace" },
    { "GET " U "\001 HTTP/1.1\r\n" H A "\r\n", 400, "bad_target" },
    { "GET " U "\xc3\xa9 HTTP/1.1\r\n" H A "\r\n", 400, "bad_target" },
    { "GET " U "#f HTTP/1.1\r\n" H A "\r\n", 400, "bad_target" },
    { "GET " U "%zz HTTP/1.1\r\n" H A "\r\n", 400, "bad_target" },
    { "GET http:/web.test/ HTTP/1.1\r\n" H A "\r\n", 400, "bad_target" },
    { "GET http:///x HTTP/1.1\r\n" H A "\r\n", 400, "bad_host" },
    { "GET ftp://web.test/x HTTP/1.1\r\n" H A "\r\n", 400, "bad_target" },
    { "GET http://u:p@web.test:@P@/ HTTP/1.1\r\n" H A "\r\n", 400, "bad_target" },
    { "GET http://web.test:@P@x/ HTTP/1.1\r\n" H A "\r\n", 400, "bad_host" },
    { "GET http://web.test:99999/ HTTP/1.1\r\n" H A "\r\n", 400, "bad_host" },
    { "GET http://web.test:0/ HTTP/1.1\r\n" H A "\r\n", 400, "bad_host" },
    { "GET http://web..test:@P@/ HTTP/1.1\r\n" H A "\r\n", 400, "bad_host" },
    { "GET http://[web.test]:@P@/ HTTP/1.1\r\n" H A "\r\n", 400, "bad_host" },
    { "GET http://0x7f.1:@P@/ HTTP/1.1\r\n" H A "\r\n", 400, "bad_host" },
    { "GET http://127.1:@P@/ HTTP/1.1\r\n" H A "\r\n", 400, "bad_host" },
    { "GET http://web%2etest:@P@/ HTTP/1.1\r\n" H A "\r\n", 400, "bad_host" },
    { "GET web.test HTTP/1.1\r\n" H A "\r\n", 400, "bad_target" },
    { "OPTIONS * HTTP/1.1\r\n" H A "\r\n", 400, "bad_target" },
    { "CONNECT web.test HTTP/1.1\r\n" H A "\r\n", 400, "bad_host" },
    { "CONNECT http://web.test:@P@/ HTTP/1.1\r\n" H A "\r\n", 400, "bad_target" },
    { "CONNECT raw.test:@P@/ HTTP/1.1\r\n" H A "\r\n", 400, "bad_target" },
    { "CONNECT raw.test:@P@ HTTP/1.1\r\n" H A "Content-Length: 5\r\n\r\nhello", 400,
      "ambiguous_framing" },
    { "CONNECT raw.test:@P@ HTTP/1.1\r\n" H A "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
      "ambiguous_framing" },
    /* Host */
    { GET A "\r\n", 400, "bad_host" },
    { GET H H A "\r\n", 400, "bad_host" },
    { GET "Host: web.test, evil.test\r\n" A "\r\n", 400, "bad_host" },
    { GET "Host:\r\n" A "\r\n", 400, "bad_host" },
    { GET "Host: web.test/\r\n" A "\r\n", 400, "bad_host" },
    { GET "Host : web.test\r\n" A "\r\n", 400, "bad_request" },
    { "GET /open/x HTTP/1.1\r\nHost: evil.test\r\n\r\n", 421, "misdirected" },
    { "GET /open/x HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", 421, "misdirected" },
    { "GET /open/x HTTP/1.1\r\nHost: localhost.evil.test:@S@\r\n\r\n", 421, "misdirected" },
    /* fields */
    { GET H A "X\r\n\r\n", 400, "bad_request" },
    { GET H A ": x\r\n\r\n", 400, "bad_request" },
    { GET H A "X : y\r\n\r\n", 400, "bad_request" },
    { GET H A "X: y\r\n z\r\n\r\n", 400, "bad_request" },
    { GET H A "X: y\r\n\tz\r\n\r\n", 400, "bad_request" },
    { GET " " H A "\r\n", 400, "bad_request" },
    { GET H A "X: a\001b\r\n\r\n", 400, "bad_request" },
    { GET H A "X: a\rb\r\n\r\n", 400, "bad_request" },
    { GET H A "X: a\nY: b\r\n\r\n", 400, "bad_request" },
    { GET H A "X\xa0: a\r\n\r\n", 400, "bad_request" },
    { "GET " U " HTTP/1.1\nHost: web.test\n"
      "Proxy-Authorization: Bearer @T@\n\n",
      400, "bad_request" },
    { GET H A "\n", 400, "bad_request" },
    { GET H A "Expect: the-unexpected\r\n\r\n", 417, "expectation_failed" },
    /* framing: request smuggling */
    { POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SECOND, 400,
      "ambiguous_framing" },
    { POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" SECOND, 400,
      "ambiguous_framing" },
    { POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" SECOND, 400, "ambiguous_framing" },
    { POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello" SECOND, 400, "ambiguous_framing" },
    { POST "Content-Length: 5, 5\r\n\r\nhello" SECOND, 400, "ambiguous_framing" },
    { POST "Content-Length: +5\r\n\r\nhello" SECOND, 400, "ambiguous_framing" },
    { POST "Content-Length: -5\r\n\r\nhello" SECOND, 400, "ambiguous_framing" },
    { POST "Content-Length: 0x5\r\n\r\nhello" SECOND, 400, "ambiguous_framing" },
    { POST "Content-Length: 5 \t5\r\n\r\nhello" SECOND, 400, "ambiguous_framing" },
    { POST "Content-Length:\r\n\r\n" SECOND, 400, "ambiguous_framing" },
    { POST "Content-Length: 18446744073709551621\r\n\r\nhello" SECOND, 400, "ambiguous_framing" },
    { POST "Transfer-Encoding: identity\r\n\r\n" SECOND, 400, "ambiguous_framing" },
    { POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" SECOND, 400, "ambiguous_framing" },
    { POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" SECOND, 400,
      "ambiguous_framing" },
    { POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" SECOND, 400,
      "ambiguous_framing" },
    { POST "Transfer-Encoding: \x0b"
           "chunked\r\n\r\n0\r\n\r\n" SECOND,
      400, "bad_request" },
    { POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" SECOND, 400, "ambiguous_framing" },
    { POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n" SECOND, 400, "ambiguous_framing" },
    { POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" SECOND, 400, "bad_request" },
    { POST "Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n" SECOND, 400, "ambiguous_framing" },
    { "POST " U " HTTP/1.0\r\n" H A "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SECOND, 400,
      "ambiguous_framing" },
    { "GET /open/x HTTP/1.1\r\nHost: 127.0.0.1:@S@\r\nContent-Length: 4\r\nTransfer-Encoding: "
      "chunked\r\n\r\n0\r\n\r\n" SECOND,
      400, "ambiguous_framing" },
    /* chunks: the head was fine, so its origin may know of a connection, never of a whole
     * request */
    { CHUNKED "g\r\nx\r\n0\r\n\r\n" SECOND, 400, "bad_request" },
    { CHUNKED "\r\nx\r\n0\r\n\r\n" SECOND, 400, "bad_request" },
    { CHUNKED "-1\r\nx\r\n0\r\n\r\n" SECOND, 400, "bad_request" },
    { CHUNKED "+1\r\nx\r\n0\r\n\r\n" SECOND, 400, "bad_request" },
    { CHUNKED "0x1\r\nx\r\n0\r\n\r\n" SECOND, 400, "bad_request" },
    { CHUNKED " 1\r\nx\r\n0\r\n\r\n" SECOND, 400, "bad_request" },
    { CHUNKED "1 \r\nx\r\n0\r\n\r\n" SECOND, 400, "bad_request" },
    { CHUNKED "1\nx\r\n0\r\n\r\n" SECOND, 400, "bad_request" },
    { CHUNKED "1\r\nxy\r\n0\r\n\r\n" SECOND, 400, "bad_request" },
    { CHUNKED "1\r\nx\n0\r\n\r\n" SECOND, 400, "bad_request" },
    { CHUNKED "1;a\nb\r\nx\r\n0\r\n\r\n" SECOND, 400, "bad_request" },
    { CHUNKED "10000000000000001\r\nx\r\n0\r\n\r\n" SECOND, 400, "bad_request" },
    { CHUNKED "1\r\nx\r\n0\r\nX y\r\n\r\n" SECOND, 400, "bad_request" },
    /* a refused request's body is never parsed as a request */
    { "POST http://evil.test/ HTTP/1.1\r\n" H A "Content-Length: 500\r\n\r\n" SECOND, 403,
      "host_not_allowed" },
    { "POST http://evil.test/ HTTP/1.1\r\n" H A "Transfer-Encoding: chunked\r\n\r\n" SECOND, 403,
      "host_not_allowed" },
    { "POST " U " HTTP/1.1\r\n" H "Content-Length: 500\r\n\r\n" SECOND, 407, "token_missing" },
    { "POST /absent/x HTTP/1.1\r\nHost: 127.0.0.1:@S@\r\nContent-Length: 500\r\n\r\n" SECOND, 404,
      "route_unknown" },
};

enum { ROWS = sizeof rows / sizeof rows[0] };

static size_t expand(const struct eg_world *w, const char *from, char *to)
{
    char *at = to;
    while (*from) {
        if (strncmp(from, "@T@", 3) == 0)
            from += 3, at += snprintf(at, 65, "%s", w->token);
        else if (strncmp(from, "@P@", 3) == 0)
            from += 3, at += snprintf(at, 8, "%u", w->plain_port);
        else if (strncmp(from, "@S@", 3) == 0)
            from += 3, at += snprintf(at, 8, "%u", w->proxy_port);
        else
            *at++ = *from == '\001' ? (from++, '\0') : *from++;
    }
    return (size_t)(at - to);
}

static void send_row(const struct eg_world *w, const struct row *r, bool whole)
{
    struct eg_client c;
    char bytes[4096], head[8192], *body = NULL;
    size_t n = expand(w, r->bytes, bytes);
    eg_client_open(&c, w->proxy_port);
    for (size_t at = 0, step = whole ? n : 1; at < n; at += step)
        eg_client_send(&c, bytes + at, step);
    int status = eg_client_response(&c, head, sizeof head, &body, NULL);
    cr_expect(status == r->status && eg_head_has(head, "X-Egress-Reason", r->reason),
              "%s (%s): want %d %s, got %d: %s", r->bytes, whole ? "whole" : "byte by byte",
              r->status, r->reason, status, head);
    cr_expect(eg_head_has(head, "Cache-Control", "no-store") &&
                  eg_head_has(head, "Proxy-Status", NULL) &&
                  eg_head_has(head, "X-Egress-Event", NULL),
              "%s: %s", r->bytes, head);
    cr_expect(body && strstr(body, r->reason), "%s: %s", r->bytes, body ? body : "no body");
    cr_expect(body && !strstr(body, w->token));
    free(body);
    if (eg_head_has(head, "Connection", "close"))
        cr_expect(eg_client_wait(&c, NULL, 0) && c.len == 0, "%s: said more: %s", r->bytes, c.buf);
    else
        cr_expect(strstr(r->bytes, SECOND) == NULL, "%s: kept", r->bytes);
    eg_client_close(&c);
}

static void each_has_an_event(const struct eg_world *w, unsigned times)
{
    char want[64], *events = eg_world_events(w);
    for (unsigned i = 0; i < ROWS; i++) {
        unsigned rows_with = 0;
        for (unsigned k = 0; k < ROWS; k++)
            rows_with += strcmp(rows[i].reason, rows[k].reason) == 0;
        snprintf(want, sizeof want, "\"reason\":\"%s\"", rows[i].reason);
        unsigned n = eg_events_with(events, want, NULL);
        cr_expect(n == rows_with * times, "%s: %u events for %u requests", rows[i].reason, n,
                  rows_with * times);
    }
    free(events);
}

static void all(bool whole)
{
    struct eg_world w;
    eg_world_new(&w);
    eg_world_plain(&w);
    eg_world_dns(&w, NAMES);
    eg_world_egressd(&w, POLICY, NULL, NULL);
    for (unsigned i = 0; i < ROWS; i++)
        send_row(&w, &rows[i], whole);
    each_has_an_event(&w, 1);
    char *rec = eg_world_read(&w, "plain.rec", NULL);
    cr_assert(strlen(rec) == 0, "%s", rec);
    free(rec);
    struct eg_client c; /* and the proxy serves on */
    char head[8192], bytes[400];
    eg_client_open(&c, w.proxy_port);
    eg_client_send(&c, bytes, expand(&w, GET H A "\r\n", bytes));
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 200, "%s", head);
    eg_client_close(&c);
    eg_world_done(&w);
}

Test(malformed, whole, .timeout = 120)
{
    all(true);
}

Test(malformed, byte_by_byte, .timeout = 120)
{
    all(false);
}

Test(malformed, cut_short_is_refused_and_recorded, .timeout = 60)
{
    struct eg_world w;
    struct eg_client c;
    char bytes[400], head[8192];
    eg_world_new(&w);
    eg_world_plain(&w);
    eg_world_dns(&w, NAMES);
    eg_world_egressd(&w, POLICY, NULL, NULL);
    eg_client_open(&c, w.proxy_port);
    eg_client_send(&c, bytes, expand(&w, GET H, bytes));
    cr_assert(shutdown(c.fd, SHUT_WR) == 0);
    cr_assert(eg_client_response(&c, head, sizeof head, NULL, NULL) == 400 &&
                  eg_head_has(head, "X-Egress-Reason", "bad_request"),
              "%s", head);
    eg_client_close(&c);
    cr_assert(eg_world_await_event(&w, 1, "\"reason\":\"bad_request\"", "\"event\":\"decision\""));
    char *rec = eg_world_read(&w, "plain.rec", NULL);
    cr_assert(strlen(rec) == 0, "%s", rec);
    free(rec);
    eg_world_done(&w);
}
