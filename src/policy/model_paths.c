/* model_paths.c - "METHOD /pattern" as people write it: a list of them becomes sorted, without doubles, and ready to be asked.
 *
 * A pattern is made of the same text that eg_path_canon makes of a path, so that both are compared as they are. Braces are written out here, so that
 * a decision knows only literal bytes, * and **. */
#include "policy/model.h"

#include <stdlib.h>

enum { TEXT_MAX = 1024, SEGMENTS_MAX = 64, METHOD_MAX = 32, GLOBS_MAX = 32, GLOB_BYTES_MAX = 8192 };

static bool bad_path(struct eg_model *m, const struct eg_yaml *node, const char *fix,
                     const char *text)
{
    eg_diag_error(m->diags, "bad-path", node->at, fix, "%s", text);
    return false;
}

static const char form[] = "write METHOD /PATH, such as \"GET /v1/models/*\" or \"* /v1/**\"";

/* "*" becomes the empty text. False: reported. */
static bool read_method(struct eg_model *m, const struct eg_yaml *node, struct eg_slice *method)
{
    bool lower = false;
    if (eg_slice_eq(*method, EG_SLICE("*"))) {
        *method = EG_SLICE_NONE;
        return true;
    }
    for (size_t i = 0; i < method->n; i++) {
        char c = method->p[i];
        lower |= c >= 'a' && c <= 'z';
        if (!(eg_lower(c) >= 'a' && eg_lower(c) <= 'z') && c != '-' && c != '_')
            return bad_path(m, node, form, "this is not a method and a path");
    }
    if (lower)
        return bad_path(m, node, "write it in capitals",
                        "methods are written in capitals, and capitals count");
    if (method->n == 0 || method->n > METHOD_MAX)
        return bad_path(m, node, form, "this is not a method and a path");
    if (eg_slice_eq(*method, EG_SLICE("CONNECT")))
        return bad_path(m, node, NULL, "CONNECT asks for a tunnel and has no path");
    return true;
}

/* ---- one path: canonical, with * and braces ---- */

/* The canonical form of what stands between the signs of a pattern. Those are taken for text here, so that one canonicaliser sees all of it. */
static bool canonical(struct eg_model *m, const struct eg_yaml *node, struct eg_slice text,
                      struct eg_slice *ret)
{
    struct eg_buf plain, out;
    struct eg_path_flags flags = { 0 };
    struct eg_err err = { 0 };
    eg_buf_init(&plain, TEXT_MAX);
    eg_buf_init(&out, TEXT_MAX);
    enum eg_status st = eg_buf_put(&plain, text);
    for (size_t i = 0; st == EG_OK && i < plain.len; i++) /* no path has these as they are */
        if (plain.data[i] == '{' || plain.data[i] == '}')
            plain.data[i] = plain.data[i] == '{' ? '(' : ')';
    if (st == EG_OK)
        st = eg_path_canon(eg_buf_slice(&plain), &out, &flags, &err);
    if (st == EG_NOMEM)
        m->status = st;
    else if (st != EG_OK)
        bad_path(m, node, NULL, err.text[0] ? err.text : "this path is too long");
    else if (flags.unsafe)
        bad_path(m, node, NULL, flags.why);
    bool fine = st == EG_OK && !flags.unsafe;
    if (fine)
        *ret = eg_model_copy(m, eg_buf_slice(&out));
    eg_buf_done(&plain);
    eg_buf_done(&out);
    return fine && ret->p;
}

/* Puts the braces back: canonicalising moves bytes, but keeps the order of parentheses. */
static void restore(struct eg_slice text, struct eg_slice canon)
{
    char *to = (char *)(uintptr_t)canon.p; /* our own copy */
    size_t at = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c != '{' && c != '}' && c != '(' && c != ')')
            continue;
        while (at < canon.n && to[at] != '(' && to[at] != ')')
            at++;
        if (at < canon.n)
            to[at++] = c;
    }
}

/* What the signs of the pattern may not be, or NULL. */
static const char *sign_fault(struct eg_slice text)
{
    bool open = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '?' || c == '#')
            return "a rule names a method and a path; queries are not judged";
        if ((c == '{' || c == '/') && open)
            return c == '/' ? "{a,b} stands within one segment; write several rules"
                            : "{a,b} has no other braces in it";
        if (c == '}' && !open)
            return "this } closes nothing";
        open = c == '{' || (open && c != '}');
    }
    return open ? "this { is not closed" : NULL;
}

/* ---- segments ---- */

/* A segment's alternatives. */
struct globs {
    struct eg_model *m;
    struct eg_slice list[GLOBS_MAX];
    unsigned count;
    size_t bytes;
    bool full;
};

static void add_glob(struct globs *g, struct eg_slice text)
{
    g->bytes += text.n + 1;
    if (g->count == GLOBS_MAX || g->bytes > GLOB_BYTES_MAX)
        g->full = true;
    else
        g->list[g->count++] = text;
}

/* Writes the first braces of each out until none has any. */
static void expand(struct globs *g)
{
    for (unsigned i = 0; i < g->count && !g->full;) {
        struct eg_slice text = g->list[i];
        long open = eg_slice_index(text, '{');
        if (open < 0) {
            i++;
            continue;
        }
        long close = eg_slice_index(text, '}');
        struct eg_slice head = eg_slice(text.p, (size_t)open);
        struct eg_slice tail = eg_slice_from(text, (size_t)close + 1);
        g->list[i] = g->list[--g->count];
        size_t start = (size_t)open + 1;
        for (size_t k = start; k <= (size_t)close && !g->full; k++) {
            if (text.p[k] != ',' && k != (size_t)close)
                continue;
            add_glob(g, eg_model_printf(g->m, "%.*s%.*s%.*s", (int)head.n, head.n ? head.p : "",
                                        (int)(k - start), text.p + start, (int)tail.n,
                                        tail.n ? tail.p : ""));
            start = k + 1;
        }
    }
}

