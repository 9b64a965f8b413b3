/* naive_address.c - addresses (policy.md point 6), from the registries' own texts. */
#include "support/naive_parts.h"

#include <arpa/inet.h>
#include <stdio.h>

struct bytes {
    unsigned n; /* 4 or 16; 0: no address */
    uint8_t b[16];
};

static struct bytes read_addr(const char *text)
{
    struct bytes a = { 0, { 0 } };
    if (inet_pton(AF_INET, text, a.b) == 1)
        a.n = 4;
    else if (inet_pton(AF_INET6, text, a.b) == 1)
        a.n = 16;
    return a;
}

static int bit(const struct bytes *a, unsigned i)
{
    return a->b[i / 8] >> (7 - i % 8) & 1;
}

bool eg_naive_in(const char *base, unsigned bits, const char *addr)
{
    struct bytes x = read_addr(base), y = read_addr(addr);
    if (x.n == 0 || x.n != y.n)
        return false;
    for (unsigned i = 0; i < bits; i++)
        if (bit(&x, i) != bit(&y, i))
            return false;
    return true;
}

static void show(const uint8_t *from, bool inverted, char out[EG_RANDOM_HOST])
{
    uint8_t b[4];
    for (unsigned i = 0; i < 4; i++)
        b[i] = inverted ? (uint8_t)~from[i] : from[i];
    inet_ntop(AF_INET, b, out, EG_RANDOM_HOST);
}

unsigned eg_naive_inside(const char *addr, char out[EG_NAIVE_INSIDE][EG_RANDOM_HOST])
{
    struct bytes a = read_addr(addr);
    unsigned n = 0;
    if (a.n != 16 || eg_naive_in("::", 127, addr)) /* unspecified and loopback carry nothing */
        return 0;
    if (eg_naive_in("::", 96, addr) || eg_naive_in("::ffff:0:0", 96, addr) ||
        eg_naive_in("::ffff:0:0:0", 96, addr) || eg_naive_in("64:ff9b::", 96, addr))
        show(a.b + 12, false, out[n++]);
    if (eg_naive_in("2002::", 16, addr))
        show(a.b + 2, false, out[n++]);
    if (eg_naive_in("2001::", 32, addr)) {
        show(a.b + 4, false, out[n++]);
        show(a.b + 12, true, out[n++]);
    }
    if (eg_naive_in(
            "64:ff9b:1::", 48,
            addr)) { /* RFC 6052 2.2: prefixes of 96, 48, 56 and 64 bits; octet 8 is left out */
        const uint8_t p48[] = { a.b[6], a.b[7], a.b[9], a.b[10] };
        const uint8_t p56[] = { a.b[7], a.b[9], a.b[10], a.b[11] };
        show(a.b + 12, false, out[n++]);
        show(p48, false, out[n++]);
        show(p56, false, out[n++]);
        show(a.b + 9, false, out[n++]);
    }
    return n;
}

/* The IANA special-purpose registries, and a cloud's platform address. */
static bool is_special(const char *addr)
{
    static const struct {
        const char *base;
        unsigned bits;
    } list[] = {
        { "0.0.0.0", 8 },        { "10.0.0.0", 8 },        { "100.64.0.0", 10 },
        { "127.0.0.0", 8 },      { "169.254.0.0", 16 },    { "172.16.0.0", 12 },
        { "192.0.0.0", 24 },     { "192.0.2.0", 24 },      { "192.31.196.0", 24 },
        { "192.52.193.0", 24 },  { "192.88.99.0", 24 },    { "192.168.0.0", 16 },
        { "192.175.48.0", 24 },  { "198.18.0.0", 15 },     { "198.51.100.0", 24 },
        { "203.0.113.0", 24 },   { "224.0.0.0", 4 },       { "240.0.0.0", 4 },
        { "168.63.129.16", 32 }, { "2001::", 23 },         { "2001:db8::", 32 },
        { "2002::", 16 },        { "2620:4f:8000::", 48 }, { "3fff::", 20 },
    };
    if (strchr(addr, ':') && !eg_naive_in("2000::", 3, addr))
        return !eg_naive_in("64:ff9b::", 96, addr);
    for (unsigned i = 0; i < sizeof list / sizeof *list; i++)
        if (eg_naive_in(list[i].base, list[i].bits, addr))
            return true;
    return false;
}

static bool is_forbidden(const struct eg_random_policy *p, const char *addr)
{
    for (unsigned i = 0; i < p->network_count; i++)
        if (eg_naive_in(p->networks[i].host, p->networks[i].bits, addr))
            return false;
    return is_special(addr) || eg_naive_in(eg_random_own_address, 32, addr);
}

bool eg_naive_forbidden(const struct eg_random_policy *p, const char *addr)
{
    char inside[EG_NAIVE_INSIDE][EG_RANDOM_HOST];
    if (is_forbidden(p, addr))
        return true;
    /* a local translator or a Teredo relay that is opened leads where its own configuration says */
    if (eg_naive_in("64:ff9b:1::", 48, addr) || eg_naive_in("2001::", 32, addr))
        return false;
    for (unsigned i = 0, n = eg_naive_inside(addr, inside); i < n; i++)
        if (is_forbidden(p, inside[i]))
            return true;
    return false;
}

static bool is_metadata(const char *addr)
{
    static const char *const list[] = {
        "169.254.169.254", "169.254.170.2", "169.254.170.23",  "168.63.129.16",
        "100.100.100.200", "192.0.0.192",   "169.254.0.23",    "fd00:ec2::254",
        "fd00:ec2::23",    "fd20:ce::254",  "fe80::a9fe:a9fe",
    };
    for (unsigned i = 0; i < sizeof list / sizeof *list; i++)
        if (eg_naive_in(list[i], strchr(list[i], ':') ? 128 : 32, addr))
            return true;
    return false;
}

bool eg_naive_metadata_addr(const char *addr)
{
    char inside[EG_NAIVE_INSIDE][EG_RANDOM_HOST];
    for (unsigned i = 0, n = eg_naive_inside(addr, inside); i < n; i++)
        if (is_metadata(inside[i]))
            return true;
    return is_metadata(addr);
}

/* The one name of this kind in the alphabets, and what is below it. */
bool eg_naive_metadata_name(const char *host)
{
    static const char name[] = "metadata.google.internal";
    size_t n = strlen(host), tail = sizeof name - 1;
    return n >= tail && strcmp(host + n - tail, name) == 0 &&
           (n == tail || host[n - tail - 1] == '.');
}
