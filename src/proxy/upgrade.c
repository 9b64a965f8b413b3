/* upgrade.c - a request that asks for a WebSocket: authenticated and judged as any other of its route,
 * its handshake written anew and checked, then bytes both ways.
 *
 * Only WebSocket, only where the service says so (security.md, T16): other upgrades are dropped, and the
 * request goes on without them. Frames are not read: neither rules nor redaction reach into them. */
#include "proxy/upgrade.h"

#include <sodium.h>
#include <stdio.h>

#include "http/write.h"
#include "proxy/response.h"
#include "tls/sha1.h"

enum { KEY_TEXT = 24, ACCEPT_TEXT = 28 };

/* The one Sec-WebSocket-Key: 16 bytes in base64 (RFC 6455 section 4.1). */
static bool key_of(const struct eg_head *head, struct eg_slice *ret)
{
    unsigned char bytes[17];
    size_t n = 0;
    const struct eg_field *key = eg_head_find(head, EG_SLICE("Sec-WebSocket-Key"), NULL);
    if (!key || key->value.n != KEY_TEXT ||
        eg_head_find(head, EG_SLICE("Sec-WebSocket-Key"), key) ||
        sodium_base642bin(bytes, sizeof bytes, key->value.p, key->value.n, NULL, &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    *ret = key->value;
    return n == 16;
}

enum eg_status eg_upgrade_check(struct eg_flow *f, const char **why)
{
    const struct eg_head *head = eg_msg_head_get(f->request);
    struct eg_slice key;
    f->exchange->upgrade = false;
    if (f->want != EG_WANT_ROUTE || !eg_hygiene_is_websocket(head))
        return EG_OK;
    *why =
        "WebSocket is not enabled for this service: a person can set websocket: true in the policy";
    if (!f->exchange->service->websocket)
        return EG_NOT_SUPPORTED;
    *why = "a WebSocket handshake has one Sec-WebSocket-Key of 16 bytes in base64";
    if (!key_of(head, &key))
        return EG_BAD_REQUEST;
    f->exchange->upgrade = true;
    return EG_OK;
}

/* What proves that the origin read this very handshake. */
static bool accept_is(struct eg_slice key, struct eg_slice shown)
{
    unsigned char hash[EG_SHA1_SIZE];
    char text[KEY_TEXT + 40], want[ACCEPT_TEXT + 1];
    int n =
        snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)key.n, key.p);
    if (eg_tls_sha1(eg_slice(text, (size_t)n), hash) != EG_OK)
        return false;
    sodium_bin2base64(want, sizeof want, hash, sizeof hash, sodium_base64_VARIANT_ORIGINAL);
    return eg_slice_eq(shown, eg_slice_str(want));
}

/* Exactly one field of that name, with that value in any case. */
static bool says(const struct eg_head *head, struct eg_slice name, struct eg_slice value)
{
    const struct eg_field *field = eg_head_find(head, name, NULL);
    return field && !eg_head_find(head, name, field) && eg_slice_caseeq(field->value, value);
}

enum eg_status eg_upgrade_accept(struct eg_flow *f, struct eg_err *err)
{
    struct eg_exchange *x = f->exchange;
    const struct eg_head *head = eg_msg_head_get(f->response);
    const struct eg_field *shown = eg_head_find(head, EG_SLICE("Sec-WebSocket-Accept"), NULL);
    struct eg_slice key;
    if (!x->upgrade)
        return eg_err_set(err, EG_BAD_RESPONSE, "websocket", 0, "101 was not asked for");
    if (!says(head, EG_SLICE("Upgrade"), EG_SLICE("websocket")) || !shown ||
        eg_head_find(head, EG_SLICE("Sec-WebSocket-Accept"), shown) ||
        !key_of(eg_msg_head_get(f->request), &key) || !accept_is(key, shown->value))
        return eg_err_set(err, EG_BAD_RESPONSE, "websocket", 0,
                          "the origin's 101 does not answer this handshake");
    x->head_read = x->answered = true;
    f->ticket->event.http_status = 101;
    enum eg_status status = eg_response_lines(f, head);
    if (status == EG_OK)
        status =
            eg_buf_put(&f->client.out, EG_SLICE("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    if (status == EG_OK)
        status = eg_write_end(&f->client.out);
    x->upgraded = status == EG_OK;
    return status;
}

enum eg_step eg_upgrade_relay(struct eg_flow *f)
{
    eg_msg_free(f->response);
    f->response = NULL;
    f->engine->stats.tunnels++;
    f->engine->stats.open_tunnels++;
    return eg_relay_start(f);
}
