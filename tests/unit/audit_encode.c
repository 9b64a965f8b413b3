/* audit_encode.c - events as JSON and back. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/audit.h"

static struct egress_event blank(uint8_t kind)
{
    struct egress_event e;
    memset(&e, 0, sizeof e);
    e.kind = kind;
    e.seq = 1;
    return e;
}

#define SET(e, member, text) eg_event_text(&(e), (e).member, sizeof (e).member, EG_SLICE(text))

static struct egress_event full(uint8_t kind)
{
    struct egress_event e = blank(kind);
    e.seq = 12;
    e.id = 7;
    e.wall_us = 1795233600123456;
    e.bytes_up = 1000;
    e.bytes_down = 2000000;
    e.duration_us = 1234567;
    e.writer = 2;
    e.port = 443;
    e.http_status = 403;
    e.via = EGRESS_VIA_TUNNEL;
    e.stage = EGRESS_STAGE_HELLO;
    e.observe = 1;
    e.reason = EG_SNI_MISMATCH;
    SET(e, session, "s1");
    SET(e, rule, "egress.yaml:7");
    SET(e, host, "api.example.com");
    SET(e, address, "203.0.113.9");
    SET(e, method, "CONNECT");
    SET(e, path, "/v1/x");
    SET(e, credential, "openai");
    SET(e, service, "openai");
    SET(e, detail, "name differs");
    return e;
}

Test(audit, json_of_a_full_decision)
{
    char out[EGRESS_EVENT_JSON_MAX];
    struct egress_event e = full(EGRESS_EVENT_DECISION);
    size_t n = egress_event_json(&e, out, sizeof out);
    cr_expect_eq(n, strlen(out));
    cr_expect_str_eq(out,
                     "{\"v\":1,\"seq\":12,\"id\":7,\"time\":\"2026-11-21T04:00:00.123456Z\","
                     "\"event\":\"decision\",\"session\":\"s1\",\"mode\":\"observe\","
                     "\"decision\":\"deny\",\"reason\":\"sni_mismatch\",\"rule\":\"egress.yaml:7\","
                     "\"via\":\"tunnel\",\"stage\":\"hello\",\"host\":\"api.example.com\","
                     "\"port\":443,\"address\":\"203.0.113.9\",\"method\":\"CONNECT\","
                     "\"path\":\"/v1/x\",\"service\":\"openai\",\"credential\":\"openai\","
                     "\"status\":403,\"detail\":\"name differs\",\"worker\":2}");
}

Test(audit, json_of_what_only_observing_let_through_says_would_deny)
{
    char out[EGRESS_EVENT_JSON_MAX];
    struct egress_event got, e = full(EGRESS_EVENT_DECISION);
    e.allowed = 1;
    size_t n = egress_event_json(&e, out, sizeof out);
    cr_expect(strstr(out, "\"mode\":\"observe\",\"decision\":\"would_deny\",\"reason\":\"sni_mismatch\""),
              "%s", out);
    cr_assert_eq(egress_event_parse(out, n, &got), EG_OK);
    cr_expect(got.allowed == 1 && egress_event_would_deny(&got));
    e.observe = 0; /* an allow of enforce with a reason is none */
    cr_assert_gt(egress_event_json(&e, out, sizeof out), 0);
    cr_expect(strstr(out, "\"decision\":\"allow\""), "%s", out);
}

Test(audit, json_of_an_end_has_bytes_and_duration)
{
    char out[EGRESS_EVENT_JSON_MAX];
    struct egress_event e = blank(EGRESS_EVENT_END);
    e.allowed = 1;
    e.truncated = 1;
    e.via = EGRESS_VIA_ROUTE;
    e.stage = EGRESS_STAGE_RESPONSE;
    e.duration_us = 5;
    cr_assert_gt(egress_event_json(&e, out, sizeof out), 0);
    cr_expect_str_eq(out, "{\"v\":1,\"seq\":1,\"time\":\"1970-01-01T00:00:00.000000Z\","
                          "\"event\":\"end\",\"mode\":\"enforce\",\"decision\":\"allow\","
                          "\"reason\":\"ok\",\"via\":\"route\",\"stage\":\"response\","
                          "\"bytes_up\":0,\"bytes_down\":0,\"duration_ms\":0.005,\"worker\":0,"
                          "\"truncated\":true}");
}

