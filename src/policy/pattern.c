/* pattern.c - host patterns as people write them, and what to say when they are wrong.
 *
 * A pattern is an exact name or "*." and a name of at least two labels. Names are A-labels; for a U-label the message shows
 * its A-label (RFC 3492), computed here for ASCII-lower-case input only: it is a hint, never used to match. */
#include "policy/model.h"

#include <stdio.h>

static unsigned char punycode_digit(unsigned d)
{
    return (unsigned char)(d < 26 ? 'a' + d : '0' + d - 26);
}

static unsigned adapt(unsigned delta, unsigned points, bool first)
{
    unsigned k = 0;
    delta = first ? delta / 700 : delta / 2;
    delta += delta / points;
    for (; delta > 455; k += 36)
        delta /= 35;
    return k + 36 * delta / (delta + 38);
}

/* Writes one number in the generalised variable-length form of RFC 3492 section 3.3. */
static size_t put_number(char *out, size_t cap, unsigned q, unsigned bias)
{
    size_t n = 0;
    for (unsigned k = 36;; k += 36) {
        unsigned t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
        if (n == cap)
            return 0;
        if (q < t) {
            out[n++] = (char)punycode_digit(q);
            return n;
        }
        out[n++] = (char)punycode_digit(t + (q - t) % (36 - t));
        q = (q - t) / (36 - t);
    }
}

enum { MAX_POINTS = 63 };

/* Code points of one label (valid UTF-8, checked by the scan); 0 when it is too long. */
static unsigned decode_label(struct eg_slice label, uint32_t points[MAX_POINTS])
{
    unsigned n = 0;
    for (size_t i = 0; i < label.n;) {
        unsigned char c = (unsigned char)label.p[i++];
        uint32_t code = c < 0x80 ? c : c < 0xe0 ? c & 0x1fu : c < 0xf0 ? c & 0x0fu : c & 0x07u;
        while (i < label.n && ((unsigned char)label.p[i] & 0xc0) == 0x80)
            code = code << 6 | ((unsigned char)label.p[i++] & 0x3fu);
        if (n == MAX_POINTS)
            return 0;
        points[n++] = code < 0x80 ? (uint32_t)eg_lower((char)code) : code;
    }
    return n;
}

/* RFC 3492 section 6.3. Returns the bytes written, 0 when it does not fit. */
static size_t encode_label(struct eg_slice label, char *out, size_t cap)
{
    uint32_t points[MAX_POINTS];
    unsigned count = decode_label(label, points);
    size_t n = 0;
    if (count == 0 || cap < 4 + (size_t)count)
        return 0;
    memcpy(out, "xn--", 4);
    n = 4;
    for (unsigned i = 0; i < count; i++)
        if (points[i] < 0x80)
            out[n++] = (char)points[i];
    unsigned basic = (unsigned)n - 4;
    unsigned done = basic;
    if (basic == count) {
        memmove(out, out + 4, basic);
        return basic;
    }
    if (basic > 0 && n < cap)
        out[n++] = '-';
    unsigned delta = 0, bias = 72;
    for (uint32_t code = 0x80; done < count; delta++, code++) {
        uint32_t next = UINT32_MAX;
        for (unsigned i = 0; i < count; i++)
            if (points[i] >= code && points[i] < next)
                next = points[i];
        delta += (next - code) * (done + 1);
        code = next;
        for (unsigned i = 0; i < count; i++) {
            delta += points[i] < code;
            if (points[i] != code)
                continue;
            size_t wrote = put_number(out + n, cap - n, delta, bias);
            if (wrote == 0)
                return 0;
            n += wrote;
            bias = adapt(delta, done + 1, done == basic);
            delta = 0;
            done++;
        }
    }
    return n;
}

static bool has_non_ascii(struct eg_slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] >= 0x80)
            return true;
    return false;
}

/* "write xn--..." for a name with U-labels; false when it can't be had, or would repeat what looks like a secret. */
static bool idn_fix(struct eg_slice name, char *out, size_t cap)
{
    if (eg_secret_like(name))
        return false;
    int head = snprintf(out, cap, "write ");
    size_t n = (size_t)head;
    size_t start = 0;
    for (size_t i = 0; i <= name.n; i++) {
        if (i < name.n && name.p[i] != '.')
            continue;
        size_t wrote = encode_label(eg_slice(name.p + start, i - start), out + n, cap - n - 2);
        if (wrote == 0)
            return false;
        n += wrote;
        if (i < name.n)
            out[n++] = '.';
        if (n + 8 > cap)
            return false;
        start = i + 1;
    }
    out[n] = '\0';
    return true;
}

