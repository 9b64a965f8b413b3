/* policy_members.c - redaction, trailers, WebSocket, limits and pins of a service: faults at their places, values and defaults. */
#include <criterion/criterion.h>

#include "support/policies.h"

#define CHECK(rows) eg_policies_check(rows, sizeof rows / sizeof *rows)
#define PLAIN(x)    "egress: 1\nservices:\n  s: {upstream: \"https://a.example\", " x "}\n"
#define WITH(x)                                                                                    \
    PLAIN("credential: k, " x) "credentials:\n  k: {from: \"env:K\", hosts: [a.example]}\n"
#define PIN "sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

Test(policy, redaction_trailers_and_websocket)
{
    static const struct eg_policies_row rows[] = {
        { WITH("redact: true"), "-", 0, false },
        { WITH("redact: false"), "3:53 W redaction-off", 0, false },
        { WITH("redact: no"), "3:61 bad-type", 0, false },
        { PLAIN("redact: true"), "3:38 unknown-credential", 0, false },
        { PLAIN("redact: true"), "3:38 untrusted-key", 0, true },
        { PLAIN("websocket: true"), "-", 0, false },
        { PLAIN("websocket: true"), "3:38 untrusted-key", 0, true },
        { PLAIN("trailers: [x-checksum, X-Time]"), "-", 0, false },
        { PLAIN("trailers: x-checksum"), "-", 0, false },
        { PLAIN("trailers: []"), "-", 0, false },
        { PLAIN("trailers: [x-a]"), "3:38 untrusted-key", 0, true },
        { PLAIN("trailers: [a b]"), "3:49 bad-header", 0, false },
        { PLAIN("trailers: [content-length]"), "3:49 bad-header", 0, false },
        { PLAIN("trailers: [Host]"), "3:49 bad-header", 0, false },
        { PLAIN("trailers: [authorization]"), "3:49 bad-header", 0, false },
        { PLAIN("trailers: [Set-Cookie]"), "3:49 bad-header", 0, false },
        { WITH("accept: \"header:x-key\", trailers: [X-Key]"), "3:88 bad-header", 0, false },
        { PLAIN("trailers: [x-a, X-A]"), "3:54 duplicate-name", 0, false },
        { PLAIN("trailers: [a, b, c, d, e, f, g, h]"), "-", 0, false },
        { PLAIN("trailers: [a, b, c, d, e, f, g, h, i]"), "3:38 too-large", 0, false },
    };
    CHECK(rows);
}

static void is(struct eg_slice got, const char *want)
{
    cr_assert(eg_slice_eq(got, eg_slice_str(want)), "got '%.*s', want '%s'", (int)got.n, got.p,
              want);
}

Test(policy, members_come_out_as_written)
{
    struct eg_buf block;
    struct eg_service s;
    struct eg_policy *p =
        eg_policies_build("egress.yaml", WITH("websocket: true, trailers: [x-a, x-b]"), &block);
    eg_policy_service(p, 0, &s);
    cr_assert(s.redact && s.websocket && s.trailer_count == 2 && !s.internal);
    is(s.trailers[1], "x-b");
    cr_assert(s.limits.requests_per_minute == 0 && s.limits.request_bytes == 0 &&
              s.limits.response_bytes == 0 && s.limits.concurrent == 0 && s.pin_count == 0);
    eg_policy_close(p);
    eg_buf_done(&block);
    p = eg_policies_build("egress.yaml", PLAIN("websocket: false"), &block);
    eg_policy_service(p, 0, &s);
    cr_assert(!s.redact && !s.websocket && s.trailer_count == 0);
    eg_policy_close(p);
    eg_buf_done(&block);
    p = eg_policies_build("egress.yaml", WITH("redact: false"), &block);
    eg_policy_service(p, 0, &s);
    cr_assert(!s.redact);
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, limits_and_pins)
{
    static const struct eg_policies_row rows[] = {
        { PLAIN("limits: {requests_per_minute: 60, request_bytes: 8MiB, response_bytes: 1GiB, "
                "concurrent: 16}"),
          "-", 0, false },
        { PLAIN("limits: {concurrent: 1}"), "-", 0, true },
        { PLAIN("limits: {}"), "-", 0, false },
        { PLAIN("limits: {concurrent: 0}"), "3:59 bad-value", 0, false },
        { PLAIN("limits: {concurrent: 100001}"), "3:59 bad-value", 0, false },
        { PLAIN("limits: {requests_per_minute: 0}"), "3:68 bad-value", 0, false },
        { PLAIN("limits: {requests_per_minute: 1000001}"), "3:68 bad-value", 0, false },
        { PLAIN("limits: {requests_per_minute: 1k}"), "3:68 bad-type", 0, false },
        { PLAIN("limits: {request_bytes: 0}"), "3:62 bad-type", 0, false },
        { PLAIN("limits: {response_bytes: 5m}"), "3:63 bad-type", 0, false },
        { PLAIN("limits: {requests: 1}"), "3:47 unknown-key", 0, false },
        { PLAIN("tls: {pin: \"" PIN "\"}"), "-", 0, false },
        { PLAIN("tls: {pin: [\"" PIN "\", \"" PIN "\"]}"), "-", 0, false },
        { PLAIN("tls: {pin: []}"), "3:44 bad-value", 0, false },
        { PLAIN("tls: {pin: [a, b, c, d, e]}"), "3:44 bad-value", 0, false },
        { PLAIN("tls: {pin: \"" PIN "\"}"), "3:38 untrusted-key", 0, true },
        { PLAIN("tls: {pin: \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}"), "3:49 bad-pin", 0,
          false },
        { PLAIN("tls: {pin: \"sha1/AAECAwQFBgcICQoLDA0ODxAREhM=\"}"), "3:49 bad-pin", 0, false },
        { PLAIN("tls: {pin: \"sha256/\"}"), "3:49 bad-pin", 0, false },
        { PLAIN("tls: {pin: \"sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}"),
          "3:49 bad-pin", 0, false },
        { PLAIN("tls: {pin: \"sha256/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ==\"}"),
          "3:49 bad-pin", 0, false },
        { PLAIN("tls: {pin: \"sha256/AAECAwQF BgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\"}"),
          "3:49 bad-pin", 0, false },
        { "egress: 1\nservices:\n  s: {upstream: \"http://a.example\", tls: {pin: \"" PIN "\"}}\n",
          "3:37 unenforceable-rule", 0, false },
        { "egress: 1\nupstream: [{proxy: \"https://p.example\", tls: {pin: \"" PIN "\"}}]\n",
          "2:47 not-available", 0, false },
    };
    CHECK(rows);
}

Test(policy, limits_and_pins_come_out_as_written)
{
    struct eg_buf block;
    struct eg_service s;
    struct eg_policy *p = eg_policies_build(
        "egress.yaml",
        PLAIN("limits: {requests_per_minute: 60, request_bytes: 8MiB, response_bytes: 1GiB, "
              "concurrent: 16}, tls: {pin: [\"" PIN "\", \"" PIN "\"]}"),
        &block);
    eg_policy_service(p, 0, &s);
    cr_assert(s.limits.requests_per_minute == 60 && s.limits.request_bytes == 8 << 20 &&
              s.limits.response_bytes == 1 << 30 && s.limits.concurrent == 16 && s.pin_count == 2);
    is(s.pins[1], "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    eg_policy_close(p);
    eg_buf_done(&block);
}