Test(audit, json_of_a_system_event_decides_nothing)
{
    char out[EGRESS_EVENT_JSON_MAX];
    struct egress_event e = blank(EGRESS_EVENT_SYSTEM);
    e.reason = EG_WORKER_DIED;
    SET(e, detail, "signal 9");
    cr_assert_gt(egress_event_json(&e, out, sizeof out), 0);
    cr_expect_str_eq(out, "{\"v\":1,\"seq\":1,\"time\":\"1970-01-01T00:00:00.000000Z\","
                          "\"event\":\"system\",\"mode\":\"enforce\",\"reason\":\"worker_died\","
                          "\"detail\":\"signal 9\",\"worker\":0}");
}

/* What a child may put into a path or a label must not forge a line, a key or a terminal's
 * escape. */
Test(audit, json_escapes_every_byte_that_is_not_printable_ascii)
{
    char out[EGRESS_EVENT_JSON_MAX];
    for (unsigned c = 1; c < 256; c++) {
        struct egress_event e = blank(EGRESS_EVENT_CANARY), back;
        char text[6] = { 'a', (char)c, '"', '\\', 'z', 0 };
        eg_event_text(&e, e.path, sizeof e.path, eg_slice(text, 5));
        size_t n = egress_event_json(&e, out, sizeof out);
        cr_assert_gt(n, 0);
        for (size_t i = 0; i < n; i++)
            cr_assert(out[i] >= 0x20 && out[i] < 0x7f, "byte %u is bare", c);
        json_error_t why;
        json_t *o = json_loadb(out, n, JSON_REJECT_DUPLICATES, &why);
        cr_assert_not_null(o, "byte %u: %s", c, why.text);
        const char *path = json_string_value(json_object_get(o, "path"));
        if (c < 0x80)
            cr_expect_str_eq(path, text);
        else
            cr_expect(path[0] == 'a' && (unsigned char)path[1] == (0xc0 | c >> 6) &&
                          (unsigned char)path[2] == (0x80 | (c & 0x3f)),
                      "byte %u is U+00%02X", c, c);
        json_decref(o);
        cr_assert_eq(egress_event_parse(out, n, &back), EG_OK);
        cr_expect_str_eq(back.path, text);
    }
}

Test(audit, json_can_not_be_forged_from_a_text)
{
    char out[EGRESS_EVENT_JSON_MAX];
    struct egress_event e = blank(EGRESS_EVENT_DECISION), back;
    SET(e, host, "\",\"decision\":\"allow\",\"x\":\"");
    SET(e, detail, "\n{\"v\":1,\"seq\":2}\r\n\033[2J\342\200\250");
    size_t n = egress_event_json(&e, out, sizeof out);
    cr_assert_eq(egress_event_parse(out, n, &back), EG_OK);
    cr_expect_eq(back.allowed, 0);
    cr_expect_eq(memcmp(&back, &e, sizeof e), 0);
}

Test(audit, json_of_the_largest_event_fits)
{
    char out[EGRESS_EVENT_JSON_MAX];
    struct egress_event e, back;
    memset(&e, 0xff, sizeof e); /* no text has an end */
    e.kind = EGRESS_EVENT_END;
    e.via = EGRESS_VIA_FORWARD;
    e.stage = EGRESS_STAGE_RESPONSE;
    e.reason = EG_UPSTREAM_PROXY_REFUSED;
    e.wall_us = 253402300799999999;
    size_t n = egress_event_json(&e, out, sizeof out);
    cr_assert_gt(n, 0);
    cr_assert_eq(egress_event_parse(out, n, &back), EG_OK);
    cr_expect_eq(back.seq, (UINT64_C(1) << 53) - 1, "cut at 2^53 - 1");
    cr_expect_eq(back.bytes_down, (UINT64_C(1) << 53) - 1);
    cr_expect_eq(back.truncated, 1);

    struct egress_event odd = blank(200);
    odd.via = odd.stage = 200;
    odd.reason = 60000;
    n = egress_event_json(&odd, out, sizeof out);
    cr_assert_gt(n, 0);
    cr_expect_null(strstr(out, "\"event\""));
    cr_expect_eq(egress_event_parse(out, n, &back), EG_INVALID);
}

