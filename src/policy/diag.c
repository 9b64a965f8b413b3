/* diag.c - the list of problems: places, order and rendering.
 *
 * The list owns all its texts, so it outlives the files. It stores at most MAX_DIAGS, MAX_WARNINGS of them warnings, counts the rest, and keeps
 * them sorted by file, line and column. A source line is stored as a window around the column, with
 * everything that looks like a secret masked. */
#include "policy/diag.h"

#include "policy/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MAX_DIAGS = 1000,
    MAX_WARNINGS = 900, /* the rest is for errors: a full list ends the work, so errors must be in it */
    FIRST_DIAGS = 16,
    MAX_TEXT = 8 << 20,
    WINDOW = 120,
    LEAD = 60,
    NEAR = 1 << 16
};

struct eg_diags {
    struct eg_arena arena;
    struct eg_diag *list;
    unsigned stored, room; /* of list: none is needed for a policy without faults */
    unsigned count[2];
    bool broken;
};

enum eg_status eg_diags_new(struct eg_diags **ret)
{
    struct eg_diags *d = calloc(1, sizeof *d);
    if (!d)
        return EG_NOMEM;
    eg_arena_init(&d->arena, MAX_TEXT);
    *ret = d;
    return EG_OK;
}

void eg_diags_free(struct eg_diags *d)
{
    if (!d)
        return;
    eg_arena_done(&d->arena);
    free(d->list);
    free(d);
}

unsigned eg_diags_count(const struct eg_diags *d, enum eg_severity severity)
{
    return d->count[severity == EG_DIAG_WARNING];
}

unsigned eg_diags_total(const struct eg_diags *d)
{
    return d->stored;
}

const struct eg_diag *eg_diags_at(const struct eg_diags *d, unsigned i)
{
    return i < d->stored ? &d->list[i] : NULL;
}

bool eg_diags_broken(const struct eg_diags *d)
{
    return d->broken;
}

bool eg_diags_full(const struct eg_diags *d)
{
    return d->stored == MAX_DIAGS || d->broken;
}

/* ---- places ---- */

enum eg_status eg_source_index(struct eg_source *s, struct eg_arena *arena)
{
    uint32_t count = 1;
    for (size_t i = 0; i < s->text.n; i++)
        count += s->text.p[i] == '\n';
    uint32_t *lines = eg_arena_alloc(arena, count * sizeof *lines);
    if (!lines)
        return EG_NOMEM;
    uint32_t at = 1;
    for (size_t i = 0; i < s->text.n; i++)
        if (s->text.p[i] == '\n')
            lines[at++] = (uint32_t)i + 1;
    s->lines = lines;
    s->line_count = count;
    return EG_OK;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Code points in n bytes; a byte order mark takes no column. */
static uint32_t columns_in(const char *p, size_t n)
{
    uint32_t columns = 0;
    if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        p += 3;
        n -= 3;
    }
    for (size_t i = 0; i < n; i++)
        columns += !is_continuation(p[i]);
    return columns;
}

