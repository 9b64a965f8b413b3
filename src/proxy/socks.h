/* socks.h - the messages of a SOCKS5 client (RFC 1928, RFC 1929), read from bytes. Pure: no socket,
 * no session, no policy. */
#ifndef EG_PROXY_SOCKS_H
#define EG_PROXY_SOCKS_H

#include "base/uri.h"

enum eg_socks_part {                    /* what is read next */
                     EG_SOCKS_GREETING, /* version and methods (RFC 1928 section 3) */
                     EG_SOCKS_LOGIN,    /* user name and password (RFC 1929 section 2) */
                     EG_SOCKS_REQUEST,  /* command and destination (RFC 1928 section 4) */
};

enum { /* octets of the protocol */
       EG_SOCKS_VERSION = 5,
       EG_SOCKS_NO_AUTH = 0,
       EG_SOCKS_PASSWORD = 2,
       EG_SOCKS_NO_METHOD = 0xff,
       EG_SOCKS_GENERAL = 1,
       EG_SOCKS_BAD_TYPE = 8,
       EG_SOCKS_PART_MAX = 3 + 255 + 255, /* no message is longer */
};

/* What one message said; slices borrow from the bytes that were read. */
struct eg_socks_said {
    bool no_auth, password_auth;    /* GREETING: the methods that we know, where offered */
    struct eg_slice user, password; /* LOGIN; user may be empty */
    struct eg_authority to; /* REQUEST: a literal where the client gave an address in any form */
    uint8_t reply; /* REQUEST that is refused: the reply where it is not its reason's; else 0 */
};

/* Reads one message from the front of `in`. EG_OK: *used bytes were it. EG_AGAIN: more are needed,
 * and nothing is wrong so far. Else the refusal, with the sentence in err (no byte of the peer's):
 * EG_BAD_REQUEST, EG_BAD_HOST, EG_NOT_SUPPORTED, EG_TOKEN_MISSING. The first octet that is wrong
 * decides, so an outcome depends on no chunking. */
enum eg_status eg_socks_parse(enum eg_socks_part part, struct eg_slice in, size_t *used,
                              struct eg_socks_said *ret, struct eg_err *err) EG_MUST_USE;

#endif