Test(audit, json_takes_any_buffer_and_never_overruns)
{
    char whole[EGRESS_EVENT_JSON_MAX];
    struct egress_event e = full(EGRESS_EVENT_END);
    size_t n = egress_event_json(&e, whole, sizeof whole);
    for (size_t cap = 0; cap <= n + 2; cap++) {
        char *out = malloc(cap ? cap : 1);
        size_t got = egress_event_json(&e, out, cap);
        if (cap <= n) {
            cr_assert_eq(got, 0, "cap %zu of %zu", cap, n);
            cr_assert(cap == 0 || out[0] == '\0');
        } else {
            cr_assert_eq(got, n);
            cr_assert_str_eq(out, whole);
        }
        free(out);
    }
}

Test(audit, json_and_back_is_the_same_event)
{
    char out[EGRESS_EVENT_JSON_MAX];
    for (uint8_t kind = EGRESS_EVENT_DECISION; kind <= EGRESS_EVENT_SYSTEM; kind++)
        for (uint8_t via = 0; via <= EGRESS_VIA_CAPTURED; via++)
            for (uint8_t stage = 0; stage <= EGRESS_STAGE_RESPONSE; stage++) {
                struct egress_event e = full(kind), back;
                e.via = via;
                e.stage = kind == EGRESS_EVENT_SYSTEM ? 0 : stage;
                e.allowed = kind == EGRESS_EVENT_SYSTEM ? 0 : stage & 1;
                e.observe = stage >> 1 & 1;
                if (kind != EGRESS_EVENT_END)
                    e.bytes_up = e.bytes_down = e.duration_us = 0;
                size_t n = egress_event_json(&e, out, sizeof out);
                cr_assert_eq(egress_event_parse(out, n, &back), EG_OK, "%s", out);
                cr_assert_eq(memcmp(&e, &back, sizeof e), 0, "%s", out);
            }
}

Test(audit, json_keeps_every_reason_and_every_microsecond)
{
    char out[EGRESS_EVENT_JSON_MAX];
    for (unsigned s = 0; s < EG_STATUS_COUNT; s++) {
        struct egress_event e = blank(EGRESS_EVENT_END), back;
        e.reason = (uint16_t)s;
        e.duration_us = (uint64_t)s * s * s * 1000003 + s;
        e.wall_us = 1700000000000000 + (uint64_t)s * 86399999999;
        size_t n = egress_event_json(&e, out, sizeof out);
        cr_assert_eq(egress_event_parse(out, n, &back), EG_OK);
        cr_expect_str_eq(egress_status_name(back.reason), egress_status_name(s));
        cr_expect_eq(back.duration_us, e.duration_us);
        cr_expect_eq(back.wall_us, e.wall_us);
    }
}

#define HEAD "{\"v\":1,\"seq\":1,\"time\":\"2026-11-21T04:00:00.000000Z\",\"event\":\"end\""

