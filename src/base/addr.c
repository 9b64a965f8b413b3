/* addr.c - addresses and ranges, their one text form each, and the way to and from the kernel's.
 *
 * Parsing is by our own grammar on explicit lengths (security.md T2): no octal, hexadecimal, short
 * or padded IPv4, no zone ids. What eg_addr_format writes is the canonical text: dotted quad, or
 * RFC 5952 with the mixed notation for IPv4-mapped addresses only. */
#include "base/uri.h"

#include <netinet/in.h>
#include <stdio.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes a number of 1..max_digits decimal digits without leading zeros. */
static bool take_decimal(struct eg_slice *s, size_t max_digits, unsigned limit, unsigned *ret)
{
    size_t n = 0;
    unsigned value = 0;
    while (n < s->n && n < max_digits && is_digit(s->p[n]))
        value = value * 10 + (unsigned)(s->p[n++] - '0');
    if (n == 0 || (n > 1 && s->p[0] == '0') || value > limit)
        return false;
    *s = eg_slice_from(*s, n);
    *ret = value;
    return true;
}

static bool parse_v4(struct eg_slice s, uint8_t out[4])
{
    for (int i = 0; i < 4; i++) {
        unsigned octet;
        if (i > 0) {
            if (s.n == 0 || s.p[0] != '.')
                return false;
            s = eg_slice_from(s, 1);
        }
        if (!take_decimal(&s, 3, 255, &octet))
            return false;
        out[i] = (uint8_t)octet;
    }
    return s.n == 0;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = eg_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes one group of 1..4 hexadecimal digits (RFC 4291 section 2.2). */
static bool take_group(struct eg_slice *s, unsigned *ret)
{
    size_t n = 0;
    unsigned value = 0;
    while (n < s->n && n < 5 && hex_value(s->p[n]) >= 0)
        value = value << 4 | (unsigned)hex_value(s->p[n++]);
    if (n == 0 || n > 4)
        return false;
    *s = eg_slice_from(*s, n);
    *ret = value;
    return true;
}

/* Up to `room` bytes of groups, parted by single colons; an IPv4 tail counts as two groups. Stops
 * before "::" (which *gap tells, and takes) or at the end. Returns the bytes written, or -1. */
static int parse_groups(struct eg_slice *s, uint8_t *out, int room, bool *gap)
{
    int n = 0;
    while (s->n) {
        unsigned group;
        long dot = eg_slice_index(*s, '.');
        if (dot >= 0 && eg_slice_index(*s, ':') < 0) {
            if (room - n < 4 || !parse_v4(*s, out + n))
                return -1;
            *s = EG_SLICE_NONE;
            return n + 4;
        }
        if (room - n < 2 || !take_group(s, &group))
            return -1;
        out[n++] = (uint8_t)(group >> 8);
        out[n++] = (uint8_t)(group & 0xff);
        if (s->n == 0)
            return n;
        if (eg_slice_starts(*s, EG_SLICE("::"))) {
            *s = eg_slice_from(*s, 2);
            *gap = true;
            return n;
        }
        if (s->p[0] != ':' || s->n == 1)
            return -1;
        *s = eg_slice_from(*s, 1);
    }
    return n;
}

static bool parse_v6(struct eg_slice s, uint8_t out[16])
{
    uint8_t tail[16];
    bool gap = false;
    bool second = false;
    int head_n = 0;
    int tail_n = 0;
    memset(out, 0, 16);
    if (eg_slice_starts(s, EG_SLICE("::"))) {
        s = eg_slice_from(s, 2);
        gap = true;
    } else {
        head_n = parse_groups(&s, out, 16, &gap);
    }
    if (!gap)
        return head_n == 16;
    /* "::" stands for at least one group. */
    if (head_n < 0 || head_n > 14)
        return false;
    tail_n = parse_groups(&s, tail, 14 - head_n, &second);
    if (tail_n < 0 || second)
        return false;
    memset(out + head_n, 0, (size_t)(16 - head_n));
    memcpy(out + 16 - tail_n, tail, (size_t)tail_n);
    return true;
}

bool eg_addr_parse(struct eg_slice text, struct eg_addr *ret)
{
    struct eg_addr a = { 0 };
    if (text.n == 0 || text.n >= EG_ADDR_TEXT)
        return false;
    if (eg_slice_index(text, ':') >= 0) {
        if (!parse_v6(text, a.b))
            return false;
        a.family = 6;
    } else {
        if (!parse_v4(text, a.b))
            return false;
        a.family = 4;
    }
    *ret = a;
    return true;
}

/* The longest run of at least two zero groups, the first of equals (RFC 5952 section 4.2). */
static int longest_zero_run(const uint8_t *b, int *length)
{
    int best = -1;
    int best_n = 1;
    for (int i = 0; i < 8;) {
        int n = 0;
        while (i + n < 8 && b[2 * (i + n)] == 0 && b[2 * (i + n) + 1] == 0)
            n++;
        if (n > best_n) {
            best = i;
            best_n = n;
        }
        i += n + 1;
    }
    *length = best_n;
    return best;
}

static void format_v6(const uint8_t *b, char *out, size_t cap)
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    int run_n;
    int run = longest_zero_run(b, &run_n);
    size_t n = 0;
    if (memcmp(b, mapped, sizeof mapped) == 0) {
        snprintf(out, cap, "::ffff:%u.%u.%u.%u", b[12], b[13], b[14], b[15]);
        return;
    }
    for (int i = 0; i < 8 && n < cap; i++) {
        if (i == run) {
            n += (size_t)snprintf(out + n, cap - n, "::");
            i += run_n - 1;
            continue;
        }
        const char *colon = i > 0 && n > 0 && out[n - 1] != ':' ? ":" : "";
        n += (size_t)snprintf(out + n, cap - n, "%s%x", colon,
                              (unsigned)b[2 * i] << 8 | b[2 * i + 1]);
    }
}

