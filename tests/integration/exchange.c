/* exchange.c - the HTTP path of a route, step by step: 1xx, bodies that are not there, trailers, answers before the request's end, peers that do not
 * read, messages that are cut short. An engine and the TLS origin on one loop. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/flow.h"
#include "support/swap.h"

static const char POLICY[] = EG_SWAP_SERVICE(", redact: false");
static const char TRAILERS[] = EG_SWAP_SERVICE(", trailers: [X-Checksum, X-Up]");
static const char UNREAD[] = EG_SWAP_SERVICE("");

static void say(int fd, const char *text)
{
    cr_assert(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static bool has(const char *text, const char *part)
{
    return strcasestr(text, part) != NULL;
}

Test(exchange, a_client_that_expects_100_gets_it_from_the_origin, .timeout = 60)
{
    struct eg_swap s;
    char got[4096];
    eg_swap_new(&s, POLICY);
    int fd =
        eg_swap_send(&s, "POST", "/api/x",
                     "Expect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n", "", 0);
    eg_swap_await(&s, fd, got, sizeof got, "\r\n\r\n");
    cr_expect_str_eq(got, "HTTP/1.1 100 Continue\r\n\r\n");
    say(fd, "hello");
    char *answer = eg_swap_rest(&s, fd, NULL), *record = eg_swap_record(&s);
    cr_expect(has(answer, "200 OK") && has(answer, "5 bytes received"), "%s", answer);
    cr_expect(has(record, "Expect: 100-continue\r\n"), "%s", record);
    free(answer);
    free(record);
    eg_swap_free(&s);
}

Test(exchange, a_final_answer_in_place_of_100_ends_the_connection, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    int fd = eg_swap_send(&s, "POST", "/api/early/413",
                          "Expect: 100-continue\r\nContent-Length: 5000000\r\n", "", 0);
    char *answer = eg_swap_rest(&s, fd, NULL);
    cr_expect(strncmp(answer, "HTTP/1.1 413 Early\r\n", 20) == 0 &&
                  has(answer, "Connection: close\r\n") && has(answer, "\r\n\r\ntoo early\n"),
              "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

/* A client that writes its whole body before it reads must still get the answer whole. */
Test(exchange, an_answer_before_the_bodys_end_is_whole, .timeout = 60)
{
    enum { MUCH = 4 << 20 };
    static const char *const paths[] = { "/api/early/413", "/api/early/401", "/api/early/200" };
    char *body = calloc(1, MUCH), fields[100];
    snprintf(fields, sizeof fields, "Content-Length: %d\r\n", MUCH);
    for (unsigned i = 0; i < 3; i++) {
        struct eg_swap s;
        eg_swap_new(&s, POLICY);
        int fd = eg_swap_send(&s, "POST", paths[i], fields, body, MUCH);
        char *answer = eg_swap_rest(&s, fd, NULL);
        cr_expect(strncmp(answer + 9, paths[i] + 11, 3) == 0 &&
                      has(answer, "Connection: close\r\n") && has(answer, "\r\n\r\ntoo early\n"),
                  "%s", answer);
        free(answer);
        eg_swap_free(&s);
    }
    free(body);
}

