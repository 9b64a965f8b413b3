/* fmt_parts.c - finds the comments of a file and the value that each belongs to.
 *
 * A comment above a value is that value's, one beside it too; one that is indented like the children of a collection that has ended is at the foot of that
 * collection. What stands above the first key is the file's own. Where a comment could belong to two, it goes to one of them: none is lost, the layout counts. */
#include "policy/fmt_parts.h"

#include <stdlib.h>

struct walk {
    const struct eg_source *source;
    struct eg_arena *arena;
    struct eg_fmt_part **parts; /* in the order of the file, the outer before the inner */
    uint32_t count, room, at;   /* at: the first part behind the comment that is looked at */
    struct eg_place *texts;     /* keys and scalars, in the order of the file */
    uint32_t text_count;        /* room is for two a part */
    enum eg_status status;
};

static char byte(const struct walk *w, uint32_t i)
{
    return i < w->source->text.n ? w->source->text.p[i] : '\n';
}

static uint32_t line_start(const struct walk *w, uint32_t i)
{
    while (i > 0 && byte(w, i - 1) != '\n')
        i--;
    return i;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Is the line above the one of i empty, and nothing but blanks and dashes before i? */
static bool gap_above(const struct walk *w, uint32_t i)
{
    uint32_t line = i;
    while (line > 0 && (is_blank(byte(w, line - 1)) || byte(w, line - 1) == '-'))
        line--;
    if (line == 0 || byte(w, line - 1) != '\n')
        return false;
    for (uint32_t k = line - 1; k > 0 && byte(w, k - 1) != '\n'; k--)
        if (!is_blank(byte(w, k - 1)))
            return false;
    return true;
}

/* ---- the parts ---- */

static void *take(struct walk *w, size_t n)
{
    void *p = eg_arena_alloc(w->arena, n ? n : 1);
    if (!p)
        w->status = EG_NOMEM;
    return p;
}

static int by_row(const void *a, const void *b)
{
    const struct eg_fmt_part *x = *(struct eg_fmt_part *const *)a,
                             *y = *(struct eg_fmt_part *const *)b;
    if (x->row != y->row) /* what the schema does not know (0) comes last */
        return x->row - 1 < y->row - 1 ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static uint32_t row_of(const struct eg_fmt_part *parent, const struct eg_yaml *node)
{
    if (!parent)
        return 0;
    if (parent->parent && parent->row == 0)
        return 0;
    uint32_t element = parent->parent || parent->node->kind == EG_YAML_LIST
                           ? eg_schema_element(parent->row)
                           : 0;
    if (parent->node->kind == EG_YAML_LIST || (element && !eg_schema_child(parent->row, node->name)))
        return element;
    return eg_schema_child(parent->row, node->name);
}

/* The bracket that closes a collection of the file, from behind its last child on. */
static uint32_t closing(const struct walk *w, uint32_t i)
{
    size_t n = w->source->text.n;
    for (; i < n && byte(w, i) != ']' && byte(w, i) != '}'; i++)
        if (byte(w, i) == '#')
            while (i + 1 < n && byte(w, i + 1) != '\n')
                i++;
    return i < n ? i + 1 : i;
}

/* An element of nothing has no place of its own: behind its dash, which is the next one from i on. */
static uint32_t behind_dash(const struct walk *w, uint32_t i)
{
    size_t n = w->source->text.n;
    for (; i < n && byte(w, i) != '-'; i++)
        if (byte(w, i) == '#')
            while (i + 1 < n && byte(w, i + 1) != '\n')
                i++;
    return i < n ? i + 1 : i;
}

static struct eg_fmt_part *grow(struct walk *w, struct eg_fmt_part *parent,
                                const struct eg_yaml *node, uint32_t index)
{
    struct eg_fmt_part *p = take(w, sizeof *p);
    if (!p || w->count == w->room) {
        w->status = EG_NOMEM;
        return NULL;
    }
    w->parts[w->count++] = p;
    *p = (struct eg_fmt_part){ .node = node, .parent = parent, .index = index };
    p->row = row_of(parent, node);
    if (node->name.p)
        w->texts[w->text_count++] = node->name_at;
    if (node->kind == EG_YAML_TEXT && node->text.n > 0)
        w->texts[w->text_count++] = node->at;
    p->start = node->name.p ? node->name_at.offset : node->at.offset;
    p->end = node->at.offset + node->at.width;
    p->gap = gap_above(w, p->start);
    if (node->kind == EG_YAML_TEXT) {
        p->spread = node->plain && node->text.n == 0;
        if (p->spread && !node->name.p && parent && !parent->flow)
            p->start = p->end = behind_dash(w, index > 0 ? parent->end : parent->node->at.offset);
        p->gap = gap_above(w, p->start);
        return p;
    }
    char open = byte(w, node->at.offset);
    p->flow = open == '[' || open == '{';
    if (!p->flow && !node->name.p && node->first)
        p->start = node->first->name.p ? node->first->name_at.offset : p->start;
    if (p->flow)
        p->end = node->at.offset + 1;
    p->children = take(w, node->count * sizeof *p->children);
    uint32_t i = 0;
    for (const struct eg_yaml *n = node->first; n && p->children; n = n->next, i++) {
        p->children[i] = grow(w, p, n, i);
        if (!p->children[i])
            return NULL;
        p->end = p->children[i]->end;
        p->spread = p->spread || p->children[i]->spread;
    }
    if (p->flow)
        p->end = closing(w, p->end);
    if (!p->children)
        return NULL;
    if (node->kind == EG_YAML_MAP)
        qsort(p->children, node->count, sizeof *p->children, by_row);
    return p;
}

static uint32_t nodes(const struct eg_yaml *node)
{
    uint32_t n = 1;
    for (const struct eg_yaml *child = node->first; child; child = child->next)
        n += nodes(child);
    return n;
}

/* ---- whose comment is it? ---- */

/* Where its line is indented to: an element's dash, a member's key. */
static uint32_t column(const struct walk *w, const struct eg_fmt_part *p)
{
    uint32_t i = p->start;
    if (!p->node->name.p)
        while (i > 0 && is_blank(byte(w, i - 1)))
            i--;
    i = i > 0 && byte(w, i - 1) == '-' && !p->node->name.p ? i - 1 : p->start;
    return i - line_start(w, i);
}

static void spread(struct eg_fmt_part *p)
{
    for (; p; p = p->parent)
        p->spread = true;
}

static void hang(struct eg_fmt_notes *list, struct eg_fmt_note *note)
{
    if (list->last)
        list->last->next = note;
    else
        list->first = note;
    list->last = note;
}

static void put_above(struct eg_fmt_part *p, struct eg_fmt_note *note)
{
    hang(&p->above, note);
    spread(p->parent);
}

static void put_foot(struct eg_fmt_part *p, struct eg_fmt_note *note)
{
    if (p->node->count == 0 && p->parent) {
        put_above(p, note);
        return;
    }
    hang(&p->foot, note);
    spread(p);
}

/* Is it on one line in the layout, if what is in it (child, NULL: nothing) is? Text of several lines becomes one. */
static bool is_on_line(const struct walk *w, const struct eg_fmt_part *p, uint32_t line,
                       const struct eg_fmt_part *child)
{
    if (p->start >= line || p->flow || p->node->kind == EG_YAML_TEXT)
        return true;
    return child && p->node->count == 1 && line_start(w, p->start) == line_start(w, child->start);
}

/* Beside something: the outermost value that began and ended on this line (in brackets: ended); else the key whose value is below. */
static struct eg_fmt_part *neighbour(const struct walk *w, uint32_t c)
{
    uint32_t line = line_start(w, c);
    struct eg_fmt_part *best = NULL, *last = w->at > 0 ? w->parts[w->at - 1] : NULL;
    for (struct eg_fmt_part *p = last, *child = NULL; p && p->parent; p = p->parent) {
        bool on_line = p->end <= c && p->end > line && is_on_line(w, p, line, child);
        best = on_line ? p : best;
        child = on_line ? p : NULL;
    }
    if (!best && last && last->parent && last->start >= line)
        best = last;
    return best;
}

static void put_between(const struct walk *w, uint32_t c, struct eg_fmt_note *note)
{
    struct eg_fmt_part *next = w->at < w->count ? w->parts[w->at] : NULL;
    struct eg_fmt_part *before = w->at > 0 ? w->parts[w->at - 1] : NULL;
    uint32_t here = c - line_start(w, c), floor = next ? column(w, next) : 0;
    for (struct eg_fmt_part *p = before; p; p = p->parent) {
        if (p->flow && p->end > c) { /* inside of brackets */
            if (!next || next->start >= p->end) {
                put_foot(p, note);
                return;
            }
            break;
        }
        if (p->flow || p->node->count == 0 || p->end > c || !p->parent)
            continue;
        uint32_t own = column(w, p->children[0]);
        if (own > floor && here >= own) {
            put_foot(p, note);
            return;
        }
    }
    if (next)
        put_above(next, note);
    else
        put_foot(w->parts[0], note);
}

static void take_note(struct walk *w, uint32_t c, uint32_t end)
{
    struct eg_fmt_note *note = take(w, sizeof *note);
    if (!note)
        return;
    while (end > c && is_blank(byte(w, end - 1)))
        end--;
    *note = (struct eg_fmt_note){ .text = eg_slice(w->source->text.p + c, end - c),
                                  .gap = gap_above(w, c) };
    while (w->at < w->count && w->parts[w->at]->start < c)
        w->at++;
    uint32_t k = c;
    while (k > 0 && is_blank(byte(w, k - 1)))
        k--;
    struct eg_fmt_part *beside = k > 0 && byte(w, k - 1) != '\n' ? neighbour(w, c) : NULL;
    if (!beside) {
        put_between(w, c, note);
    } else if (beside->beside) {
        put_above(beside, note);
    } else {
        beside->beside = note;
        spread(beside->parent);
    }
}

/* ---- all comments: what is not in a text and begins with # ---- */

static unsigned find_notes(struct walk *w)
{
    unsigned found = 0;
    uint32_t n = (uint32_t)w->source->text.n;
    for (uint32_t i = 0, t = 0; i < n && w->status == EG_OK; i++) {
        for (; t < w->text_count && w->texts[t].offset <= i; t++)
            if (w->texts[t].offset + w->texts[t].width > i)
                i = w->texts[t].offset + w->texts[t].width;
        if (i >= n || byte(w, i) != '#')
            continue;
        uint32_t end = i;
        while (end < n && byte(w, end) != '\n')
            end++;
        take_note(w, i, end);
        found++;
        i = end;
    }
    return found;
}

enum eg_status eg_fmt_parts(const struct eg_source *source, const struct eg_yaml *root,
                            struct eg_arena *arena, struct eg_fmt_tree *ret)
{
    struct walk w = { .source = source, .arena = arena, .room = nodes(root) };
    w.parts = take(&w, w.room * sizeof *w.parts);
    w.texts = take(&w, 2 * (size_t)w.room * sizeof *w.texts);
    ret->root = w.parts && w.texts ? grow(&w, NULL, root, 0) : NULL;
    if (!ret->root)
        return w.status == EG_OK ? EG_NOMEM : w.status;
    ret->notes = find_notes(&w);
    return w.status;
}