size_t eg_decimal(unsigned value, char out[EG_DECIMAL])
{
    char digits[EG_DECIMAL];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    out[n] = '\0';
    return n;
}

/* Every request is told of by address several times: no printf. */
static void format_v4(const uint8_t *b, char *out, size_t cap)
{
    char text[4 * EG_DECIMAL];
    size_t n = 0;
    for (unsigned i = 0; i < 4; i++) {
        if (i > 0)
            text[n++] = '.';
        n += eg_decimal(b[i], text + n);
    }
    n = n < cap ? n : cap - 1;
    memcpy(out, text, n);
    out[n] = '\0';
}

char *eg_addr_format(const struct eg_addr *a, char *out, size_t cap)
{
    if (cap == 0)
        return out;
    out[0] = '\0';
    if (a->family == 4)
        format_v4(a->b, out, cap);
    else if (a->family == 6)
        format_v6(a->b, out, cap);
    return out;
}

bool eg_addr_in(const struct eg_addr *a, const struct eg_addr *base, uint8_t bits)
{
    if (a->family != base->family || (a->family != 4 && a->family != 6))
        return false;
    if (bits > (a->family == 4 ? 32 : 128))
        return false;
    size_t whole = bits / 8;
    if (memcmp(a->b, base->b, whole) != 0)
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || (a->b[whole] ^ base->b[whole]) >> (8 - rest) == 0;
}

bool eg_cidr_parse(struct eg_slice text, struct eg_addr *base, uint8_t *bits)
{
    struct eg_addr a;
    unsigned length;
    long slash = eg_slice_index(text, '/');
    if (slash < 0 || !eg_addr_parse(eg_slice(text.p, (size_t)slash), &a))
        return false;
    struct eg_slice rest = eg_slice_from(text, (size_t)slash + 1);
    unsigned width = a.family == 4 ? 32 : 128;
    if (!take_decimal(&rest, 3, width, &length) || rest.n)
        return false;
    for (unsigned i = length; i < width; i++)
        if (a.b[i / 8] & 0x80 >> i % 8)
            return false;
    *base = a;
    *bits = (uint8_t)length;
    return true;
}

bool eg_addr_eq(const struct eg_addr *a, const struct eg_addr *b)
{
    if (a->family != b->family)
        return false;
    return memcmp(a->b, b->b, a->family == 4 ? 4 : a->family == 6 ? 16 : 0) == 0;
}

socklen_t eg_sockaddr_to(const struct eg_sockaddr *from, struct sockaddr_storage *to)
{
    memset(to, 0, sizeof *to);
    if (from->addr.family == 4) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(from->port) };
        memcpy(&in.sin_addr, from->addr.b, 4);
        memcpy(to, &in, sizeof in);
        return sizeof in;
    }
    if (from->addr.family == 6) {
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(from->port) };
        memcpy(&in6.sin6_addr, from->addr.b, 16);
        memcpy(to, &in6, sizeof in6);
        return sizeof in6;
    }
    return 0;
}

bool eg_sockaddr_from(const struct sockaddr *from, socklen_t n, struct eg_sockaddr *ret)
{
    struct eg_sockaddr a = { 0 };
    sa_family_t family;
    if (n < (socklen_t)(offsetof(struct sockaddr, sa_family) + sizeof family))
        return false;
    memcpy(&family, (const char *)from + offsetof(struct sockaddr, sa_family), sizeof family);
    if (family == AF_INET && n >= (socklen_t)sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof in);
        a.addr.family = 4;
        memcpy(a.addr.b, &in.sin_addr, 4);
        a.port = ntohs(in.sin_port);
    } else if (family == AF_INET6 && n >= (socklen_t)sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in6;
        memcpy(&in6, from, sizeof in6);
        a.addr.family = 6;
        memcpy(a.addr.b, &in6.sin6_addr, 16);
        a.port = ntohs(in6.sin6_port);
    } else {
        return false;
    }
    *ret = a;
    return true;
}
