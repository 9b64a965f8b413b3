/* websocket.c - WebSocket through a route: authenticated at the handshake, its proof checked, then bytes both ways; refused where the service does not
 * say that it may. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/swap.h"

static const char POLICY[] = EG_SWAP_SERVICE(", websocket: true");
static const char WITHOUT[] = EG_SWAP_SERVICE("");
static const char IDLE[] = EG_SWAP_SERVICE(", websocket: true") "limits: {idle_timeout: 3s}\n";

#define KEY    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define ACCEPT "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" /* RFC 6455 section 1.3 */
#define HANDSHAKE                                                                                  \
    "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"       \
    "Sec-WebSocket-Protocol: chat\r\n" KEY

static void refused(const char *policy, const char *method, const char *path, const char *fields,
                    const char *status, const char *reason, const char *also)
{
    struct eg_swap s;
    char want[100];
    eg_swap_new(&s, policy);
    char *answer = eg_swap_ask(&s, method, path, fields);
    snprintf(want, sizeof want, "X-Egress-Reason: %s\r\n", reason);
    cr_expect(strncmp(answer + 9, status, 3) == 0 && strstr(answer, want) && strstr(answer, also),
              "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

Test(websocket, carries_bytes_both_ways, .timeout = 60)
{
    struct eg_swap s;
    char got[8192];
    struct egress_event e;
    bool ended = false;
    eg_swap_new(&s, POLICY);
    int fd = eg_swap_send(&s, "GET", "/api/ws?hello-first", HANDSHAKE, "early-frame", 11);
    eg_swap_await(&s, fd, got, sizeof got, "early-frame");
    cr_expect(strncmp(got, "HTTP/1.1 101 ", 13) == 0 && strstr(got, "Connection: Upgrade\r\n") &&
                  strstr(got, "Upgrade: websocket\r\n") && strstr(got, ACCEPT) &&
                  strstr(got, "\r\n\r\nhello-firstearly-frame"),
              "%s", got);
    for (unsigned i = 0; i < 20; i++) {
        char frame[32];
        int n = snprintf(frame, sizeof frame, "frame number %02u;", i);
        cr_assert(send(fd, frame, (size_t)n, MSG_NOSIGNAL) == n);
        eg_swap_await(&s, fd, got, sizeof got, frame);
    }
    struct eg_engine_stats stats;
    eg_engine_stats(s.bed.engine, &stats);
    cr_expect(stats.open_tunnels == 1);
    char *record = eg_swap_record(&s);
    cr_expect(strstr(record, "GET /ws?hello-first HTTP/1.1\r\n") && strstr(record, KEY) &&
                  strstr(record, "Connection: Upgrade\r\nUpgrade: websocket\r\n") &&
                  strstr(record, "Sec-WebSocket-Protocol: chat\r\n") &&
                  eg_swap_count(record, strlen(record), "Connection:") == 1 &&
                  strstr(record, "Bearer " EG_SWAP_REAL) && !strstr(record, EG_SWAP_PHANTOM),
              "%s", record);
    free(record);
    close(fd);
    cr_assert(eg_bed_quiet(&s.bed));
    while (eg_bed_event(&s.bed, &e))
        if (e.kind == EGRESS_EVENT_END) {
            ended = true;
            cr_expect(e.http_status == 101 && e.bytes_up == 11 + 20 * 16 &&
                          e.bytes_down == 11 + 11 + 20 * 16,
                      "%u %llu %llu", e.http_status, (unsigned long long)e.bytes_up,
                      (unsigned long long)e.bytes_down);
        }
    eg_engine_stats(s.bed.engine, &stats);
    cr_expect(ended && stats.open_tunnels == 0);
    eg_swap_free(&s);
}

Test(websocket, carries_much_both_ways, .timeout = 120)
{
    enum { MUCH = 4 << 20 };
    struct eg_swap s;
    char got[4096], *sent = malloc(MUCH), *back = malloc(MUCH);
    size_t up = 0, down = 0;
    eg_swap_new(&s, POLICY);
    for (size_t i = 0; i < MUCH; i++)
        sent[i] = (char)(i * 2654435761u >> 13);
    int fd = eg_swap_send(&s, "GET", "/api/ws", HANDSHAKE, "", 0);
    eg_swap_await(&s, fd, got, sizeof got, "\r\n\r\n");
    for (unsigned quiet = 0; down < MUCH && quiet < 20000; quiet++) {
        ssize_t n = up < MUCH ? send(fd, sent + up, MUCH - up, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        up += n > 0 ? (size_t)n : 0;
        ssize_t m = recv(fd, back + down, MUCH - down, MSG_DONTWAIT);
        down += m > 0 ? (size_t)m : 0;
        if (m > 0)
            quiet = 0;
        eg_bed_turn(&s.bed, n > 0 || m > 0 ? 0 : 1);
    }
    cr_expect(up == MUCH && down == MUCH && memcmp(sent, back, MUCH) == 0, "%zu %zu", up, down);
    close(fd);
    free(sent);
    free(back);
    eg_swap_free(&s);
}

Test(websocket, is_refused_where_the_service_does_not_name_it, .timeout = 60)
{
    refused(WITHOUT, "GET", "/api/ws", HANDSHAKE, "501", "not_supported", "websocket: true");
}

Test(websocket, needs_a_key_of_16_bytes, .timeout = 60)
{
    static const char UPGRADE[] = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    static const char *const keys[] = { "", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n",
                                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=!\r\n", KEY KEY,
                                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTEx\r\n" };
    char fields[400];
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        snprintf(fields, sizeof fields, "%s%s", UPGRADE, keys[i]);
        refused(POLICY, "GET", "/api/ws", fields, "400", "bad_request", "Sec-WebSocket-Key");
    }
}

Test(websocket, trusts_no_101_that_does_not_answer_its_handshake, .timeout = 60)
{
    refused(POLICY, "GET", "/api/ws/bad", HANDSHAKE, "502", "bad_response", "does not answer this");
    refused(POLICY, "GET", "/api/ws/plain", HANDSHAKE, "502", "bad_response",
            "does not answer this");
    refused(POLICY, "GET", "/api/switch", HANDSHAKE, "502", "bad_response", "does not answer this");
    refused(POLICY, "GET", "/api/switch", "", "502", "bad_response", "101 was not asked for");
    refused(WITHOUT, "GET", "/api/switch", "", "502", "bad_response", "101 was not asked for");
}

Test(websocket, another_answer_is_an_ordinary_one, .timeout = 60)
{
    struct eg_swap s;
    eg_swap_new(&s, POLICY);
    char *answer = eg_swap_rest(
        &s,
        eg_swap_send(&s, "GET", "/api/ws/refused",
                     "Connection: Upgrade, close\r\nUpgrade: websocket\r\n" KEY, "", 0),
        NULL);
    cr_expect(strncmp(answer, "HTTP/1.1 403 Forbidden", 22) == 0 && strstr(answer, "\r\n\r\nno\n"),
              "%s", answer);
    free(answer);
    eg_swap_free(&s);
}

/* Upgrades to anything else are dropped, and so are those of requests that can't be one. */
Test(websocket, other_upgrades_are_dropped, .timeout = 60)
{
    static const struct {
        const char *method, *fields;
    } rows[] = {
        { "GET", "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: "
                 "AAMAAABk\r\n" },
        { "GET", "Connection: Upgrade, close\r\nUpgrade: websocket, h2c\r\n" KEY },
        { "DELETE", "Connection: Upgrade, close\r\nUpgrade: websocket\r\n" KEY },
        { "GET", "Connection: close\r\nUpgrade: websocket\r\n" KEY },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct eg_swap s;
        eg_swap_new(&s, POLICY);
        char *answer = eg_swap_rest(
            &s, eg_swap_send(&s, rows[i].method, "/api/x", rows[i].fields, "", 0), NULL);
        char *record = eg_swap_record(&s);
        cr_expect(strncmp(answer, "HTTP/1.1 200 OK", 15) == 0, "%zu: %s", i, answer);
        cr_expect(!strcasestr(record, "upgrade:") && !strcasestr(record, "connection:") &&
                      !strcasestr(record, "http2-settings"),
                  "%zu: %s", i, record);
        free(answer);
        free(record);
        eg_swap_free(&s);
    }
}

Test(websocket, needs_the_phantom, .timeout = 60)
{
    struct eg_swap s;
    char text[600];
    eg_swap_new(&s, POLICY);
    int fd = eg_bed_connect(s.proxy);
    int n = snprintf(text, sizeof text,
                     "GET /api/ws HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n" HANDSHAKE
                     "Connection: close\r\n\r\n",
                     s.proxy);
    cr_assert(send(fd, text, (size_t)n, MSG_NOSIGNAL) == n);
    char *answer = eg_swap_rest(&s, fd, NULL), *record = eg_swap_record(&s);
    cr_expect(strstr(answer, "X-Egress-Reason: phantom_missing") && record[0] == '\0', "%s",
              answer);
    free(answer);
    free(record);
    eg_swap_free(&s);
}

Test(websocket, an_idle_one_is_ended, .timeout = 60)
{
    struct eg_swap s;
    char got[4096];
    eg_swap_new(&s, IDLE);
    int fd = eg_swap_send(&s, "GET", "/api/ws", HANDSHAKE, "", 0);
    eg_swap_await(&s, fd, got, sizeof got, "\r\n\r\n");
    free(eg_swap_rest(&s, fd, NULL));
    cr_expect_str_eq(eg_bed_reason(&s.bed), "idle_timeout");
    eg_swap_free(&s);
}

Test(websocket, a_revoked_session_loses_it, .timeout = 60)
{
    struct eg_swap s;
    char got[4096];
    eg_swap_new(&s, POLICY);
    int fd = eg_swap_send(&s, "GET", "/api/ws", HANDSHAKE, "", 0);
    eg_swap_await(&s, fd, got, sizeof got, "\r\n\r\n");
    eg_engine_session_revoke(s.bed.engine, "main");
    free(eg_swap_rest(&s, fd, NULL));
    cr_expect_str_eq(eg_bed_reason(&s.bed), "token_revoked");
    eg_swap_free(&s);
}
