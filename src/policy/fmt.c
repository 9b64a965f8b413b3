/* fmt.c - writes a tree with its comments in the one layout, and proves that it says the same.
 *
 * The proof does not lean on the layout: the result is read by the parser that every policy is read by, and compared with what was read first, value by value; and its
 * comments are counted. What is not equal is an error, and the file stays as it was. */
#include "policy/fmt.h"

#include "policy/fmt_parts.h"

enum { WIDTH = 100, NOTE_COLUMN_MAX = 60, STEP = 2, ARENA_MAX = 512 << 20 };

struct line {
    size_t end;           /* in text; it begins where the one before ends */
    struct eg_slice note; /* beside it */
};

struct layout {
    struct eg_buf text;  /* lines without their ends */
    struct eg_buf lines; /* of struct line */
    struct eg_buf flow;  /* the value that is tried on one line */
    unsigned notes;
    enum eg_status status;
};

static void put(struct layout *l, struct eg_slice s)
{
    if (l->status == EG_OK)
        l->status = eg_buf_put(&l->text, s);
}

static void blanks(struct layout *l, unsigned n)
{
    for (; n > 0; n--)
        put(l, EG_SLICE(" "));
}

static void end_line(struct layout *l, const struct eg_fmt_note *note)
{
    const struct line line = { l->text.len, note ? note->text : EG_SLICE_NONE };
    l->notes += note != NULL;
    if (l->status == EG_OK)
        l->status = eg_buf_append(&l->lines, &line, sizeof line);
}

/* Comments on lines of their own; the first one's gap is the caller's. */
static void notes(struct layout *l, const struct eg_fmt_notes *list, unsigned indent, bool gap)
{
    for (const struct eg_fmt_note *n = list->first; n; n = n->next) {
        if (n == list->first ? gap : n->gap)
            end_line(l, NULL);
        blanks(l, indent);
        put(l, n->text);
        end_line(l, NULL);
        l->notes++;
    }
}

/* ---- one line or several ---- */

static void flow(struct layout *l, const struct eg_fmt_part *p)
{
    bool map = p->node->kind == EG_YAML_MAP;
    if (l->status != EG_OK || l->flow.len > WIDTH)
        return;
    if (p->node->kind == EG_YAML_TEXT) {
        l->status = eg_fmt_scalar(&l->flow, p->node, true);
        return;
    }
    l->status = eg_buf_put(&l->flow, map ? EG_SLICE("{") : EG_SLICE("["));
    for (uint32_t i = 0; l->status == EG_OK && i < p->node->count; i++) {
        if (i > 0)
            l->status = eg_buf_put(&l->flow, EG_SLICE(", "));
        if (map && l->status == EG_OK)
            l->status = eg_fmt_key(&l->flow, p->children[i]->node->name, true);
        if (map && l->status == EG_OK)
            l->status = eg_buf_put(&l->flow, EG_SLICE(": "));
        flow(l, p->children[i]);
    }
    if (l->status == EG_OK)
        l->status = eg_buf_put(&l->flow, map ? EG_SLICE("}") : EG_SLICE("]"));
}