/* Index of the line that holds the offset. */
static uint32_t line_of(const struct eg_source *s, uint32_t offset)
{
    uint32_t low = 0;
    uint32_t high = s->line_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (s->lines[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The line's bytes without its end. */
static struct eg_slice line_text(const struct eg_source *s, uint32_t line)
{
    size_t start = s->lines[line];
    size_t end = line + 1 < s->line_count ? s->lines[line + 1] : s->text.n;
    while (end > start && (s->text.p[end - 1] == '\n' || s->text.p[end - 1] == '\r'))
        end--;
    return eg_slice(s->text.p + start, end - start);
}

void eg_source_position(const struct eg_source *s, uint32_t offset, uint32_t *line,
                        uint32_t *column)
{
    *line = 0;
    *column = 0;
    if (!s->lines)
        return;
    uint32_t at = line_of(s, offset);
    uint32_t start = s->lines[at];
    uint32_t far = offset > start + NEAR ? offset - start - NEAR : 0;
    *line = at + 1;
    *column =
        1 + far + (offset > start ? columns_in(s->text.p + start + far, offset - start - far) : 0);
}

uint32_t eg_source_line(const struct eg_source *s, uint32_t offset)
{
    return s->lines ? line_of(s, offset) + 1 : 0;
}

uint32_t eg_source_offset(const struct eg_source *s, uint32_t line, uint32_t column)
{
    if (!s->lines || line == 0)
        return 0;
    if (line > s->line_count)
        return (uint32_t)s->text.n;
    struct eg_slice text = line_text(s, line - 1);
    size_t at = 0;
    for (uint32_t c = 1; c < column && at < text.n; c++)
        for (at++; at < text.n && is_continuation(text.p[at]); at++)
            ;
    return s->lines[line - 1] + (uint32_t)at;
}

/* ---- adding ---- */

static int compare(const struct eg_diag *a, const struct eg_diag *b)
{
    int order = strcmp(a->file, b->file);
    if (order)
        return order;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    return 0;
}

static bool make_room(struct eg_diags *d)
{
    if (d->stored < d->room)
        return true;
    unsigned room = d->room ? d->room * 2 : FIRST_DIAGS;
    struct eg_diag *list = realloc(d->list, room * sizeof *list);
    if (list) {
        d->list = list;
        d->room = room;
    }
    return list;
}

static bool insert(struct eg_diags *d, const struct eg_diag *new)
{
    unsigned at = d->stored;
    if (!make_room(d))
        return false;
    while (at > 0 && compare(&d->list[at - 1], new) > 0)
        at--;
    memmove(&d->list[at + 1], &d->list[at], (d->stored - at) * sizeof *d->list);
    d->list[at] = *new;
    d->stored++;
    return true;
}

/* A copy of the line around the place, masked; at most WINDOW bytes of a long line. */
static bool set_source(struct eg_diags *d, struct eg_diag *diag, struct eg_place at)
{
    struct eg_slice line = line_text(at.source, diag->line - 1);
    char *copy = eg_arena_dup(&d->arena, line.n > 4096 ? EG_SLICE_NONE : line);
    size_t offset = at.offset - at.source->lines[diag->line - 1];
    size_t start = 0;
    if (line.n > 4096) { /* mask a neighbourhood only, wide enough to see whole words */
        start = offset > 2048 ? offset - 2048 : 0;
        line = eg_slice(line.p + start, line.n - start < 4096 ? line.n - start : 4096);
        copy = eg_arena_dup(&d->arena, line);
    }
    if (!copy)
        return false;
    eg_secret_mask(copy, line.n);
    for (size_t i = offset - start; at.hide && i < line.n && i < offset - start + at.width; i++)
        copy[i] = '*';
    size_t cut = offset - start > LEAD && line.n > WINDOW ? offset - start - LEAD : 0;
    while (cut > 0 && cut < line.n && is_continuation(copy[cut]))
        cut--;
    size_t n = line.n - cut < WINDOW ? line.n - cut : WINDOW;
    while (n < line.n - cut && is_continuation(copy[cut + n]))
        n++;
    diag->source = eg_slice(copy + cut, n);
    struct eg_slice before =
        eg_slice(at.source->text.p + at.source->lines[diag->line - 1] + start + cut,
                 offset > start + cut ? offset - start - cut : 0);
    diag->source_column = start + cut > 0 && diag->column > columns_in(before.p, before.n)
                              ? diag->column - columns_in(before.p, before.n)
                              : 1;
    return true;
}

/* The fix of what only trust allows names the file that is to be trusted, which may be another one: what is extended is trusted with what extends it. */
static char *copy_fix(struct eg_diags *d, const char *fix, struct eg_place at)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._/+-";
    const char *root = at.source ? at.source->root : NULL;
    char text[400];
    if (fix != eg_trust_fix || !root || strlen(root) > 200 || *root == '-' ||
        root[strspn(root, plain)]) {
        char *copy = eg_arena_dup(&d->arena, eg_slice_str(fix));
        if (copy)
            eg_secret_mask_known(copy, strlen(copy));
        return copy;
    }
    snprintf(text, sizeof text, EG_TRUST_FIX("%s"), root);
    return eg_arena_dup(&d->arena, eg_slice_str(text));
}

__attribute__((format(printf, 6, 0))) static void add(struct eg_diags *d, enum eg_severity severity,
                                                      const char *code, struct eg_place at,
                                                      const char *fix, const char *format,
                                                      va_list args)
{
    char text[512];
    struct eg_diag diag = { .severity = severity, .code = code, .source_column = 1 };
    d->count[severity == EG_DIAG_WARNING]++;
    if (eg_diags_full(d) || (severity == EG_DIAG_WARNING && d->count[1] > MAX_WARNINGS))
        return;
    vsnprintf(text, sizeof text, format, args);
    eg_secret_mask_known(text, strlen(text)); /* a host name may hold one, and is told as it stands */
    diag.file = eg_arena_dup(&d->arena, eg_slice_str(at.source ? at.source->path : "policy"));
    diag.text = eg_arena_dup(&d->arena, eg_slice_str(text));
    diag.fix = fix ? copy_fix(d, fix, at) : NULL;
    d->broken = !diag.file || !diag.text || (fix && !diag.fix);
    if (!d->broken && at.source && at.source->lines && at.width > 0) {
        eg_source_position(at.source, at.offset, &diag.line, &diag.column);
        struct eg_slice line = line_text(at.source, diag.line - 1);
        size_t end = at.source->lines[diag.line - 1] + line.n;
        size_t n = at.offset < end ? end - at.offset : 0;
        diag.width = columns_in(at.source->text.p + at.offset, n < at.width ? n : at.width);
        diag.width += diag.width == 0;
        d->broken = !set_source(d, &diag, at);
    }
    if (!d->broken)
        d->broken = !insert(d, &diag);
}

void eg_diag_error(struct eg_diags *d, const char *code, struct eg_place at, const char *fix,
                   const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(d, EG_DIAG_ERROR, code, at, fix, format, args);
    va_end(args);
}

void eg_diag_warning(struct eg_diags *d, const char *code, struct eg_place at, const char *fix,
                     const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(d, EG_DIAG_WARNING, code, at, fix, format, args);
    va_end(args);
}

/* ---- rendering ---- */

/* The line as a terminal may see it: tabs become blanks, what is not plain visible text becomes '?'. */
static enum eg_status put_line(struct eg_slice line, struct eg_buf *out)
{
    enum eg_status st = eg_buf_append(out, "    ", 4);
    for (size_t i = 0, n; st == EG_OK && i < line.n; i += n) {
        n = eg_yaml_visible(line.p + i, line.n - i);
        if (n > 0) {
            st = eg_buf_append(out, line.p + i, n);
            continue;
        }
        st = eg_buf_append(out, line.p[i] == '\t' ? " " : "?", 1);
        for (n = 1; i + n < line.n && is_continuation(line.p[i + n]); n++)
            ;
    }
    return st == EG_OK ? eg_buf_append(out, "\n", 1) : st;
}

static enum eg_status put_caret(const struct eg_diag *diag, const char *on, const char *off,
                                struct eg_buf *out)
{
    uint32_t room = columns_in(diag->source.p, diag->source.n) + 1;
    uint32_t before = diag->column - diag->source_column;
    uint32_t width = diag->width;
    if (before > room)
        before = room;
    if (width > room - before)
        width = room - before;
    enum eg_status st = eg_buf_printf(out, "    %*s%s^", (int)before, "", on);
    for (uint32_t i = 1; st == EG_OK && i < width; i++)
        st = eg_buf_append(out, "~", 1);
    return st == EG_OK ? eg_buf_printf(out, "%s\n", off) : st;
}

enum eg_status eg_diag_render(const struct eg_diag *diag, bool color, struct eg_buf *out)
{
    bool error = diag->severity == EG_DIAG_ERROR;
    const char *off = color ? "\033[0m" : "";
    const char *on = !color ? "" : error ? "\033[1;31m" : "\033[1;33m";
    enum eg_status st = diag->line
                            ? eg_buf_printf(out, "%s:%u:%u: ", diag->file, diag->line, diag->column)
                            : eg_buf_printf(out, "%s: ", diag->file);
    if (st == EG_OK)
        st = eg_buf_printf(out, "%s%s[%s]%s: %s\n", on, error ? "error" : "warning", diag->code,
                           off, diag->text);
    if (st == EG_OK && diag->line) {
        st = put_line(diag->source, out);
        if (st == EG_OK)
            st = put_caret(diag, on, off, out);
    }
    if (st == EG_OK && diag->fix)
        st = eg_buf_printf(out, "  fix: %s\n", diag->fix);
    return st;
}

enum eg_status eg_diags_render(const struct eg_diags *d, bool color, struct eg_buf *out)
{
    enum eg_status st = EG_OK;
    for (unsigned i = 0; st == EG_OK && i < d->stored; i++)
        st = eg_diag_render(&d->list[i], color, out);
    unsigned more = d->count[0] + d->count[1] - d->stored;
    if (st == EG_OK && more > 0)
        st = eg_buf_printf(out, "and %u more\n", more);
    return st;
}
