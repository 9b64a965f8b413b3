/* http_hygiene.c - the class of every field that has one, what Connection can and can't take away,
 * WebSocket upgrades. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "http/hygiene.h"
#include "http/message.h"

static struct eg_msg *parsed(const char *fields)
{
    static const struct eg_msg_limits limits = { .head_bytes = 8192,
                                                 .fields = 50,
                                                 .target_bytes = 100 };
    struct eg_msg *m = NULL;
    char text[4096];
    size_t used = 0;
    int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    cr_assert_eq(eg_msg_new(&m, EG_MSG_REQUEST, &limits), EG_OK);
    cr_assert_eq(eg_msg_head(m, text, (size_t)n, &used, NULL), EG_OK, "%s", fields);
    return m;
}

/* The class of the last field. */
static enum eg_field_class last_class(const char *fields)
{
    struct eg_msg *m = parsed(fields);
    const struct eg_head *h = eg_msg_head_get(m);
    enum eg_field_class got = eg_hygiene_classify(h, h->field_count - 1);
    eg_msg_free(m);
    return got;
}

Test(http, hygiene_classes_by_name)
{
    static const struct {
        const char *name;
        enum eg_field_class kind;
    } rows[] = {
        { "Accept", EG_FIELD_PASS },
        { "User-Agent", EG_FIELD_PASS },
        { "Cookie", EG_FIELD_PASS },
        { "X-Forwarded-For", EG_FIELD_PASS },
        { "Expect", EG_FIELD_PASS },
        { "Te-X", EG_FIELD_PASS },
        { "Hosts", EG_FIELD_PASS },
        { "Connection", EG_FIELD_HOP },
        { "Keep-Alive", EG_FIELD_HOP },
        { "TE", EG_FIELD_HOP },
        { "Trailer", EG_FIELD_HOP },
        { "Upgrade", EG_FIELD_HOP },
        { "HTTP2-Settings", EG_FIELD_HOP },
        { "Content-Length", EG_FIELD_FRAMING },
        { "Transfer-Encoding", EG_FIELD_FRAMING },
        { "Host", EG_FIELD_HOST },
        { "Proxy-Authorization", EG_FIELD_PROXY },
        { "Proxy-Authenticate", EG_FIELD_PROXY },
        { "Proxy-Connection", EG_FIELD_PROXY },
        { "Proxy-Status", EG_FIELD_PROXY },
        { "Proxy-Anything", EG_FIELD_PROXY },
        { "X-Egress-Reason", EG_FIELD_PROXY },
        { "Authorization", EG_FIELD_CREDENTIAL },
        { "X-Api-Key", EG_FIELD_CREDENTIAL },
        { "x-goog-api-key", EG_FIELD_CREDENTIAL },
        { "api-key", EG_FIELD_CREDENTIAL },
        { "ApiKey", EG_FIELD_CREDENTIAL },
        { "X-Auth-Token", EG_FIELD_CREDENTIAL },
        { "X-Access-Token", EG_FIELD_CREDENTIAL },
        { "PRIVATE-TOKEN", EG_FIELD_CREDENTIAL },
        { "JOB-TOKEN", EG_FIELD_CREDENTIAL },
        { "Deploy-Token", EG_FIELD_CREDENTIAL },
        { "DD-API-KEY", EG_FIELD_CREDENTIAL },
        { "DD-APPLICATION-KEY", EG_FIELD_CREDENTIAL },
        { "Ocp-Apim-Subscription-Key", EG_FIELD_CREDENTIAL },
        { "X-Amz-Security-Token", EG_FIELD_CREDENTIAL },
        { "X-Vault-Token", EG_FIELD_CREDENTIAL },
        { "X-HTTP-Method-Override", EG_FIELD_OVERRIDE },
        { "X-HTTP-Method", EG_FIELD_OVERRIDE },
        { "X-Method-Override", EG_FIELD_OVERRIDE },
        { "X-Original-URL", EG_FIELD_OVERRIDE },
        { "X-Rewrite-URL", EG_FIELD_OVERRIDE },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char upper[64];
        snprintf(upper, sizeof(upper), "%s", rows[i].name);
        for (char *c = upper; *c; c++) {
            *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
        }
        cr_expect_eq(eg_hygiene_name_class(eg_slice_str(rows[i].name)), rows[i].kind, "%s",
                     rows[i].name);
        cr_expect_eq(eg_hygiene_name_class(eg_slice_str(upper)), rows[i].kind, "%s", upper);
        struct eg_field field = { eg_slice_str(rows[i].name), EG_SLICE("x") };
        struct eg_head head = { .fields = &field, .field_count = 1 };
        cr_expect_eq(eg_hygiene_classify(&head, 0), rows[i].kind, "%s", rows[i].name);
    }
}

