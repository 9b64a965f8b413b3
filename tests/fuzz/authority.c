/* authority.c - any bytes as host, authority, address, range, request-target and path.
 *
 * What is accepted is in the grammar and is its own canonical form; addresses agree with
 * the C library's strict parser; the canonical path is stable, and its verdict is that of a reader
 * who decodes again and again. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { PATH_MAX_BYTES = 8192 };

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static void check_addr(const struct eg_addr *a)
{
    char text[EG_ADDR_TEXT];
    char theirs[INET6_ADDRSTRLEN];
    struct eg_addr again;
    MUST(a->family == 4 || a->family == 6);
    eg_addr_format(a, text, sizeof text);
    MUST(eg_addr_parse(eg_slice_str(text), &again) && eg_addr_eq(a, &again));
    MUST(inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->b, theirs, sizeof theirs));
    /* The C library writes IPv4-compatible addresses in the mixed notation too. */
    static const uint8_t zero[12];
    if (a->family == 4 || memcmp(a->b, zero, sizeof zero) != 0)
        MUST(strcmp(text, theirs) == 0);
}

static void check_authority(const struct eg_authority *a)
{
    char text[EG_AUTHORITY_TEXT];
    struct eg_authority again;
    MUST(a->host_len > 0 && a->host_len <= EG_HOST_MAX && a->host[a->host_len] == '\0');
    MUST(strlen(a->host) == a->host_len && a->port > 0);
    bool v6 = a->literal && a->addr.family == 6;
    for (size_t i = 0; i < a->host_len; i++) {
        char c = a->host[i];
        MUST(is_alnum(c) || c == '.' || (v6 ? c == ':' : c == '-' || c == '_'));
        MUST(c == eg_lower(c));
    }
    MUST(v6 || a->host[a->host_len - 1] != '.');
    MUST(a->literal == (a->addr.family != 0));
    if (a->literal)
        check_addr(&a->addr);
    eg_authority_format(a, 0, text, sizeof text);
    MUST(eg_authority_parse(eg_slice_str(text), 0, &again, NULL) == EG_OK);
    MUST(eg_authority_eq(a, &again) && eg_addr_eq(&a->addr, &again.addr));
    eg_authority_format(a, a->port, text, sizeof text);
    MUST(eg_authority_parse(eg_slice_str(text), a->port, &again, NULL) == EG_OK);
    MUST(eg_authority_eq(a, &again) && !again.port_given);
    /* A name must not be an address to anybody. */
    uint8_t b[16];
    MUST(a->literal || inet_pton(AF_INET, a->host, b) != 1);
    MUST(a->literal || inet_pton(AF_INET6, a->host, b) != 1);
}

static void fuzz_host(struct eg_slice text)
{
    struct eg_authority a;
    struct eg_authority b;
    if (eg_host_parse(text, &a, NULL) == EG_OK) {
        MUST(a.port == 0 && !a.port_given);
        MUST(eg_authority_parse(text, 443, &b, NULL) == EG_OK);
        a.port = 443;
        MUST(eg_authority_eq(&a, &b));
        check_authority(&b);
    }
    if (eg_authority_parse(text, 0, &a, NULL) == EG_OK) {
        MUST(a.port_given);
        check_authority(&a);
    }
}

static void fuzz_addr(struct eg_slice text)
{
    struct eg_addr a;
    struct eg_addr base;
    uint8_t bits;
    uint8_t theirs[16];
    char copy[EG_ADDR_TEXT];
    bool ours = eg_addr_parse(text, &a);
    if (ours)
        check_addr(&a);
    if (text.n < sizeof copy && eg_slice_index(text, '\0') < 0) {
        snprintf(copy, sizeof copy, "%.*s", (int)text.n, text.n ? text.p : "");
        int family = eg_slice_index(text, ':') >= 0 ? AF_INET6 : AF_INET;
        bool accepted = inet_pton(family, copy, theirs) == 1;
        MUST(accepted == ours);
        MUST(!ours || memcmp(theirs, a.b, family == AF_INET ? 4 : 16) == 0);
    }
    if (eg_cidr_parse(text, &base, &bits)) {
        MUST(bits <= (base.family == 4 ? 32 : 128));
        MUST(eg_addr_in(&base, &base, bits));
        check_addr(&base);
    }
}

static int escape(const char *p, size_t n)
{
    unsigned octet;
    char digits[3] = { 0 };
    if (n < 3 || p[0] != '%' || !strchr("0123456789abcdefABCDEF", p[1]) || p[1] == '\0' ||
        !strchr("0123456789abcdefABCDEF", p[2]) || p[2] == '\0')
        return -1;
    memcpy(digits, p + 1, 2);
    return sscanf(digits, "%x", &octet) == 1 ? (int)octet : -1;
}