static bool report_wrong(struct eg_model *m, const struct eg_yaml *node, const char *code,
                         const char *fix, const char *text)
{
    eg_diag_error(m->diags, code, node->at, fix, "%s", text);
    return false;
}

/* What people write instead of a host; true when one of them was recognised and reported. */
static bool report_common(struct eg_model *m, const struct eg_yaml *node)
{
    struct eg_slice text = node->text;
    struct eg_addr addr;
    uint8_t bits;
    if (has_non_ascii(text)) {
        char fix[EG_HOST_MAX + 16];
        report_wrong(m, node, "idn-host", idn_fix(text, fix, sizeof fix) ? fix : NULL,
                     "a host is written with A-labels (xn--...)");
    } else if (eg_addr_parse(text, &addr)) {
        report_wrong(m, node, "bad-host", "write {address: ...}", "an address is not a host name");
    } else if (eg_cidr_parse(text, &addr, &bits)) {
        report_wrong(m, node, "bad-host", "write {cidr: ...}",
                     "a range of addresses is not a host name");
    } else if (text.n > 3 && strstr(text.p, "://")) {
        report_wrong(m, node, "bad-host", "write the host alone; scheme: and ports: say the rest",
                     "a host is not a URL");
    } else if (eg_slice_index(text, '/') >= 0) {
        report_wrong(m, node, "bad-host", "write the host alone", "a host has no path");
    } else if (eg_slice_index(text, ':') >= 0 && text.p[0] != '[') {
        report_wrong(m, node, "bad-host", "write {host: ..., ports: [...]}", "a host has no port");
    } else {
        return false;
    }
    return true;
}

static bool wildcard(struct eg_model *m, const struct eg_yaml *node, struct eg_slice *name)
{
    struct eg_slice text = node->text;
    if (eg_slice_eq(text, EG_SLICE("*")))
        return report_wrong(m, node, "wildcard-tld", "name the domains",
                            "* alone would allow every host");
    if (!eg_slice_starts(text, EG_SLICE("*.")))
        return report_wrong(m, node, "bad-host", "*.example.com is every name below example.com",
                            "a wildcard is the whole first label");
    *name = eg_slice_from(text, 2);
    if (eg_slice_index(*name, '*') >= 0)
        return report_wrong(m, node, "bad-host",
                            "*.example.com is every name below example.com, at any depth",
                            "there is one wildcard at most, as the first label");
    return true;
}

bool eg_model_pattern(struct eg_model *m, const struct eg_yaml *node, bool literals,
                      struct eg_pattern *ret)
{
    struct eg_authority a;
    struct eg_err err = { 0 };
    struct eg_slice name = node->text;
    struct eg_pattern p = { .kind = EG_PATTERN_EXACT };
    if (literals && eg_addr_parse(name, &p.addr)) {
        p.kind = EG_PATTERN_PREFIX;
        p.bits = p.addr.family == 4 ? 32 : 128;
        *ret = p;
        return true;
    }
    if (report_common(m, node))
        return false;
    if (eg_slice_index(name, '*') >= 0) {
        if (!wildcard(m, node, &name))
            return false;
        p.kind = EG_PATTERN_BELOW;
    }
    if (eg_host_parse(name, &a, &err) != EG_OK) {
        eg_diag_error(m->diags, "bad-host", node->at, NULL, "%s",
                      err.text[0] ? err.text : "this is not a host name");
        return false;
    }
    if (a.literal)
        return report_wrong(m, node, "bad-host", "write {address: ...}",
                            "an address is not a host name");
    if (p.kind == EG_PATTERN_BELOW && eg_slice_index(eg_authority_host(&a), '.') < 0)
        return report_wrong(m, node, "wildcard-tld", "name the domains below it",
                            "a wildcard needs a domain below a top-level domain");
    p.host = eg_model_copy(m, eg_authority_host(&a));
    *ret = p;
    return true;
}

bool eg_model_matches(const struct eg_pattern *pattern, struct eg_slice host)
{
    struct eg_addr addr;
    if (pattern->kind == EG_PATTERN_PREFIX)
        return eg_addr_parse(host, &addr) && eg_addr_in(&addr, &pattern->addr, pattern->bits);
    if (pattern->kind == EG_PATTERN_EXACT)
        return eg_slice_eq(host, pattern->host);
    size_t n = pattern->host.n;
    return host.n > n + 1 && host.p[host.n - n - 1] == '.' &&
           eg_slice_eq(eg_slice_from(host, host.n - n), pattern->host);
}

bool eg_addr_loopback(const struct eg_addr *a)
{
    static const struct eg_addr v6 = { 6, { [15] = 1 } };
    return (a->family == 4 && a->b[0] == 127) || eg_addr_eq(a, &v6);
}