Test(audit, parse_takes_what_a_later_version_may_add)
{
    struct egress_event e;
    static const char *const good[] = {
        HEAD "}",
        HEAD ",\"new\":{\"a\":[1,2]}}",
        HEAD ",\"duration_ms\":3}",
        HEAD ",\"truncated\":false}",
        " " HEAD " } ",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_expect_eq(egress_event_parse(good[i], strlen(good[i]), &e), EG_OK, "%s", good[i]);
    const char *whole = HEAD ",\"duration_ms\":3}";
    cr_assert_eq(egress_event_parse(whole, strlen(whole), &e), EG_OK);
    cr_expect_eq(e.duration_us, 3000);
}

Test(audit, parse_cuts_a_text_that_is_too_long)
{
    struct egress_event e;
    char json[2048], text[1024];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    int n = snprintf(json, sizeof json, HEAD ",\"method\":\"%s\"}", text);
    cr_assert_eq(egress_event_parse(json, (size_t)n, &e), EG_OK);
    cr_expect_eq(strlen(e.method), sizeof e.method - 1);
    cr_expect_eq(e.truncated, 1);
    n = snprintf(json, sizeof json, HEAD ",\"method\":\"%.*s\"}", (int)sizeof e.method - 1, text);
    cr_assert_eq(egress_event_parse(json, (size_t)n, &e), EG_OK);
    cr_expect_eq(strlen(e.method), sizeof e.method - 1);
    cr_expect_eq(e.truncated, 0);
}

Test(audit, parse_refuses_everything_else_and_leaves_the_event)
{
    static const char *const bad[] = {
        "", " ", "{", "{}", "[]", "1", "null", "\"x\"", HEAD, HEAD "}x", HEAD "}" HEAD "}",
        "{\"v\":2,\"seq\":1,\"time\":\"2026-11-21T04:00:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":0,\"seq\":1,\"time\":\"2026-11-21T04:00:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":\"1\",\"seq\":1,\"time\":\"2026-11-21T04:00:00.000000Z\",\"event\":\"end\"}",
        "{\"seq\":1,\"time\":\"2026-11-21T04:00:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"time\":\"2026-11-21T04:00:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":0,\"time\":\"2026-11-21T04:00:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":-1,\"time\":\"2026-11-21T04:00:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1.0,\"time\":\"2026-11-21T04:00:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":5,\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-11-21T04:00:00Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-11-21T04:00:00.000000+\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-11-21T04:00:00,000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-1x-21T04:00:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"1969-11-21T04:00:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-13-21T04:00:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-00-21T04:00:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-11-32T04:00:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-11-00T04:00:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-11-21T24:00:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-11-21T04:60:00.000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-11-21T04:00:61.000000Z\",\"event\":\"end\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-11-21T04:00:00.000000Z\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-11-21T04:00:00.000000Z\",\"event\":\"\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-11-21T04:00:00.000000Z\",\"event\":\"other\"}",
        "{\"v\":1,\"seq\":1,\"time\":\"2026-11-21T04:00:00.000000Z\",\"event\":1}",
        HEAD ",\"seq\":2}",
        HEAD ",\"id\":\"1\"}",
        HEAD ",\"port\":65536}",
        HEAD ",\"port\":-1}",
        HEAD ",\"status\":70000}",
        HEAD ",\"worker\":4294967296}",
        HEAD ",\"bytes_up\":-1}",
        HEAD ",\"bytes_up\":99999999999999999999}",
        HEAD ",\"bytes_down\":1.5}",
        HEAD ",\"duration_ms\":-0.001}",
        HEAD ",\"duration_ms\":\"1\"}",
        HEAD ",\"duration_ms\":1e300}",
        HEAD ",\"mode\":\"other\"}",
        HEAD ",\"mode\":true}",
        HEAD ",\"decision\":\"maybe\"}",
        HEAD ",\"via\":\"pigeon\"}",
        HEAD ",\"via\":\"\"}",
        HEAD ",\"stage\":\"last\"}",
        HEAD ",\"reason\":\"because\"}",
        HEAD ",\"reason\":7}",
        HEAD ",\"truncated\":1}",
        HEAD ",\"host\":1}",
        HEAD ",\"host\":null}",
        HEAD ",\"host\":\"\\u0100\"}",
        HEAD ",\"host\":\"\\u20ac\"}",
        HEAD ",\"host\":\"\\ud83d\\ude00\"}",
        HEAD ",\"host\":\"\\u0000\"}",
        HEAD ",\"host\":\"\xff\"}",
    };
    struct egress_event e, before;
    memset(&e, 0x5a, sizeof e);
    before = e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_expect_eq(egress_event_parse(bad[i], strlen(bad[i]), &e), EG_INVALID, "%s", bad[i]);
        cr_expect_eq(memcmp(&e, &before, sizeof e), 0);
    }
    const char good[] = HEAD ",\"host\":\"a.example\",\"bytes_up\":12}";
    for (size_t n = 0; n < sizeof good - 1; n++)
        cr_expect_eq(egress_event_parse(good, n, &e), EG_INVALID, "torn after %zu bytes", n);
}
