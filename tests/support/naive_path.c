/* naive_path.c - canonical paths and patterns (policy.md point 5; man/egress.yaml.5, Requests): every alternative written out, every text taken apart, tried one after the other. */
#include "support/naive_parts.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

enum { TEXT = 256, SEGMENTS = 32, STAR = -1, DATA_SLASH = 0x100 | '/' };

/* ---- canonical paths ---- */

static int hex(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

static bool unreserved(int c)
{
    return (c < 0x80 && isalnum(c)) || (c && strchr("-._~", c));
}

static bool canonical(const char *path, char *out)
{
    size_t n = 0;
    for (const char *c = path; *c; c++) {
        if (*c != '%') {
            if (!unreserved((unsigned char)*c) && !strchr("!$&'()*+,;=:@/", *c))
                return false;
            out[n++] = *c;
            continue;
        }
        if (hex(c[1]) < 0 || hex(c[2]) < 0)
            return false;
        int value = hex(c[1]) * 16 + hex(c[2]);
        if (unreserved(value)) {
            out[n++] = (char)value;
        } else {
            out[n++] = '%';
            out[n++] = (char)toupper(c[1]);
            out[n++] = (char)toupper(c[2]);
        }
        c += 2;
    }
    out[n] = '\0';
    return path[0] == '/';
}

struct text {
    int c[TEXT];
    bool made[TEXT]; /* by decoding */
    unsigned n;
};

/* Escapes decoded until none is left. An encoded slash is data, or one like any other. True: a digit of one was an escape itself. */
static bool decode(struct text *t, int slash)
{
    bool nested = false;
    for (bool again = true; again;) {
        struct text next = { .n = 0 };
        again = false;
        for (unsigned i = 0; i < t->n; i++) {
            bool escape =
                t->c[i] == '%' && i + 2 < t->n && hex(t->c[i + 1]) >= 0 && hex(t->c[i + 2]) >= 0;
            int value = escape ? hex(t->c[i + 1]) * 16 + hex(t->c[i + 2]) : t->c[i];
            nested |= escape && (t->made[i + 1] || t->made[i + 2]);
            next.made[next.n] = escape || t->made[i];
            next.c[next.n++] = escape && value == '/' ? slash : value;
            again |= escape;
            i += escape ? 2 : 0;
        }
        *t = next;
    }
    return nested;
}

static struct text text_of(const char *s, size_t n)
{
    struct text t = { .n = 0 };
    for (size_t i = 0; i < n && t.n < TEXT; i++)
        t.c[t.n++] = (unsigned char)s[i];
    return t;
}

static bool is_dots(const int *c, unsigned n)
{
    unsigned name = 0;
    while (name < n && c[name] != ';')
        name++;
    return (name == 1 && c[0] == '.') || (name == 2 && c[0] == '.' && c[1] == '.');
}

static bool is_unsafe(const char *canon)
{
    struct text t = text_of(canon, strlen(canon));
    unsigned start = 0;
    if (strstr(canon, "//"))
        return true;
    if (decode(&t, '/'))
        return true;
    for (unsigned i = 0; i <= t.n; i++) {
        int c = i < t.n ? t.c[i] : '/';
        if (c < 0x20 || c == 0x7f || c == '\\')
            return true;
        if (c == '/') {
            if (is_dots(t.c + start, i - start))
                return true;
            start = i + 1;
        }
    }
    return false;
}

bool eg_naive_path(const char *path, char *out, size_t cap, bool *unsafe)
{
    if (strlen(path) >= cap || strlen(path) >= TEXT || !canonical(path, out))
        return false;
    *unsafe = is_unsafe(out);
    return true;
}

/* ---- patterns ---- */

struct segments {
    struct text list[SEGMENTS];
    unsigned count;
};

/* What stands between slashes, but for the one at the beginning. */
static void split(const struct text *t, struct segments *ret)
{
    ret->count = 1;
    ret->list[0].n = 0;
    for (unsigned i = 1; i < t->n; i++) {
        struct text *last = &ret->list[ret->count - 1];
        if (t->c[i] == '/' && ret->count < SEGMENTS) {
            ret->list[ret->count++].n = 0;
        } else {
            last->made[last->n] = t->made[i];
            last->c[last->n++] = t->c[i];
        }
    }
}

static bool match_glob(const int *glob, unsigned g, const int *c, unsigned n)
{
    if (g == 0)
        return n == 0;
    if (*glob != STAR)
        return n > 0 && *glob == *c && match_glob(glob + 1, g - 1, c + 1, n - 1);
    return match_glob(glob + 1, g - 1, c, n) || (n > 0 && match_glob(glob, g, c + 1, n - 1));
}

static unsigned name_of(const struct text *segment)
{
    unsigned n = 0;
    while (n < segment->n && segment->c[n] != ';')
        n++;
    return n;
}

static bool is_any(const struct text *glob)
{
    return glob->n == 2 && glob->c[0] == STAR && glob->c[1] == STAR;
}

/* origin: parameters may be left out, and so may an empty segment at the end. */
static bool match_segments(const struct text *globs, unsigned g, const struct text *list,
                           unsigned n, bool origin)
{
    if (g == 0)
        return n == 0;
    if (is_any(globs))
        return match_segments(globs + 1, g - 1, list, n, origin) ||
               (n > 0 && match_segments(globs, g, list + 1, n - 1, origin));
    if (n == 0)
        return origin && match_glob(globs->c, globs->n, NULL, 0) &&
               match_segments(globs + 1, g - 1, list, 0, origin);
    bool fits = match_glob(globs->c, globs->n, list->c, list->n) ||
                (origin && match_glob(globs->c, globs->n, list->c, name_of(list)));
    return fits && match_segments(globs + 1, g - 1, list + 1, n - 1, origin);
}

/* The pattern's segments: split as it is written, then read as the path is. */
static void read_pattern(const char *pattern, bool decoded, int slash, struct segments *ret)
{
    struct text t = text_of(pattern, strlen(pattern));
    split(&t, ret);
    for (unsigned i = 0; i < ret->count; i++) {
        for (unsigned k = 0; k < ret->list[i].n; k++)
            if (ret->list[i].c[k] == '*')
                ret->list[i].c[k] = STAR;
        if (decoded)
            (void)decode(&ret->list[i], slash);
    }
}

/* One of the readings that an origin may have. whole: a segment of parameters alone counts. */
static bool match_reading(const char *pattern, const char *path, bool decoded, int slash,
                          bool whole)
{
    struct text t = text_of(path, strlen(path));
    struct segments globs, all, list = { .count = 0 };
    read_pattern(pattern, decoded, slash, &globs);
    if (decoded)
        (void)decode(&t, slash);
    split(&t, &all);
    for (unsigned i = 0; i < all.count; i++)
        if ((whole ? all.list[i].n : name_of(&all.list[i])) > 0)
            list.list[list.count++] = all.list[i];
    return match_segments(globs.list, globs.count, list.list, list.count, true);
}

/* No braces any more. */
static bool match_plain(const char *pattern, const char *path, bool deny)
{
    struct text t = text_of(path, strlen(path));
    struct segments globs, list;
    read_pattern(pattern, false, '/', &globs);
    split(&t, &list);
    if (match_segments(globs.list, globs.count, list.list, list.count, false))
        return true;
    for (unsigned whole = 0; deny && whole < 2; whole++)
        if (match_reading(pattern, path, false, '/', whole) ||
            match_reading(pattern, path, true, DATA_SLASH, whole) ||
            match_reading(pattern, path, true, '/', whole))
            return true;
    return false;
}

/* Writes the first braces out, each alternative in turn. */
static bool match_any(const char *pattern, const char *path, bool deny)
{
    char plain[TEXT];
    const char *open = strchr(pattern, '{');
    const char *close = open ? strchr(open, '}') : NULL;
    if (!open)
        return match_plain(pattern, path, deny);
    for (const char *from = open + 1; from <= close;) {
        const char *to = from;
        while (*to != ',' && *to != '}')
            to++;
        size_t n = 0;
        for (const char *c = pattern; c < open; c++)
            plain[n++] = *c;
        for (const char *c = from; c < to; c++)
            plain[n++] = *c;
        for (const char *c = close + 1; *c; c++)
            plain[n++] = *c;
        plain[n] = '\0';
        if (match_any(plain, path, deny))
            return true;
        from = to + 1;
    }
    return false;
}

bool eg_naive_match(const struct eg_random_pattern *pattern, const char *method, const char *path,
                    bool deny)
{
    bool same = strcmp(pattern->method, "*") == 0 ||
                (deny ? strcasecmp(pattern->method, method) : strcmp(pattern->method, method)) == 0;
    return same && match_any(pattern->path, path, deny);
}
