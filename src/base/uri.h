/* uri.h - the one canonical authority, address and path (invariant 4). What is computed here once
 * is used for matching, DNS, dialling, Host, SNI and the audit. It refuses, it does not repair
 * (security.md T1, T2, T17). */
#ifndef EG_BASE_URI_H
#define EG_BASE_URI_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { EG_HOST_MAX = 253, EG_ADDR_TEXT = 48, EG_AUTHORITY_TEXT = 264 };

struct eg_addr {
    uint8_t family; /* 4 or 6; 0 = none */
    uint8_t b[16];  /* network order; IPv4 uses the first 4 */
};

struct eg_sockaddr {
    struct eg_addr addr;
    uint16_t port; /* host order */
};

struct eg_authority {
    char host[EG_HOST_MAX + 1]; /* lower-case A-labels without the trailing dot, or the canonical
                                   address text, no brackets */
    uint8_t host_len;
    uint16_t port;       /* 1..65535 */
    bool literal;        /* the host is an address: addr holds it */
    bool port_given;     /* false: port is the caller's default */
    struct eg_addr addr; /* family 0 unless literal */
};

static inline struct eg_slice eg_authority_host(const struct eg_authority *a)
{
    return eg_slice(a->host, a->host_len);
}

/* host only, e.g. of a policy or a SOCKS domain name; no port, brackets only around IPv6.
 * EG_BAD_HOST with a reason. */
enum eg_status eg_host_parse(struct eg_slice text, struct eg_authority *ret,
                             struct eg_err *err) EG_MUST_USE;
/* "host", "host:port", "[v6]:port". default_port 0: the port is required. EG_BAD_HOST with a
 * reason. RFC 3986 3.2.2, RFC 9110 4.2. */
enum eg_status eg_authority_parse(struct eg_slice text, uint16_t default_port,
                                  struct eg_authority *ret, struct eg_err *err) EG_MUST_USE;
/* From an address; never fails. */
void eg_authority_from_addr(const struct eg_addr *addr, uint16_t port, struct eg_authority *ret);
/* "host:port" or "[v6]:port"; omit_port drops the port when it equals it (0: never). Returns out;
 * cap >= EG_AUTHORITY_TEXT. */
char *eg_authority_format(const struct eg_authority *a, uint16_t omit_port, char *out, size_t cap);
bool eg_authority_eq(const struct eg_authority *a, const struct eg_authority *b);

/* Canonical dotted quad, or RFC 4291 text without zone and brackets; anything else is false. */
bool eg_addr_parse(struct eg_slice text, struct eg_addr *ret);
/* The digits of value and a NUL; returns how many digits. */
enum { EG_DECIMAL = 12 };
size_t eg_decimal(unsigned value, char out[EG_DECIMAL]);
/* Dotted quad or RFC 5952. Returns out; cap >= EG_ADDR_TEXT. */
char *eg_addr_format(const struct eg_addr *a, char *out, size_t cap);
/* "1.2.3.0/24", "fd00::/8"; host bits must be zero. */
bool eg_cidr_parse(struct eg_slice text, struct eg_addr *base, uint8_t *bits);
bool eg_addr_in(const struct eg_addr *a, const struct eg_addr *base, uint8_t bits);
bool eg_addr_eq(const struct eg_addr *a, const struct eg_addr *b);
socklen_t eg_sockaddr_to(const struct eg_sockaddr *from, struct sockaddr_storage *to);
bool eg_sockaddr_from(const struct sockaddr *from, socklen_t n, struct eg_sockaddr *ret);

enum eg_target_form {
    EG_TARGET_ORIGIN,
    EG_TARGET_ABSOLUTE,
    EG_TARGET_AUTHORITY,
    EG_TARGET_ASTERISK
};

struct eg_target { /* RFC 9112 section 3.2; slices borrow from the text that was parsed */
    enum eg_target_form form;
    struct eg_authority authority; /* absolute and authority form */
    struct eg_slice path;  /* origin and absolute form: '/' first, raw; "/" where it has none */
    struct eg_slice query; /* without '?', raw */
    bool has_query;
};

/* connect: the method is CONNECT, so authority form with a port is required and no other is
 * allowed. absolute form takes http:// only (default port 80); https:// is EG_BAD_TARGET with a
 * text that says to use CONNECT. userinfo, fragments, control, non-ASCII and invalid percent
 * escapes are EG_BAD_TARGET; a bad host is EG_BAD_HOST. */
enum eg_status eg_target_parse(struct eg_slice text, bool connect, struct eg_target *ret,
                               struct eg_err *err) EG_MUST_USE;

struct eg_path_flags {
    bool unsafe; /* dot segment (decoded until stable, ; parameters stripped), backslash, encoded
                    NUL or control, empty segment before the last: refused wherever rules apply
                    (policy.md point 5) */
    const char *why; /* static sentence when unsafe */
};

/* Appends the canonical path: percent-encoded unreserved characters decoded, hex digits of what
 * remains in upper case, everything else as it is. EG_BAD_TARGET for an invalid escape or a byte
 * outside RFC 3986's pchar and '/', EG_TOO_BIG. */
enum eg_status eg_path_canon(struct eg_slice path, struct eg_buf *out, struct eg_path_flags *flags,
                             struct eg_err *err) EG_MUST_USE;
/* The same without a buffer: `to` and `scratch` have room for path.n bytes each (scratch may be NULL where
 * no '%' is in the path), *n is the length. Nothing is allocated. EG_BAD_TARGET. */
enum eg_status eg_path_canon_at(struct eg_slice path, char *to, char *scratch, size_t *n,
                                struct eg_path_flags *flags, struct eg_err *err) EG_MUST_USE;

#endif