Test(http, hygiene_connection_takes_what_it_names)
{
    cr_expect_eq(last_class("Connection: X-Hop\r\nX-Hop: 1\r\n"), EG_FIELD_HOP);
    cr_expect_eq(last_class("Connection: close, x-hop ,keep-alive\r\nX-HOP: 1\r\n"), EG_FIELD_HOP);
    cr_expect_eq(last_class("Connection: a\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"), EG_FIELD_HOP);
    cr_expect_eq(last_class("Connection: X-Hop\r\nX-Hope: 1\r\n"), EG_FIELD_PASS);
    cr_expect_eq(last_class("Connection: X-Hope\r\nX-Hop: 1\r\n"), EG_FIELD_PASS);
    cr_expect_eq(last_class("X-Connection: X-Hop\r\nX-Hop: 1\r\n"), EG_FIELD_PASS);
}

/* T16: nothing that the proxy sets, or that an origin decides by, goes away because a client says
 * so. */
Test(http, hygiene_connection_cannot_take_what_is_protected)
{
    static const char *const names[] = {
        "Cookie",
        "Content-Type",
        "Content-Encoding",
        "Accept",
        "Accept-Encoding",
        "Range",
        "If-Match",
        "Cache-Control",
        "User-Agent",
        "Origin",
        "Referer",
        "Sec-Fetch-Site",
        "X-Amz-Date",
        "X-Amz-Target",
        "X-Forwarded-For",
        "Forwarded",
        "Expect",
        "Set-Cookie",
        "Location",
        "WWW-Authenticate",
        "Date",
        "ETag",
        "Vary",
        "Retry-After",
        "X-Real-IP",
        "X-Goog-User-Project",
        "Content-MD5",
        "Access-Control-Request-Method",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char connection[64];
        snprintf(connection, sizeof(connection), "close, %s", names[i]);
        const struct eg_field fields[] = {
            { EG_SLICE("Connection"), eg_slice_str(connection) },
            { eg_slice_str(names[i]), EG_SLICE("x") },
        };
        const struct eg_head head = { .fields = fields, .field_count = 2 };
        cr_expect_eq(eg_hygiene_classify(&head, 1), EG_FIELD_PASS, "%s", names[i]);
    }
    cr_expect_eq(last_class("Connection: Authorization\r\nAuthorization: x\r\n"),
                 EG_FIELD_CREDENTIAL);
    cr_expect_eq(last_class("Connection: X-Api-Key\r\nX-Api-Key: x\r\n"), EG_FIELD_CREDENTIAL);
    cr_expect_eq(last_class("Connection: Content-Length\r\nContent-Length: 0\r\n"),
                 EG_FIELD_FRAMING);
    cr_expect_eq(last_class("Connection: Proxy-Authorization\r\nProxy-Authorization: x\r\n"),
                 EG_FIELD_PROXY);
    struct eg_msg *m = parsed("Connection: Host\r\n");
    cr_expect_eq(eg_hygiene_classify(eg_msg_head_get(m), 0), EG_FIELD_HOST);
    eg_msg_free(m);
}

static bool is_websocket(const char *fields)
{
    struct eg_msg *m = parsed(fields);
    bool yes = eg_hygiene_is_websocket(eg_msg_head_get(m));
    eg_msg_free(m);
    return yes;
}

Test(http, hygiene_websocket)
{
    cr_expect(is_websocket("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    cr_expect(is_websocket("Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n"));
    cr_expect_not(is_websocket(""));
    cr_expect_not(is_websocket("Upgrade: websocket\r\n"));
    cr_expect_not(is_websocket("Connection: upgrade\r\n"));
    cr_expect_not(is_websocket("Connection: upgrade\r\nUpgrade: h2c\r\n"));
    cr_expect_not(is_websocket("Connection: upgrade\r\nUpgrade: websocket, h2c\r\n"));
    cr_expect_not(is_websocket("Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n"));
    cr_expect_not(is_websocket("Connection: upgrade\r\nUpgrade: websocket/13\r\n"));
}

Test(http, hygiene_websocket_is_get_of_http_1_1)
{
    const struct eg_field fields[] = { { EG_SLICE("Upgrade"), EG_SLICE("websocket") } };
    struct eg_head head = {
        .method = EG_SLICE("GET"), .minor = 1, .upgrade = true, .fields = fields, .field_count = 1
    };
    cr_expect(eg_hygiene_is_websocket(&head));
    head.minor = 0;
    cr_expect_not(eg_hygiene_is_websocket(&head));
    head.minor = 1;
    head.method = EG_SLICE("POST");
    cr_expect_not(eg_hygiene_is_websocket(&head));
}