Test(exchange, at_most_16_1xx_are_passed_on, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    char *answer = eg_swap_ask(&s, "GET", "/api/interim/16", "");
    cr_expect(eg_swap_count(answer, strlen(answer), "HTTP/1.1 103 ") == 16 &&
                  has(answer, "HTTP/1.1 200 OK"),
              "%s", answer);
    free(answer);
    answer = eg_swap_ask(&s, "GET", "/api/interim/17", "");
    cr_expect(eg_swap_count(answer, strlen(answer), "HTTP/1.1 103 ") == 16 &&
                  has(answer, "X-Egress-Reason: bad_response"),
              "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

Test(exchange, what_has_no_body_ends_with_its_head, .timeout = 60)
{
    static const struct {
        const char *method, *path, *status, *has, *not ;
    } rows[] = {
        { "HEAD", "/api/bytes/100", "200", "Content-Length: 100\r\n", "abc" },
        { "HEAD", "/api/chunked/100", "200", "Transfer-Encoding: chunked\r\n", "abc" },
        { "GET", "/api/status/204", "204", "", "Content-Length" },
        { "GET", "/api/status/304", "304", "", "Content-Length" },
    };
    struct eg_swap s;
    char got[4096];
    eg_swap_new(&s, POLICY);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = eg_swap_send(&s, rows[i].method, rows[i].path, "", "", 0);
        eg_swap_await(&s, fd, got, sizeof got, "\r\n\r\n");
        cr_expect(strncmp(got + 9, rows[i].status, 3) == 0 && !has(got, rows[i].not ), "%s", got);
        int size = snprintf(
            got, sizeof got,
            "GET /api/x HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer " EG_SWAP_PHANTOM
            "\r\nConnection: close\r\n\r\n",
            s.proxy);
        cr_assert(write(fd, got, (size_t)size) == size);
        char *answer = eg_swap_rest(&s, fd, NULL);
        cr_expect(strncmp(answer, "HTTP/1.1 200 OK\r\n", 17) == 0, "%s: %s", rows[i].path, answer);
        free(answer);
    }
    eg_swap_free(&s);
}

Test(exchange, an_old_client_gets_neither_1xx_nor_chunks, .timeout = 60)
{
    struct eg_swap s;
    char head[512];
    static const char *const paths[] = { "/api/interim/2", "/api/chunked/20" };
    eg_swap_new(&s, POLICY);
    for (unsigned i = 0; i < 2; i++) {
        int fd = eg_bed_connect(s.proxy);
        snprintf(head, sizeof head,
                 "GET %s HTTP/1.0\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer " EG_SWAP_PHANTOM
                 "\r\nExpect: 100-continue\r\n\r\n",
                 paths[i], s.proxy);
        say(fd, head);
        char *answer = eg_swap_rest(&s, fd, NULL);
        cr_expect(strncmp(answer, "HTTP/1.1 200 OK\r\n", 17) == 0 && !has(answer, " 103 ") &&
                      !has(answer, "chunked") &&
                      has(answer, i ? "\r\n\r\nabcdefghijklmnopqrst" : "\r\n\r\ndone\n"),
                  "%s", answer);
        free(answer);
    }
    eg_swap_free(&s);
}

Test(exchange, trailers_are_dropped_unless_they_are_named, .timeout = 60)
{
    static const char UP[] = "2\r\nup\r\n0\r\nX-Up: 1\r\n\r\n";
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    int fd = eg_swap_send(
        &s, "POST", "/api/trailers",
        "Transfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Up\r\nConnection: close, TE\r\n",
        UP, sizeof UP - 1);
    char *answer = eg_swap_rest(&s, fd, NULL), *record = eg_swap_record(&s);
    cr_expect(has(answer, "hello\r\n0\r\n\r\n") && !has(answer, "X-Checksum"), "%s", answer);
    cr_expect(has(record, "\r\n\r\n2\r\nup\r\n0\r\n\r\n") && !has(record, "X-Up") &&
                  !has(record, "\nTE:") && !has(record, "Connection:"),
              "%s", record);
    free(answer);
    free(record);
    eg_swap_free(&s);
}

Test(exchange, named_trailers_pass_both_ways, .timeout = 60)
{
    static const char BODY[] =
        "2\r\nup\r\n0\r\nX-Up: abc\r\nX-Other: 1\r\nAuthorization: Bearer x\r\n\r\n";
    struct eg_swap s;
    eg_swap_new(&s, TRAILERS);
    int fd = eg_swap_send(&s, "POST", "/api/trailers",
                          "Transfer-Encoding: chunked\r\nTE: gzip;q=0.1, trailers\r\nTrailer: "
                          "X-Up, X-Other\r\nConnection: close, TE\r\n",
                          BODY, sizeof BODY - 1);
    char *answer = eg_swap_rest(&s, fd, NULL), *record = eg_swap_record(&s);
    cr_expect(has(answer, "hello\r\n0\r\nX-Checksum: abc\r\n\r\n") &&
                  has(answer, "\nTrailer: X-Checksum\r\n"),
              "%s", answer);
    cr_expect(!has(answer, "Proxy-Status") && !has(answer, "X-Other"), "%s", answer);
    cr_expect(has(record, "\r\n\r\n2\r\nup\r\n0\r\nX-Up: abc\r\n\r\n") &&
                  has(record, "\nTrailer: X-Up\r\n") &&
                  has(record, "\nConnection: TE\r\nTE: trailers\r\n") && !has(record, "X-Other") &&
                  !has(record, "Bearer x"),
              "%s", record);
    free(answer);
    free(record);
    eg_swap_free(&s);
}

Test(exchange, a_phantom_in_a_trailer_goes_nowhere, .timeout = 60)
{
    static const char BODY[] = "2\r\nup\r\n0\r\nX-Up: see " EG_SWAP_PHANTOM "\r\n\r\n";
    struct eg_swap s;
    eg_swap_new(&s, TRAILERS);
    int fd =
        eg_swap_send(&s, "POST", "/api/x", "Transfer-Encoding: chunked\r\nConnection: close\r\n",
                     BODY, sizeof BODY - 1);
    char *answer = eg_swap_rest(&s, fd, NULL), *record = eg_swap_record(&s);
    cr_expect(has(answer, "X-Egress-Reason: canary") && record[0] == '\0', "%s%s", answer, record);
    struct egress_event e;
    unsigned canaries = 0;
    while (eg_bed_event(&s.bed, &e))
        canaries += e.kind == EGRESS_EVENT_CANARY && strcmp(e.service, "api") == 0;
    cr_expect(canaries == 1);
    free(answer);
    free(record);
    eg_swap_free(&s);
}

Test(exchange, malformed_trailers_are_refused, .timeout = 60)
{
    static const char *const tails[] = { "X-Up : 1\r\n", "X-Up: \x01\r\n", "X-Up: \xff\r\n",
                                         " X-Up: 1\r\n", ": 1\r\n",        "X-Up\r\n" };
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        struct eg_swap s;
        char body[100];
        eg_swap_new(&s, TRAILERS);
        int n = snprintf(body, sizeof body, "2\r\nup\r\n0\r\n%s\r\n", tails[i]);
        int fd =
            eg_swap_send(&s, "POST", "/api/x",
                         "Transfer-Encoding: chunked\r\nConnection: close\r\n", body, (size_t)n);
        char *answer = eg_swap_rest(&s, fd, NULL), *record = eg_swap_record(&s);
        cr_expect(has(answer, "X-Egress-Reason: bad_request") && record[0] == '\0', "%zu: %s%s", i,
                  answer, record);
        free(answer);
        free(record);
        eg_swap_free(&s);
    }
}