static bool is_dots(struct eg_slice s)
{
    return eg_slice_eq(s, EG_SLICE(".")) || eg_slice_eq(s, EG_SLICE(".."));
}

static bool read_segment(struct eg_model *m, const struct eg_yaml *node, struct eg_slice text,
                         struct eg_model_segment *ret)
{
    struct globs g = { .m = m, .count = 0 };
    if (eg_slice_eq(text, EG_SLICE("**"))) {
        ret->count = 0;
        return true;
    }
    if (text.n > 1 && memmem(text.p, text.n, "**", 2))
        return bad_path(m, node, "** is a segment of its own, such as /v1/**",
                        "** stands for whole segments");
    add_glob(&g, text);
    expand(&g);
    if (g.full)
        return bad_path(m, node, "write several rules", "these are too many alternatives");
    for (unsigned i = 0; i < g.count; i++)
        if (is_dots(g.list[i]))
            return bad_path(m, node, NULL, "no path with a dot segment is ever allowed");
    ret->globs = eg_model_alloc(m, g.count * sizeof *ret->globs);
    if (!ret->globs)
        return false;
    memcpy(ret->globs, g.list, g.count * sizeof *ret->globs);
    ret->count = g.count;
    return true;
}

static bool read_segments(struct eg_model *m, const struct eg_yaml *node, struct eg_slice path,
                          struct eg_model_path *ret)
{
    struct eg_model_segment list[SEGMENTS_MAX];
    unsigned count = 0;
    memset(list, 0, sizeof list);
    for (struct eg_slice rest = eg_slice_from(path, 1);;) {
        long slash = eg_slice_index(rest, '/');
        struct eg_slice segment = slash < 0 ? rest : eg_slice(rest.p, (size_t)slash);
        if (count == SEGMENTS_MAX)
            return bad_path(m, node, NULL, "a pattern has at most 64 segments");
        if (!read_segment(m, node, segment.n ? segment : EG_SLICE(""), &list[count++]))
            return false;
        if (slash < 0)
            break;
        rest = eg_slice_from(rest, (size_t)slash + 1);
    }
    ret->segments = eg_model_alloc(m, count * sizeof *ret->segments);
    if (!ret->segments)
        return false;
    memcpy(ret->segments, list, count * sizeof *ret->segments);
    ret->segment_count = count;
    return true;
}

/* ---- the list ---- */

static bool read_one(struct eg_model *m, const struct eg_yaml *node, struct eg_model_path *ret)
{
    struct eg_slice text = node->text, canon = EG_SLICE_NONE;
    long blank = eg_slice_index(text, ' ');
    struct eg_slice path = blank < 0 ? text : eg_slice_trim(eg_slice_from(text, (size_t)blank));
    ret->method = blank < 0 ? EG_SLICE_NONE : eg_slice(text.p, (size_t)blank);
    if (blank <= 0 || path.n == 0 || path.p[0] != '/')
        return bad_path(m, node, form, "this is not a method and a path");
    if (!read_method(m, node, &ret->method))
        return false;
    const char *fault = path.n > TEXT_MAX ? "this path is too long" : sign_fault(path);
    if (fault)
        return bad_path(m, node, NULL, fault);
    if (!canonical(m, node, path, &canon))
        return false;
    restore(path, canon);
    ret->rule = eg_model_rule_text(m, node->at);
    ret->text = eg_model_printf(m, "%.*s %.*s", ret->method.n ? (int)ret->method.n : 1,
                                ret->method.n ? ret->method.p : "*", (int)canon.n, canon.p);
    return read_segments(m, node, canon, ret);
}

static int compare(const void *x, const void *y)
{
    const struct eg_model_path *a = x, *b = y;
    size_t n = a->text.n < b->text.n ? a->text.n : b->text.n;
    int c = n ? memcmp(a->text.p, b->text.p, n) : 0;
    return c ? c : a->text.n < b->text.n ? -1 : a->text.n > b->text.n;
}

bool eg_model_read_paths(struct eg_model *m, const struct eg_yaml *list, bool some,
                         struct eg_model_paths *ret)
{
    bool one = list && list->kind == EG_YAML_TEXT, fine = true;
    unsigned n = !list ? 0 : one ? 1 : list->count, count = 0;
    if (list && ((n == 0 && some) || n > EG_MODEL_PATHS_MAX)) {
        eg_diag_error(m->diags, "bad-value", list->name_at, NULL,
                      "%.*s names 1 to %d requests; without the key, all are meant",
                      (int)list->name.n, list->name.p, EG_MODEL_PATHS_MAX);
        return false;
    }
    if (n == 0)
        return true;
    ret->list = eg_model_alloc(m, n * sizeof *ret->list);
    if (!ret->list)
        return false;
    for (const struct eg_yaml *node = one ? list : list->first; node;
         node = one ? NULL : node->next) {
        if (!node->bad && read_one(m, node, &ret->list[count]))
            count++;
        else
            fine = false;
    }
    if (m->status != EG_OK)
        return false;
    qsort(ret->list, count, sizeof *ret->list, compare);
    for (unsigned i = 0; i < count; i++)
        if (i == 0 || !eg_slice_eq(ret->list[i].text, ret->list[ret->count - 1].text))
            ret->list[ret->count++] = ret->list[i];
    return fine;
}
