/* sigv4_canonical.c - the canonical request of AWS Signature Version 4: method, path, query and
 * fields in the one spelling that signer and verifier agree on.
 *
 * It is made of what is on the wire, never of a decoded form of it: an escaped slash stays one. */
#include <stdlib.h>

#include "cred/sigv4.h"

static bool unreserved(char c) /* RFC 3986 section 2.3 */
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static int hex_digit(char c)
{
    c = eg_lower(c);
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Writes one byte, escaped unless unreserved; returns how many were written. */
static size_t put_byte(char *to, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";
    if (unreserved((char)c)) {
        to[0] = (char)c;
        return 1;
    }
    to[0] = '%';
    to[1] = digits[c >> 4];
    to[2] = digits[c & 15];
    return 3;
}

/* Everything but unreserved characters (and slashes, where they are kept) escaped; with `decode`,
 * what is escaped already is one byte. to: 3 * s.n bytes. */
static size_t encode(char *to, struct eg_slice s, bool decode, bool slashes)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (slashes && c == '/') {
            to[n++] = '/';
            continue;
        }
        if (decode && c == '%' && s.n - i > 2 && hex_digit(s.p[i + 1]) >= 0 &&
            hex_digit(s.p[i + 2]) >= 0) {
            c = (unsigned char)(hex_digit(s.p[i + 1]) * 16 + hex_digit(s.p[i + 2]));
            i += 2;
        }
        n += put_byte(to + n, c);
    }
    return n;
}

/* ---- path ---- */

/* S3 takes a path as it is: keys may hold "//" and "..". */
static bool is_s3(struct eg_slice service)
{
    static const char *const names[] = { "s3", "s3-outposts", "s3-object-lambda", "s3express" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (eg_slice_eq(service, eg_slice_str(names[i])))
            return true;
    return false;
}

/* Dot segments and empty ones taken out (RFC 3986 section 5.2.4, as AWS's own clients do it), in
 * place; returns the length. path begins with a slash. */
static size_t normalise(char *path, size_t n)
{
    size_t used = 0;
    bool slash = n > 0 && path[n - 1] == '/';
    for (size_t at = 0; at < n;) {
        size_t from = at + 1, end = from;
        while (end < n && path[end] != '/')
            end++;
        size_t len = end - from;
        at = end;
        if (len == 0 || (len == 1 && path[from] == '.'))
            continue;
        if (len == 2 && path[from] == '.' && path[from + 1] == '.') {
            while (used > 0 && path[--used] != '/')
                continue;
            continue;
        }
        path[used++] = '/';
        memmove(path + used, path + from, len);
        used += len;
    }
    if (slash || used == 0)
        path[used++] = '/';
    return used;
}

static enum eg_status put_path(struct eg_slice path, bool s3, struct eg_buf *out)
{
    char *to = NULL;
    if (path.n == 0 || path.p[0] != '/')
        return EG_INVALID;
    if (s3) {
        enum eg_status status = eg_buf_reserve(out, path.n * 3, &to);
        if (status == EG_OK)
            eg_buf_commit(out, encode(to, path, true, true));
        return status;
    }
    char *copy = malloc(path.n);
    if (!copy)
        return EG_NOMEM;
    memcpy(copy, path.p, path.n);
    struct eg_slice normal = eg_slice(copy, normalise(copy, path.n));
    enum eg_status status = eg_buf_reserve(out, normal.n * 3, &to);
    if (status == EG_OK)
        eg_buf_commit(out, encode(to, normal, false, true));
    free(copy);
    return status;
}

/* ---- query ---- */

struct pair {
    struct eg_slice name, value;
};

static int compare(struct eg_slice a, struct eg_slice b)
{
    size_t both = a.n < b.n ? a.n : b.n;
    int order = both ? memcmp(a.p, b.p, both) : 0;
    return order ? order : a.n < b.n ? -1 : a.n > b.n;
}

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    int order = compare(x->name, y->name);
    return order ? order : compare(x->value, y->value);
}

/* Encodes each pair into room, and lists them. */
static size_t list_pairs(struct eg_slice query, char *room, struct pair *pairs)
{
    size_t count = 0;
    while (query.n > 0) {
        long end = eg_slice_index(query, '&');
        struct eg_slice one = end < 0 ? query : eg_slice(query.p, (size_t)end);
        query = end < 0 ? EG_SLICE_NONE : eg_slice_from(query, (size_t)end + 1);
        long equals = eg_slice_index(one, '=');
        struct eg_slice name = equals < 0 ? one : eg_slice(one.p, (size_t)equals);
        struct eg_slice value = equals < 0 ? EG_SLICE_NONE : eg_slice_from(one, name.n + 1);
        if (one.n == 0)
            continue;
        struct pair *p = &pairs[count++];
        p->name = eg_slice(room, encode(room, name, true, false));
        room += p->name.n;
        p->value = eg_slice(room, encode(room, value, true, false));
        room += p->value.n;
    }
    return count;
}

static enum eg_status put_pairs(const struct pair *pairs, size_t count, struct eg_buf *out)
{
    enum eg_status status = EG_OK;
    for (size_t i = 0; i < count && status == EG_OK; i++) {
        if (i > 0)
            status = eg_buf_put(out, EG_SLICE("&"));
        if (status == EG_OK)
            status = eg_buf_put(out, pairs[i].name);
        if (status == EG_OK)
            status = eg_buf_put(out, EG_SLICE("="));
        if (status == EG_OK)
            status = eg_buf_put(out, pairs[i].value);
    }
    return status;
}