Test(exchange, options_counts_its_forwards, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    char *answer = eg_swap_ask(&s, "OPTIONS", "/api/x", "Max-Forwards: 10\r\n"),
         *record = eg_swap_record(&s);
    cr_expect(has(answer, "200 OK") && has(record, "Max-Forwards: 9\r\n"), "%s%s", answer, record);
    free(answer);
    free(record);
    answer = eg_swap_ask(&s, "OPTIONS", "/api/y", "Max-Forwards: 0\r\n");
    record = eg_swap_record(&s);
    cr_expect(has(answer, "HTTP/1.1 405 ") && has(answer, "\nAllow: ") && !has(record, "/y"), "%s",
              answer);
    free(answer);
    free(record);
    answer = eg_swap_ask(&s, "GET", "/api/z",
                         "Max-Forwards: 0\r\n"); /* RFC 9110 section 7.6.2: of no other method */
    record = eg_swap_record(&s);
    cr_expect(has(answer, "200 OK") && has(record, "Max-Forwards: 0\r\n"), "%s", answer);
    free(answer);
    free(record);
    eg_swap_free(&s);
}

/* Sends without end until nothing moves for a while: how much was taken. */
static size_t stuff(struct eg_swap *s, int fd)
{
    static char zeros[65536];
    size_t taken = 0;
    for (unsigned still = 0; still < 200 && taken < 64 << 20;) {
        ssize_t n = send(fd, zeros, sizeof zeros, MSG_NOSIGNAL | MSG_DONTWAIT);
        still = n > 0 ? 0 : still + 1;
        taken += n > 0 ? (size_t)n : 0;
        eg_bed_turn(&s->bed, n > 0 ? 0 : 1);
    }
    return taken;
}

Test(exchange, an_origin_that_does_not_read_stops_the_client, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    int fd = eg_swap_send(&s, "POST", "/api/deaf", "Content-Length: 1000000000\r\n", "", 0);
    size_t taken = stuff(&s, fd);
    const struct eg_flow *f = s.bed.engine->flows;
    cr_expect(taken < 32 << 20, "%zu", taken);
    cr_expect(f && f->origin.out.len <= EG_OUT_MAX && f->client.in.len <= EG_IN_MAX);
    close(fd);
    eg_swap_free(&s);
}

