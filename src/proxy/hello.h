/* hello.h - what the first bytes of a tunnel are: a TLS ClientHello (and for which name), HTTP,
 * or something else. Pure. */
#ifndef EG_PROXY_HELLO_H
#define EG_PROXY_HELLO_H

#include "base/uri.h"

enum { EG_HELLO_MAX = 16384 }; /* bytes of first flight that are read at most */

enum eg_hello_kind {
    EG_HELLO_MORE,  /* undecided: more bytes are needed */
    EG_HELLO_TLS,   /* a whole ClientHello */
    EG_HELLO_HTTP,  /* begins with a method and a space */
    EG_HELLO_OTHER, /* neither */
};

struct eg_hello {
    enum eg_hello_kind kind;
    bool has_sni;
    bool sni_valid;          /* exactly one host_name, a canonical DNS name (RFC 6066 section 3) */
    struct eg_authority sni; /* host when sni_valid; port 0 */
};

/* Judges the n bytes read so far (RFC 8446 4.1.2 and 5.1; the ClientHello may span records).
 * Never reads beyond n; a malformed or oversized hello is EG_HELLO_OTHER. */
void eg_hello_parse(const char *p, size_t n, struct eg_hello *ret);

/* The fatal alert unrecognized_name as a plaintext record (RFC 8446 6, RFC 6066 3): what a
 * refused TLS client is told. */
#define EG_HELLO_ALERT "\x15\x03\x01\x00\x02\x02\x70"
enum { EG_HELLO_ALERT_SIZE = 7 };

#endif