static enum eg_status put_query(struct eg_slice query, struct eg_buf *out)
{
    size_t most = 1;
    if (query.n == 0)
        return EG_OK;
    for (size_t i = 0; i < query.n; i++)
        most += query.p[i] == '&';
    char *room = malloc(query.n * 3);
    struct pair *pairs = calloc(most, sizeof *pairs);
    enum eg_status status = room && pairs ? EG_OK : EG_NOMEM;
    if (status == EG_OK) {
        size_t count = list_pairs(query, room, pairs);
        qsort(pairs, count, sizeof *pairs, compare_pairs);
        status = put_pairs(pairs, count, out);
    }
    free(room);
    free(pairs);
    return status;
}

/* ---- fields ---- */

/* The value with each run of blanks as one space. */
static enum eg_status put_value(struct eg_slice value, struct eg_buf *out)
{
    char *to = NULL;
    size_t n = 0;
    value = eg_slice_trim(value);
    enum eg_status status = eg_buf_reserve(out, value.n, &to);
    for (size_t i = 0; i < value.n && status == EG_OK; i++) {
        char c = value.p[i] == '\t' ? ' ' : value.p[i];
        if (c != ' ' || n == 0 || to[n - 1] != ' ')
            to[n++] = c;
    }
    if (status == EG_OK)
        eg_buf_commit(out, n);
    return status;
}

/* "name:value,value\n" of all the fields with that name; EG_INVALID: there is none. */
static enum eg_status put_field(const struct eg_sigv4_request *r, struct eg_slice name,
                                struct eg_buf *out)
{
    unsigned found = 0;
    enum eg_status status = eg_buf_put(out, name);
    for (size_t i = 0; i < r->field_count && status == EG_OK; i++) {
        if (!eg_slice_caseeq(r->fields[i].name, name))
            continue;
        status = eg_buf_put(out, found++ ? EG_SLICE(",") : EG_SLICE(":"));
        if (status == EG_OK)
            status = put_value(r->fields[i].value, out);
    }
    if (status == EG_OK)
        status = found ? eg_buf_put(out, EG_SLICE("\n")) : EG_INVALID;
    return status;
}

static enum eg_status put_fields(const struct eg_sigv4_request *r, struct eg_slice list,
                                 struct eg_buf *out)
{
    enum eg_status status = EG_OK;
    while (list.n > 0 && status == EG_OK) {
        long end = eg_slice_index(list, ';');
        status = put_field(r, end < 0 ? list : eg_slice(list.p, (size_t)end), out);
        list = end < 0 ? EG_SLICE_NONE : eg_slice_from(list, (size_t)end + 1);
    }
    return status;
}

enum eg_status eg_sigv4_canonical(const struct eg_sigv4_request *r,
                                  const struct eg_sigv4_auth *auth, struct eg_buf *out)
{
    struct eg_slice line = EG_SLICE("\n");
    enum eg_status status = eg_buf_put(out, r->method);
    if (status == EG_OK)
        status = eg_buf_put(out, line);
    if (status == EG_OK)
        status = put_path(r->path, is_s3(auth->service), out);
    if (status == EG_OK)
        status = eg_buf_put(out, line);
    if (status == EG_OK)
        status = put_query(r->query, out);
    if (status == EG_OK)
        status = eg_buf_put(out, line);
    if (status == EG_OK)
        status = put_fields(r, auth->fields, out);
    const struct eg_slice rest[] = { line, auth->fields, line, r->payload };
    for (size_t i = 0; i < sizeof rest / sizeof *rest && status == EG_OK; i++)
        status = eg_buf_put(out, rest[i]);
    return status;
}

/* ---- what is to be covered ---- */

bool eg_sigv4_covers(struct eg_slice name)
{
    static const char *const names[] = { "host", "content-type", "content-md5" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (eg_slice_caseeq(name, eg_slice_str(names[i])))
            return true;
    return eg_slice_casestarts(name, EG_SLICE("x-amz-"));
}

static int compare_names(const void *a, const void *b)
{
    const struct eg_slice *x = a, *y = b;
    for (size_t i = 0; i < x->n && i < y->n; i++)
        if (eg_lower(x->p[i]) != eg_lower(y->p[i]))
            return (unsigned char)eg_lower(x->p[i]) - (unsigned char)eg_lower(y->p[i]);
    return x->n < y->n ? -1 : x->n > y->n;
}

static enum eg_status put_name(struct eg_slice name, struct eg_buf *out)
{
    char *to = NULL;
    enum eg_status status = eg_buf_reserve(out, name.n, &to);
    for (size_t i = 0; i < name.n && status == EG_OK; i++)
        to[i] = eg_lower(name.p[i]);
    if (status == EG_OK)
        eg_buf_commit(out, name.n);
    return status;
}

enum eg_status eg_sigv4_select(const struct eg_sigv4_request *r, struct eg_buf *out)
{
    size_t count = 0;
    enum eg_status status = EG_OK;
    struct eg_slice *names = calloc(r->field_count + 1, sizeof *names);
    if (!names)
        return EG_NOMEM;
    for (size_t i = 0; i < r->field_count; i++)
        if (eg_sigv4_covers(r->fields[i].name))
            names[count++] = r->fields[i].name;
    qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; i < count && status == EG_OK; i++) {
        if (i > 0 && eg_slice_caseeq(names[i], names[i - 1]))
            continue;
        if (i > 0)
            status = eg_buf_put(out, EG_SLICE(";"));
        if (status == EG_OK)
            status = put_name(names[i], out);
    }
    free(names);
    return status;
}