/* One pass of decoding, in place; made[i]: text[i] came of an escape. *nested: a digit of an escape did. */
static size_t decode_once(char *p, bool *made, size_t n, bool *nested)
{
    size_t out = 0;
    for (size_t i = 0; i < n;) {
        int octet = escape(p + i, n - i);
        bool was = octet >= 0 || made[i];
        *nested = *nested || (octet >= 0 && (made[i + 1] || made[i + 2]));
        p[out] = octet < 0 ? p[i] : (char)octet;
        made[out++] = was;
        i += octet < 0 ? 1 : 3;
    }
    return out;
}

static bool naive_unsafe(struct eg_slice path)
{
    static char text[PATH_MAX_BYTES + 1];
    static bool made[PATH_MAX_BYTES];
    bool nested = false;
    size_t n = path.n;
    memcpy(text, path.p, n);
    memset(made, 0, sizeof made);
    for (size_t before = n + 1; before != n;) {
        before = n;
        n = decode_once(text, made, n, &nested);
    }
    if (nested)
        return true;
    text[n] = '/';
    for (size_t i = 0, start = 0; i <= n; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f || text[i] == '\\')
            return true;
        if (text[i] != '/')
            continue;
        size_t end = start;
        while (end < i && text[end] != ';')
            end++;
        if ((end - start == 1 || end - start == 2) && text[start] == '.' && text[end - 1] == '.')
            return true;
        start = i + 1;
    }
    return memmem(path.p, path.n, "//", 2) != NULL;
}

static void fuzz_path(struct eg_slice text)
{
    struct eg_buf first;
    struct eg_buf second;
    struct eg_path_flags flags;
    struct eg_path_flags again;
    eg_buf_init(&first, PATH_MAX_BYTES);
    eg_buf_init(&second, PATH_MAX_BYTES);
    enum eg_status st = eg_path_canon(text, &first, &flags, NULL);
    if (st == EG_OK) {
        struct eg_slice canonical = eg_buf_slice(&first);
        MUST(canonical.n > 0 && canonical.n <= text.n && canonical.p[0] == '/');
        for (size_t i = 0; i < canonical.n; i++)
            MUST(canonical.p[i] > 0x20 && canonical.p[i] < 0x7f && !strchr("?#\\", canonical.p[i]));
        MUST(eg_path_canon(canonical, &second, &again, NULL) == EG_OK);
        MUST(eg_slice_eq(canonical, eg_buf_slice(&second)) && flags.why == again.why);
        MUST(flags.unsafe == (flags.why != NULL) && flags.unsafe == naive_unsafe(canonical));
    } else {
        MUST(first.len == 0 && (st == EG_BAD_TARGET || text.n > PATH_MAX_BYTES));
    }
    eg_buf_done(&first);
    eg_buf_done(&second);
}

static void fuzz_target(struct eg_slice text, bool connect)
{
    struct eg_target t;
    struct eg_err err = { 0 };
    enum eg_status st = eg_target_parse(text, connect, &t, &err);
    if (st != EG_OK) {
        MUST((st == EG_BAD_TARGET || st == EG_BAD_HOST) && err.status == st && err.text[0]);
        return;
    }
    MUST(connect == (t.form == EG_TARGET_AUTHORITY));
    for (size_t i = 0; i < text.n; i++)
        MUST(text.p[i] > 0x20 && text.p[i] < 0x7f && text.p[i] != '#');
    if (t.form == EG_TARGET_ABSOLUTE || t.form == EG_TARGET_AUTHORITY)
        check_authority(&t.authority);
    if (t.form == EG_TARGET_ORIGIN || t.form == EG_TARGET_ABSOLUTE) {
        MUST(t.path.n > 0 && t.path.p[0] == '/' && eg_slice_index(t.path, '?') < 0);
        MUST(t.has_query || t.query.n == 0);
        MUST(!t.has_query || t.query.p + t.query.n == text.p + text.n);
        fuzz_path(t.path);
    }
    MUST(t.form != EG_TARGET_ORIGIN || t.path.n + t.query.n + t.has_query == text.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (n > PATH_MAX_BYTES)
        return 0;
    /* A block of its own size: reading one byte too many is found. */
    char *copy = malloc(n ? n : 1);
    MUST(copy != NULL);
    memcpy(copy, bytes, n);
    struct eg_slice text = eg_slice(copy, n);
    fuzz_host(text);
    fuzz_addr(text);
    fuzz_path(text);
    fuzz_target(text, false);
    fuzz_target(text, true);
    free(copy);
    return 0;
}