Test(exchange, a_client_that_does_not_read_stops_the_origin, .timeout = 60)
{
    struct eg_swap s;
    uint64_t before = 1, now = 0;
    eg_swap_new(&s, POLICY);
    int fd = eg_swap_send(&s, "GET", "/api/bytes/200000000", "", "", 0);
    for (unsigned still = 0; still < 200; still = now == before ? still + 1 : 0) {
        before = now;
        eg_bed_turn(&s.bed, 1);
        now = s.bed.engine->flows ? s.bed.engine->flows->bytes_down : 0;
    }
    const struct eg_flow *f = s.bed.engine->flows;
    cr_expect(f && f->bytes_down > 0 && f->bytes_down < 32 << 20 &&
              f->client.out.len <= EG_OUT_MAX);
    close(fd);
    eg_swap_free(&s);
}

Test(exchange, an_upload_that_is_cut_short_never_looks_whole, .timeout = 60)
{
    static const struct {
        const char *fields, *body;
    } rows[] = { { "Content-Length: 10\r\n", "hello" },
                 { "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n" },
                 { "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n" },
                 { "Transfer-Encoding: chunked\r\n", "5\r\nhel" } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct eg_swap s;
        eg_swap_new(&s, POLICY);
        int fd =
            eg_swap_send(&s, "POST", "/api/x", rows[i].fields, rows[i].body, strlen(rows[i].body));
        for (unsigned k = 0; k < 100; k++)
            eg_bed_turn(&s.bed, 1);
        close(fd);
        cr_expect(eg_bed_quiet(&s.bed));
        for (unsigned k = 0; k < 20; k++)
            eg_bed_turn(&s.bed, 1);
        char *record = eg_swap_record(&s);
        cr_expect(record[0] == '\0', "%s", record); /* it records what was whole */
        cr_expect_str_eq(eg_bed_reason(&s.bed), "client_gone");
        free(record);
        eg_swap_free(&s);
    }
}

Test(exchange, a_download_that_is_cut_short_never_looks_whole, .timeout = 60)
{
    static const char *const paths[] = { "/api/truncate", "/api/truncate-chunked", "/api/die",
                                         "/api/until-close-cut" };
    static const char *const policies[] = { POLICY, UNREAD };
    for (size_t i = 0; i < 2 * sizeof paths / sizeof paths[0]; i++) {
        struct eg_swap s;
        char got[8192];
        bool eof = false;
        eg_swap_new(&s, policies[i % 2]);
        int fd = eg_swap_send(&s, "GET", paths[i / 2], "Connection: close\r\n", "", 0);
        size_t n = 0;
        uint64_t end = eg_clock_ms() + 20000;
        int failed = 0;
        while (!eof && eg_clock_ms() < end) {
            ssize_t m = recv(fd, got + n, sizeof got - n, MSG_DONTWAIT);
            n += m > 0 ? (size_t)m : 0;
            failed = m < 0 ? errno : 0;
            eof = m == 0 || failed == ECONNRESET;
            eg_bed_turn(&s.bed, 1);
        }
        cr_expect(eof && failed == ECONNRESET, "%s: it looks whole", paths[i / 2]);
        close(fd);
        eg_swap_free(&s);
    }
}

Test(exchange, an_origin_keeps_32_idle_connections_at_most, .timeout = 120)
{
    enum { MANY = 40 };
    struct eg_swap s;
    struct eg_engine_stats stats;
    int fds[MANY];
    eg_swap_new(&s, POLICY);
    for (unsigned i = 0; i < MANY;
         i++) /* each has a connection of its own: no answer comes before all are held */
        fds[i] = eg_swap_send(&s, "GET", "/api/sse", "Connection: close\r\n", "", 0);
    for (unsigned i = 0; i < MANY; i++) {
        char got[4096];
        eg_swap_await(&s, fds[i], got, sizeof got, "data: one\n\n");
    }
    free(eg_swap_ask(&s, "GET", "/api/sse-go", ""));
    for (unsigned i = 0; i < MANY; i++)
        free(eg_swap_rest(&s, fds[i], NULL));
    cr_assert(eg_bed_quiet(&s.bed));
    eg_engine_stats(s.bed.engine, &stats);
    cr_expect(stats.pooled == 32, "%u", stats.pooled);
    free(eg_swap_ask(&s, "GET", "/api/x", "")); /* one of them serves it */
    eg_engine_stats(s.bed.engine, &stats);
    cr_expect(stats.pooled == 32, "%u", stats.pooled);
    eg_swap_free(&s);
}
