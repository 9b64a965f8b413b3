/* unified.c - a unified diff: the longest common run of lines by dynamic programming between equal beginnings and ends. What is too large for that is shown as taken
 * out and put in as a whole: longer than it need be, never wrong. */
#include "cmd/unified.h"

#include <stdint.h>
#include <stdlib.h>

enum { CELLS_MAX = 4 << 20, CONTEXT = 3 };

struct lines {
    struct eg_slice *list; /* with their ends */
    size_t count;
};

struct step { /* ' ' both, '-' the old one, '+' the new one */
    char sign;
    size_t old, new; /* line numbers from 0 */
};

struct diff {
    struct lines a, b;
    struct step *steps;
    size_t count;
};

static enum eg_status split(struct eg_slice text, struct lines *ret)
{
    size_t n = 1;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == '\n';
    ret->list = calloc(n, sizeof *ret->list);
    if (!ret->list)
        return EG_NOMEM;
    while (text.n > 0) {
        long end = eg_slice_index(text, '\n');
        size_t length = end < 0 ? text.n : (size_t)end + 1;
        ret->list[ret->count++] = eg_slice(text.p, length);
        text = eg_slice_from(text, length);
    }
    return EG_OK;
}

static void step(struct diff *d, char sign, size_t old, size_t new)
{
    d->steps[d->count++] = (struct step){ sign, old, new };
}

/* The middle, where neither beginning nor end is equal: lines from..a_end and from..b_end. */
static enum eg_status middle(struct diff *d, size_t from, size_t a_end, size_t b_end)
{
    size_t n = a_end - from, m = b_end - from, i = 0, k = 0, wide = m + 1;
    bool whole = n > 0 && m + 1 > CELLS_MAX / (n + 1);
    uint32_t *length = whole ? NULL : calloc((n + 1) * wide, sizeof *length);
    if (!whole && !length)
        return EG_NOMEM;
    for (size_t x = n; length && x-- > 0;)
        for (size_t y = m; y-- > 0;) {
            bool same = eg_slice_eq(d->a.list[from + x], d->b.list[from + y]);
            uint32_t down = length[(x + 1) * wide + y], right = length[x * wide + y + 1];
            length[x * wide + y] = same ? length[(x + 1) * wide + y + 1] + 1 : down > right ? down : right;
        }
    while (i < n || k < m) {
        if (length && i < n && k < m && eg_slice_eq(d->a.list[from + i], d->b.list[from + k])) {
            step(d, ' ', from + i, from + k);
            i++;
            k++;
        } else if (i < n && (k == m || !length || length[(i + 1) * wide + k] >= length[i * wide + k + 1])) {
            step(d, '-', from + i, from + k);
            i++;
        } else {
            step(d, '+', from + i, from + k);
            k++;
        }
    }
    free(length);
    return EG_OK;
}

static enum eg_status compare(struct diff *d)
{
    size_t from = 0, a_end = d->a.count, b_end = d->b.count;
    d->steps = calloc(a_end + b_end + 1, sizeof *d->steps);
    if (!d->steps)
        return EG_NOMEM;
    for (; from < a_end && from < b_end && eg_slice_eq(d->a.list[from], d->b.list[from]); from++)
        step(d, ' ', from, from);
    while (a_end > from && b_end > from && eg_slice_eq(d->a.list[a_end - 1], d->b.list[b_end - 1])) {
        a_end--;
        b_end--;
    }
    enum eg_status st = middle(d, from, a_end, b_end);
    for (; a_end < d->a.count; a_end++, b_end++)
        step(d, ' ', a_end, b_end);
    return st;
}

static enum eg_status put_line(struct eg_buf *out, char sign, struct eg_slice line)
{
    enum eg_status st = eg_buf_append(out, &sign, 1);
    if (st == EG_OK)
        st = eg_buf_put(out, line);
    if (st == EG_OK && (line.n == 0 || line.p[line.n - 1] != '\n'))
        st = eg_buf_put(out, EG_SLICE("\n\\ No newline at end of file\n"));
    return st;
}

/* Steps from..to. A range of no lines names the line before it. */
static enum eg_status put_hunk(const struct diff *d, size_t from, size_t to, struct eg_buf *out)
{
    size_t old = 0, new = 0;
    for (size_t i = from; i < to; i++) {
        old += d->steps[i].sign != '+';
        new += d->steps[i].sign != '-';
    }
    enum eg_status st = eg_buf_printf(out, "@@ -%zu,%zu +%zu,%zu @@\n", d->steps[from].old + (old > 0), old,
                                      d->steps[from].new + (new > 0), new);
    for (size_t i = from; st == EG_OK && i < to; i++)
        st = put_line(out, d->steps[i].sign,
                      d->steps[i].sign == '+' ? d->b.list[d->steps[i].new] : d->a.list[d->steps[i].old]);
    return st;
}

static enum eg_status put_hunks(const struct diff *d, const char *path, struct eg_buf *out)
{
    enum eg_status st = EG_OK;
    bool head = false;
    path += *path == '/';
    for (size_t i = 0; st == EG_OK && i < d->count;) {
        if (d->steps[i].sign == ' ') {
            i++;
            continue;
        }
        size_t from = i > CONTEXT ? i - CONTEXT : 0, last = i, to;
        for (to = i; to < d->count && to <= last + 2 * CONTEXT; to++)
            last = d->steps[to].sign != ' ' ? to : last;
        to = last + 1 + CONTEXT < d->count ? last + 1 + CONTEXT : d->count;
        if (!head)
            st = eg_buf_printf(out, "--- a/%s\n+++ b/%s\n", path, path);
        head = true;
        if (st == EG_OK)
            st = put_hunk(d, from, to, out);
        i = to;
    }
    return st;
}

enum eg_status eg_unified(const char *path, struct eg_slice before, struct eg_slice after,
                          struct eg_buf *out)
{
    struct diff d = { .count = 0 };
    enum eg_status st = split(before, &d.a);
    if (st == EG_OK)
        st = split(after, &d.b);
    if (st == EG_OK)
        st = compare(&d);
    if (st == EG_OK)
        st = put_hunks(&d, path, out);
    free(d.a.list);
    free(d.b.list);
    free(d.steps);
    return st;
}
