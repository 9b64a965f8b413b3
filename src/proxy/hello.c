/* hello.c - the first flight of a tunnel, parsed across TLS records without a library and without a
 * copy that outlives the call.
 *
 * Every length is checked against what is there before it is used; whatever does not parse is
 * EG_HELLO_OTHER, which no https rule lets through. */
#include "proxy/hello.h"

#include <string.h>

struct cursor { /* a run of bytes that only shrinks */
    const unsigned char *p;
    size_t n;
};

static bool take(struct cursor *c, size_t n, struct cursor *ret)
{
    if (c->n < n)
        return false;
    *ret = (struct cursor){ c->p, n };
    c->p += n;
    c->n -= n;
    return true;
}

/* A vector with a length prefix of `width` octets (RFC 8446 section 3.4). */
static bool take_vector(struct cursor *c, size_t width, struct cursor *ret)
{
    struct cursor prefix;
    if (!take(c, width, &prefix))
        return false;
    size_t n = 0;
    for (size_t i = 0; i < width; i++)
        n = n << 8 | prefix.p[i];
    return take(c, n, ret);
}

/* RFC 6066 section 3: a list with exactly one host_name; more than one, or another type, is not
 * valid. */
static void read_sni(struct cursor extension, struct eg_hello *ret)
{
    struct cursor list, name, type;
    ret->has_sni = true;
    ret->sni_valid = false;
    if (!take_vector(&extension, 2, &list) || extension.n != 0)
        return;
    if (!take(&list, 1, &type) || type.p[0] != 0 || !take_vector(&list, 2, &name) || list.n != 0)
        return;
    struct eg_slice text = eg_slice(name.p, name.n);
    if (eg_host_parse(text, &ret->sni, NULL) == EG_OK && !ret->sni.literal)
        ret->sni_valid = true;
}

static bool read_extensions(struct cursor extensions, struct eg_hello *ret)
{
    while (extensions.n > 0) {
        struct cursor type, body;
        if (!take(&extensions, 2, &type) || !take_vector(&extensions, 2, &body))
            return false;
        if (type.p[0] != 0 || type.p[1] != 0)
            continue;
        if (ret->has_sni) /* RFC 8446 4.2: no extension twice */
            return false;
        read_sni(body, ret);
    }
    return true;
}

static bool read_client_hello(struct cursor body, struct eg_hello *ret)
{
    struct cursor fixed, session, suites, compression, extensions;
    if (!take(&body, 34, &fixed) || fixed.p[0] != 3)
        return false;
    if (!take_vector(&body, 1, &session) || session.n > 32)
        return false;
    if (!take_vector(&body, 2, &suites) || suites.n < 2 || suites.n % 2 != 0)
        return false;
    if (!take_vector(&body, 1, &compression) || compression.n < 1)
        return false;
    if (body.n == 0) /* TLS 1.2 without extensions: no SNI */
        return true;
    if (!take_vector(&body, 2, &extensions) || body.n != 0)
        return false;
    return read_extensions(extensions, ret);
}

enum { RECORD_HEAD = 5, HANDSHAKE_HEAD = 4, RECORD_MAX = 16384 };

/* Joins the handshake bytes of the records in p..n into out. false: not TLS. *whole: the
 * ClientHello is complete, *size its bytes with the head. */
static bool join_records(const unsigned char *p, size_t n, unsigned char *out, size_t *size,
                         bool *whole)
{
    size_t have = 0, need = HANDSHAKE_HEAD;
    *whole = false;
    while (n > 0) {
        if (p[0] != 22 || (n > 1 && p[1] != 3) || (n > 2 && p[2] > 4))
            return false;
        if (n < RECORD_HEAD)
            return true;
        size_t length = (size_t)p[3] << 8 | p[4];
        if (length == 0 || length > RECORD_MAX)
            return false;
        size_t there = n - RECORD_HEAD < length ? n - RECORD_HEAD : length;
        if (there > EG_HELLO_MAX - have)
            return false;
        memcpy(out + have, p + RECORD_HEAD, there);
        have += there;
        if (have >= 1 && out[0] != 1) /* client_hello */
            return false;
        if (have >= HANDSHAKE_HEAD)
            need = HANDSHAKE_HEAD + ((size_t)out[1] << 16 | (size_t)out[2] << 8 | out[3]);
        if (need > EG_HELLO_MAX)
            return false;
        if (have >= need) {
            *whole = true;
            *size = need;
            return true;
        }
        if (there < length)
            return true;
        p += RECORD_HEAD + length;
        n -= RECORD_HEAD + length;
    }
    return true;
}

/* A method (RFC 9110 section 9.1: upper-case letters in practice) and a space. */
static enum eg_hello_kind looks_like_http(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && i < 20 && ((p[i] >= 'A' && p[i] <= 'Z') || p[i] == '-'))
        i++;
    if (i == n && i < 20)
        return EG_HELLO_MORE;
    return i > 0 && i < 20 && p[i] == ' ' ? EG_HELLO_HTTP : EG_HELLO_OTHER;
}

void eg_hello_parse(const char *p, size_t n, struct eg_hello *ret)
{
    unsigned char joined[EG_HELLO_MAX];
    size_t size = 0;
    bool whole = false;
    *ret = (struct eg_hello){ .kind = EG_HELLO_MORE };
    if (n == 0)
        return;
    if (p[0] != 22) {
        ret->kind = looks_like_http(p, n);
        return;
    }
    if (!join_records((const unsigned char *)p, n, joined, &size, &whole)) {
        ret->kind = EG_HELLO_OTHER;
        return;
    }
    if (!whole) {
        if (n >= EG_HELLO_MAX)
            ret->kind = EG_HELLO_OTHER;
        return;
    }
    struct cursor body = { joined + HANDSHAKE_HEAD, size - HANDSHAKE_HEAD };
    ret->kind = read_client_hello(body, ret) ? EG_HELLO_TLS : EG_HELLO_OTHER;
}
