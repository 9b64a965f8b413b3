/* vectors.c - a reader of Markdown tables, line by line. It knows nothing of Criterion, so that
 * fuzzers' and helpers' programs can use it as well. A fault of the file ends the reading: half a
 * table must not pass for a whole one. */
#include "support/vectors.h"

#include <stdio.h>
#include <stdlib.h>

enum { SHOWN = 400, SHOWN_RING = 8 };

struct reader {
    const char *file;
    int line;
    size_t columns;       /* wanted */
    size_t table_columns; /* of the table that is being read, 0 outside of one */
    bool heading_seen;    /* the line of dashes is behind us */
    long rows;
};

static long fault(const struct reader *r, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", r->file, r->line, what);
    return -1;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = eg_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes the escapes of one cell in place and ends it with a NUL; false where one is unknown. The
 * byte behind the cell is the '|' that ended it, so there is room. */
static bool decode(char *p, size_t n, struct eg_slice *ret)
{
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] != '\\') {
            p[out++] = p[i];
            continue;
        }
        char c = ++i < n ? p[i] : '\0';
        if (c == 'x' && n - i > 2 && hex_value(p[i + 1]) >= 0 && hex_value(p[i + 2]) >= 0) {
            p[out++] = (char)(hex_value(p[i + 1]) << 4 | hex_value(p[i + 2]));
            i += 2;
        } else if (c == 'r' || c == 'n' || c == 't') {
            p[out++] = c == 'r' ? '\r' : c == 'n' ? '\n' : '\t';
        } else if (c == '\\' || c == '|') {
            p[out++] = c;
        } else {
            return false;
        }
    }
    p[out] = '\0';
    *ret = eg_slice(p, out);
    return true;
}

static bool decode_cell(char *p, size_t n, struct eg_slice *ret)
{
    struct eg_slice s = eg_slice_trim(eg_slice(p, n));
    size_t skip = s.n ? (size_t)(s.p - p) : 0;
    n = s.n;
    if (n >= 2 && p[skip] == '`' && p[skip + n - 1] == '`') {
        skip++;
        n -= 2;
    }
    return decode(p + skip, n, ret);
}

/* The length of the cell at p: up to the '|' that no backslash precedes. -1 when there is none. */
static long cell_span(const char *p)
{
    for (long n = 0; p[n]; n++) {
        if (p[n] == '|')
            return n;
        if (p[n] == '\\' && p[n + 1])
            n++;
    }
    return -1;
}

static bool is_dashes(const char *line)
{
    return strspn(line, "|-: ") == strlen(line) && strchr(line, '-');
}

/* Splits one line and hands it on where it is a row of a table that is wanted. */
static long read_row(struct reader *r, char *line,
                     void (*each)(const struct eg_vector_row *row, void *ctx), void *ctx)
{
    struct eg_slice cells[EG_VECTOR_COLUMNS_MAX];
    char *at[EG_VECTOR_COLUMNS_MAX];
    size_t span[EG_VECTOR_COLUMNS_MAX];
    size_t n = 0;
    bool dashes = is_dashes(line) && r->table_columns && !r->heading_seen;
    for (char *p = line + 1; *p;) {
        long length = cell_span(p);
        if (length < 0)
            return fault(r, "a row must end with '|'");
        if (n == EG_VECTOR_COLUMNS_MAX)
            return fault(r, "too many columns");
        at[n] = p;
        span[n++] = (size_t)length;
        p += length + 1;
    }
    if (r->table_columns == 0) {
        r->table_columns = n;
        return 0;
    }
    if (n != r->table_columns)
        return fault(r, "the number of columns differs from the table's heading");
    if (dashes) {
        r->heading_seen = true;
        return 0;
    }
    if (!r->heading_seen)
        return fault(r, "a line of dashes must follow the heading");
    if (n != r->columns)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (!decode_cell(at[i], span[i], &cells[i]))
            return fault(r, "unknown escape");
    r->rows++;
    each(&(struct eg_vector_row){ r->file, r->line, n, cells }, ctx);
    return 0;
}

static FILE *open_table(const char *path)
{
    FILE *f = fopen(path, "re");
#ifdef EG_SOURCE_DIR
    char below[4096];
    if (!f && path[0] != '/') {
        snprintf(below, sizeof below, "%s/%s", EG_SOURCE_DIR, path);
        f = fopen(below, "re");
    }
#endif
    return f;
}

long eg_vectors_each(const char *path, size_t columns,
                     void (*each)(const struct eg_vector_row *row, void *ctx), void *ctx)
{
    struct reader r = { .file = path, .columns = columns };
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    long st = 0;
    FILE *f = open_table(path);
    if (!f)
        return fault(&r, "can't be opened");
    while (st == 0 && (n = getline(&line, &cap, f)) >= 0) {
        r.line++;
        while (n > 0 && strchr("\r\n \t", line[n - 1]))
            line[--n] = '\0';
        if (memchr(line, '\0', (size_t)n)) {
            st = fault(&r, "a raw NUL byte");
        } else if (line[0] != '|') {
            r.table_columns = 0;
            r.heading_seen = false;
        } else {
            st = read_row(&r, line, each, ctx);
        }
    }
    if (st == 0 && ferror(f))
        st = fault(&r, "can't be read");
    free(line);
    fclose(f);
    return st == 0 ? r.rows : st;
}

bool eg_vector_is(struct eg_slice cell, const char *text)
{
    return eg_slice_eq(cell, eg_slice_str(text));
}

const char *eg_vector_show(struct eg_slice bytes)
{
    static char ring[SHOWN_RING][SHOWN];
    static unsigned turn;
    char *out = ring[turn++ % SHOWN_RING];
    size_t n = 0;
    for (size_t i = 0; i < bytes.n && n + 8 < SHOWN; i++) {
        unsigned char c = (unsigned char)bytes.p[i];
        if (c >= 0x20 && c < 0x7f && c != '\\')
            out[n++] = (char)c;
        else
            n += (size_t)snprintf(out + n, SHOWN - n, "\\x%02x", c);
    }
    out[n] = '\0';
    return out;
}
