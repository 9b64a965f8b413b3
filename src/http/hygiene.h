/* hygiene.h - which fields of a received head may be written again (RFC 9110 7.6.1, security.md
 * T10, T11, T16, T17). */
#ifndef EG_HTTP_HYGIENE_H
#define EG_HTTP_HYGIENE_H

#include "http/message.h"

enum eg_field_class {
    EG_FIELD_PASS,       /* end-to-end, write it as it is */
    EG_FIELD_HOP,        /* hop-by-hop, or named by Connection and not protected: dropped */
    EG_FIELD_FRAMING,    /* Content-Length, Transfer-Encoding: written by us */
    EG_FIELD_HOST,       /* written by us */
    EG_FIELD_PROXY,      /* Proxy-*: dropped (Proxy-Authorization is read by the session check) */
    EG_FIELD_CREDENTIAL, /* Authorization, x-api-key, ...: routes drop them, forwards pass them */
    EG_FIELD_OVERRIDE,   /* X-HTTP-Method-Override, X-Original-URL, ...: dropped */
};

/* Class of the field at index i of h. Connection can never nominate away a protected end-to-end
 * field (Host, Authorization, Content-Length, credential slots, Cookie, Content-Type ...). No
 * allocation. */
enum eg_field_class eg_hygiene_classify(const struct eg_head *h, uint32_t i);
/* The class of a name alone, whatever Connection says: EG_FIELD_PASS for all that are not known. */
enum eg_field_class eg_hygiene_name_class(struct eg_slice name);
/* Is it a WebSocket upgrade of HTTP/1.1 (GET, Connection: upgrade, Upgrade: websocket alone)? */
bool eg_hygiene_is_websocket(const struct eg_head *h);

#endif