/* What is reviewed line by line: each on its own. */
static bool is_long_form(const struct eg_fmt_part *p)
{
    static const char *const always[] = { "allow",       "deny",     "tests",  "services",
                                          "credentials", "upstream", "listen", "upstream.proxies" };
    static const char *const many[] = { "extends", "services.*.rules", "services.*.deny" };
    const struct eg_schema_key *key = p->row ? eg_schema_each(p->row - 1) : NULL;
    if (!key)
        return false;
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (strcmp(key->path, always[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        if (strcmp(key->path, many[i]) == 0)
            return p->node->count > 1;
    if (strcmp(key->path, "services.*") != 0)
        return false;
    for (uint32_t i = 0; i < p->node->count; i++)
        if (p->children[i]->node->kind != EG_YAML_TEXT)
            return true;
    return p->node->count > 2;
}

/* Leaves the one line in l->flow. used: columns before it. */
static bool fits(struct layout *l, const struct eg_fmt_part *p, size_t used)
{
    eg_buf_reset(&l->flow);
    if (p->node->kind == EG_YAML_TEXT) {
        if (l->status == EG_OK)
            l->status = eg_fmt_scalar(&l->flow, p->node, false);
        return true;
    }
    if (p->node->count > 0 && (p->spread || is_long_form(p)))
        return false;
    flow(l, p);
    return p->node->count == 0 || used + l->flow.len <= WIDTH;
}

/* ---- values ---- */

static void children(struct layout *l, const struct eg_fmt_part *p, unsigned indent);
static void child(struct layout *l, const struct eg_fmt_part *p, unsigned indent, bool first,
                  bool dashed);

/* "- key: value": the first member shares the dash's line. */
static void dashed_map(struct layout *l, const struct eg_fmt_part *p, unsigned indent)
{
    put(l, EG_SLICE(" "));
    child(l, p->children[0], indent + STEP, true, true);
    for (uint32_t i = 1; i < p->node->count; i++)
        child(l, p->children[i], indent + STEP, false, false);
    notes(l, &p->foot, indent + STEP, p->foot.first && p->foot.first->gap);
}

static bool is_dashed_map(const struct eg_fmt_part *p)
{
    return !p->node->name.p && p->node->kind == EG_YAML_MAP;
}

/* Its own comments; and those that the long form has no other place for. */
static void notes_above(struct layout *l, const struct eg_fmt_part *p, unsigned indent, bool gap,
                        bool one_line)
{
    bool some = p->above.first != NULL;
    notes(l, &p->above, indent, gap);
    if (one_line || p->node->name.p) {
        if (some && p->gap)
            end_line(l, NULL);
        return;
    }
    if (p->beside) {
        blanks(l, indent);
        put(l, p->beside->text);
        end_line(l, NULL);
        l->notes++;
    }
    if (is_dashed_map(p))
        notes(l, &p->children[0]->above, indent, false);
    if (some && p->gap)
        end_line(l, NULL);
}

static void child(struct layout *l, const struct eg_fmt_part *p, unsigned indent, bool first,
                  bool dashed)
{
    const struct eg_slice name = p->node->name;
    const struct eg_fmt_note *top = p->above.first;
    bool one_line = fits(l, p, indent + 2 + (name.p ? name.n : 0));
    bool gap = !first && (top ? top->gap : p->gap);
    if (!dashed)
        notes_above(l, p, indent, gap, one_line);
    if (!dashed && !top && gap)
        end_line(l, NULL);
    if (!dashed)
        blanks(l, indent);
    if (!name.p)
        put(l, EG_SLICE("-"));
    else if (l->status == EG_OK)
        l->status = eg_fmt_key(&l->text, name, false);
    if (name.p)
        put(l, EG_SLICE(":"));
    if (one_line) {
        fits(l, p, 0);
        if (l->flow.len > 0)
            put(l, EG_SLICE(" "));
        put(l, eg_buf_slice(&l->flow));
        end_line(l, p->beside);
    } else if (is_dashed_map(p)) {
        dashed_map(l, p, indent);
    } else {
        end_line(l, name.p ? p->beside : NULL);
        children(l, p, indent + STEP);
    }
}

static void children(struct layout *l, const struct eg_fmt_part *p, unsigned indent)
{
    for (uint32_t i = 0; i < p->node->count; i++)
        child(l, p->children[i], indent, i == 0, false);
    notes(l, &p->foot, indent, p->foot.first && p->foot.first->gap);
}

/* The file: long values stand apart from their neighbours. */
static void file(struct layout *l, const struct eg_fmt_part *root)
{
    bool header = root->above.first != NULL, long_before = false;
    notes(l, &root->above, 0, false);
    for (uint32_t i = 0; i < root->node->count && l->status == EG_OK; i++) {
        const struct eg_fmt_part *p = root->children[i];
        bool is_long = !fits(l, p, p->node->name.n + 2);
        bool own = p->above.first ? p->above.first->gap : p->gap;
        bool gap = i == 0 ? header && (root->gap || p->above.first) : is_long || long_before || own;
        if (gap)
            end_line(l, NULL);
        child(l, p, 0, true, false);
        long_before = is_long;
    }
    if (root->foot.first)
        notes(l, &root->foot, 0, (header || root->node->count > 0) && root->foot.first->gap);
}

/* ---- lines, with their comments below each other ---- */

static size_t width(struct eg_slice s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

static struct eg_slice line_text(const struct layout *l, size_t i, struct eg_slice *note)
{
    const struct line *list = (const struct line *)(const void *)eg_buf_slice(&l->lines).p;
    size_t begin = i > 0 ? list[i - 1].end : 0;
    *note = list[i].note;
    return eg_slice(eg_buf_slice(&l->text).p + begin, list[i].end - begin);
}

/* The column for the comments of the lines that follow each other from i on and have one; *until is behind them, and behind i. */
static size_t run_column(const struct layout *l, size_t i, size_t count, size_t *until)
{
    size_t column = 0;
    struct eg_slice note;
    for (*until = i; *until < count; ++*until) {
        size_t n = width(line_text(l, *until, &note));
        if (note.n == 0)
            break;
        if (n <= NOTE_COLUMN_MAX && n > column)
            column = n;
    }
    *until += *until == i;
    return column;
}

static enum eg_status join(const struct layout *l, struct eg_buf *out)
{
    size_t count = l->lines.len / sizeof(struct line), column = 0, until = 0;
    enum eg_status st = EG_OK;
    for (size_t i = 0; st == EG_OK && i < count; i++) {
        struct eg_slice note, text;
        if (i >= until)
            column = run_column(l, i, count, &until);
        text = line_text(l, i, &note);
        st = eg_buf_put(out, text);
        for (size_t n = width(text); st == EG_OK && note.n && n < column; n++)
            st = eg_buf_put(out, EG_SLICE(" "));
        if (st == EG_OK && note.n)
            st = eg_buf_put(out, EG_SLICE("  "));
        if (st == EG_OK && note.n)
            st = eg_buf_put(out, note);
        if (st == EG_OK)
            st = eg_buf_put(out, EG_SLICE("\n"));
    }
    return st;
}

/* ---- the proof ---- */

/* Does b, in its own order, say what a says in the order of the layout? */
static bool same(const struct eg_fmt_part *a, const struct eg_yaml *b)
{
    const struct eg_yaml *n = a->node, *child = b->first;
    if (n->kind != b->kind || n->count != b->count || !eg_slice_eq(n->name, b->name) ||
        !eg_slice_eq(n->text, b->text) || b->bad)
        return false;
    if (n->kind == EG_YAML_TEXT)
        return n->plain == b->plain || !eg_fmt_typed(n->text);
    for (uint32_t i = 0; i < n->count; i++, child = child->next)
        if (!child || !same(a->children[i], child))
            return false;
    return true;
}

static enum eg_status prove(const struct eg_fmt_tree *tree, const struct layout *l,
                            struct eg_slice text, struct eg_err *err)
{
    struct eg_source again = { .path = "", .text = text };
    struct eg_diags *diags = NULL;
    struct eg_arena arena;
    struct eg_yaml *root = NULL;
    eg_arena_init(&arena, ARENA_MAX);
    enum eg_status st = eg_diags_new(&diags);
    if (st == EG_OK)
        st = eg_yaml_read(&again, &arena, diags, &root);
    if (st == EG_INVALID || (st == EG_OK && !same(tree->root, root)))
        st = eg_err_set(err, EG_INTERNAL, "fmt", 0,
                        "the layout would change what the file says; it stays as it is");
    else if (st == EG_OK && l->notes != tree->notes)
        st = eg_err_set(err, EG_INTERNAL, "fmt", 0,
                        "a comment would be lost; the file stays as it is");
    eg_diags_free(diags);
    eg_arena_done(&arena);
    return st;
}

static enum eg_status lay_out(const struct eg_fmt_tree *tree, size_t max, struct eg_buf *out,
                              struct eg_err *err)
{
    struct layout l = { .status = EG_OK };
    struct eg_buf text;
    eg_buf_init(&l.text, max);
    eg_buf_init(&l.lines, max * 2);
    eg_buf_init(&l.flow, max);
    eg_buf_init(&text, max);
    file(&l, tree->root);
    enum eg_status st = l.status == EG_OK ? join(&l, &text) : l.status;
    if (st == EG_OK)
        st = prove(tree, &l, eg_buf_slice(&text), err);
    if (st == EG_OK)
        st = eg_buf_put(out, eg_buf_slice(&text));
    eg_buf_done(&l.text);
    eg_buf_done(&l.lines);
    eg_buf_done(&l.flow);
    eg_buf_done(&text);
    return st;
}

enum eg_status eg_policy_fmt(const struct eg_policy_file *file, struct eg_diags *diags,
                             struct eg_buf *out, struct eg_err *err)
{
    struct eg_source source = { .path = file->path, .text = file->text, .layer = file->layer };
    struct eg_yaml *root = NULL;
    struct eg_fmt_tree tree;
    struct eg_arena arena;
    eg_arena_init(&arena, ARENA_MAX);
    enum eg_status st = eg_yaml_read(&source, &arena, diags, &root);
    if (st == EG_OK && eg_diags_count(diags, EG_DIAG_ERROR) > 0)
        st = EG_INVALID;
    if (st == EG_OK && root->kind != EG_YAML_MAP) {
        eg_diag_error(diags, "bad-type", root->at, NULL, "a policy is a map of keys");
        st = EG_INVALID;
    }
    if (st == EG_OK)
        st = eg_fmt_parts(&source, root, &arena, &tree);
    if (st == EG_OK)
        st = lay_out(&tree, EG_YAML_FILE_MAX * 2, out, err);
    eg_arena_done(&arena);
    return st == EG_OK ? st : eg_err_set(err, st, "fmt", 0, "the file can't be laid out");
}
