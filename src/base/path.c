/* path.c - the one canonical path (policy.md point 5, security.md T17).
 *
 * Escapes of unreserved characters are decoded, the digits of the others become upper case,
 * everything else stays: %2F is data inside a segment. Whether some origin could read another path
 * out of it is told by the flags, on the form that is reached when escapes are decoded until none
 * is left. Canonical text is its own canonical form. */
#include "base/uri.h"

#include <stdlib.h>

static const char layer[] = "path";

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = eg_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* pchar of RFC 3986 section 3.3 without escapes, and the '/' between segments. */
static bool is_path_byte(unsigned char c)
{
    return is_unreserved(c) || (c && strchr("!$&'()*+,;=:@/", c));
}

/* The octet that the escape at p (with n bytes left) stands for, or -1. */
static int escape_at(const char *p, size_t n)
{
    if (n < 3 || p[0] != '%' || hex_value(p[1]) < 0 || hex_value(p[2]) < 0)
        return -1;
    return hex_value(p[1]) << 4 | hex_value(p[2]);
}

/* Writes the canonical form to `to`, which has room for path.n bytes, and its length to *n. */
static const char *canonicalise(struct eg_slice path, char *to, size_t *n)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t out = 0;
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        int octet = escape_at(path.p + i, path.n - i);
        if (c == '%' && octet < 0)
            return "the path has an invalid percent escape";
        if (c != '%' && !is_path_byte(c))
            return "the path has a byte that must be percent-encoded";
        if (c != '%' || is_unreserved((unsigned char)octet)) {
            to[out++] = (char)(c == '%' ? octet : c);
        } else {
            to[out++] = '%';
            to[out++] = hex[octet >> 4];
            to[out++] = hex[octet & 15];
        }
        i += c == '%' ? 2 : 0;
    }
    *n = out;
    return NULL;
}

/* Decodes every escape until it is none: what it stands for may be the '%' of the next two digits. */
static size_t decode(struct eg_slice path, char *to)
{
    size_t n = 0;
    for (size_t i = 0; i < path.n;) {
        int octet = (unsigned char)path.p[i++], next;
        while (octet == '%' && i + 2 <= path.n && hex_value(path.p[i]) >= 0 &&
               (next = hex_value(path.p[i + 1])) >= 0) {
            octet = hex_value(path.p[i]) << 4 | next;
            i += 2;
        }
        to[n++] = (char)octet;
    }
    return n;
}

/* What is left of escapes then had a digit that was an escape itself. No encoder writes that; an origin that decodes the whole again and again would
 * see another path than the rules do, which read an escape where it begins. */
static bool has_escape(struct eg_slice path)
{
    for (size_t i = 0; i < path.n; i++)
        if (escape_at(path.p + i, path.n - i) >= 0)
            return true;
    return false;
}

/* "." or ".." once the parameters behind ';' are gone. */
static bool is_dot_segment(struct eg_slice segment)
{
    long semicolon = eg_slice_index(segment, ';');
    if (semicolon >= 0)
        segment.n = (size_t)semicolon;
    return eg_slice_eq(segment, EG_SLICE(".")) || eg_slice_eq(segment, EG_SLICE(".."));
}

/* What is wrong with a fully decoded path. A slash or backslash that was an escape ends a segment
 * here: an origin that decodes before it normalises would climb out of "a%2F..%2Fb" as well. */
static const char *decoded_fault(struct eg_slice path)
{
    size_t start = 0;
    for (size_t i = 0; i <= path.n; i++) {
        unsigned char c = i < path.n ? (unsigned char)path.p[i] : '/';
        if (c < 0x20 || c == 0x7f)
            return "the path has an encoded control byte";
        if (c != '/' && c != '\\')
            continue;
        if (is_dot_segment(eg_slice(path.p + start, i - start)))
            return "the path has a dot segment";
        if (c == '\\')
            return "the path has a backslash";
        start = i + 1;
    }
    return NULL;
}

static bool has_empty_segment(struct eg_slice path)
{
    for (size_t i = 1; i < path.n; i++)
        if (path.p[i] == '/' && path.p[i - 1] == '/')
            return true;
    return false;
}

/* scratch has room for canonical.n bytes. */
static const char *fault_of(struct eg_slice canonical, char *scratch)
{
    if (has_empty_segment(canonical))
        return "the path has an empty segment";
    if (eg_slice_index(canonical, '%') < 0)
        return decoded_fault(canonical);
    struct eg_slice decoded = eg_slice(scratch, decode(canonical, scratch));
    return has_escape(decoded) ? "the path has an escape within another one"
                               : decoded_fault(decoded);
}

enum eg_status eg_path_canon_at(struct eg_slice path, char *to, char *scratch, size_t *n,
                                struct eg_path_flags *flags, struct eg_err *err)
{
    if (path.n == 0 || path.p[0] != '/')
        return eg_err_set(err, EG_BAD_TARGET, layer, 0, "the path does not begin with a slash");
    const char *fault = canonicalise(path, to, n);
    if (fault)
        return eg_err_set(err, EG_BAD_TARGET, layer, 0, "%s", fault);
    flags->why = fault_of(eg_slice(to, *n), scratch);
    flags->unsafe = flags->why != NULL;
    return EG_OK;
}

enum eg_status eg_path_canon(struct eg_slice path, struct eg_buf *out, struct eg_path_flags *flags,
                             struct eg_err *err)
{
    char *to = NULL, *scratch = NULL;
    size_t n;
    enum eg_status st = path.n ? eg_buf_reserve(out, path.n, &to) : EG_OK;
    if (st != EG_OK)
        return eg_err_set(err, st, layer, 0, "the path does not fit");
    if (eg_slice_index(path, '%') >= 0 && !(scratch = malloc(path.n)))
        return eg_err_set(err, EG_NOMEM, layer, 0, "no memory to check the path");
    st = eg_path_canon_at(path, to, scratch, &n, flags, err);
    free(scratch);
    if (st == EG_OK)
        eg_buf_commit(out, n);
    return st;
}
