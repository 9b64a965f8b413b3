/* learn_patch.c - puts learnt lines into a policy file: at the end of `allow`, at the end of a service's `rules`. The rest of the file stays byte for byte, unless its
 * lists stand in brackets: then it is laid out first. */
#include <stdio.h>

#include "base/arena.h"
#include "base/table.h"
#include "policy/fmt.h"
#include "policy/fmt_parts.h"
#include "policy/learn.h"

enum { ARENA_MAX = 256 << 20, EDITS_MAX = 1024 };

struct edit {
    size_t at, cut; /* cut bytes there give way to text */
    struct eg_slice text;
};

struct patch {
    const struct eg_learn *l;
    struct eg_slice old;
    struct eg_arena arena;
    struct eg_fmt_tree tree;
    struct edit edits[EDITS_MAX];
    unsigned count;
    bool brackets; /* the file must be laid out first */
    enum eg_status status;
};

static const struct eg_fmt_part *member(const struct eg_fmt_part *map, struct eg_slice name)
{
    for (uint32_t i = 0; map && map->node->kind == EG_YAML_MAP && i < map->node->count; i++)
        if (eg_slice_eq(map->children[i]->node->name, name))
            return map->children[i];
    return NULL;
}

static size_t line_end(const struct patch *x, size_t i)
{
    while (i < x->old.n && x->old.p[i] != '\n')
        i++;
    return i < x->old.n ? i + 1 : i;
}

static void edit(struct patch *x, size_t at, size_t cut, const struct eg_buf *text)
{
    char *copy = eg_arena_dup(&x->arena, eg_buf_slice(text));
    if (x->count == EDITS_MAX || !copy) {
        x->status = copy ? EG_TOO_BIG : EG_NOMEM;
        return;
    }
    x->edits[x->count++] = (struct edit){ at, cut, eg_slice(copy, text->len) };
}

static void put(struct patch *x, struct eg_buf *out, struct eg_slice s)
{
    if (x->status == EG_OK)
        x->status = eg_buf_put(out, s);
}

/* Blanks before the dash of the first element. */
static size_t indent_of(const struct patch *x, const struct eg_fmt_part *list)
{
    size_t line = list->node->at.offset; /* what the dash stands before may be on another line */
    while (line > 0 && x->old.p[line - 1] != '\n')
        line--;
    size_t n = 0;
    while (x->old.p[line + n] == ' ')
        n++;
    return n;
}

/* Of "# - LINE  # a remark" the LINE; else nothing. */
static struct eg_slice commented(struct eg_slice line)
{
    static const char remark[] = "  # ";
    line = eg_slice_trim(line);
    while (line.n > 0 && (line.p[0] == '#' || line.p[0] == ' '))
        line = eg_slice_from(line, 1);
    if (!eg_slice_starts(line, EG_SLICE("- ")))
        return EG_SLICE_NONE;
    line = eg_slice_from(line, 2);
    const char *end = memmem(line.p, line.n, remark, sizeof remark - 1);
    return end ? eg_slice(line.p, (size_t)(end - line.p)) : line;
}

/* Doubts that the file has as comments already. The file is read once, however many there are. */
static void mark_known(struct patch *x)
{
    struct eg_table *doubts = NULL;
    x->status = eg_table_new(&doubts, (size_t)eg_learn_count(x->l) + 1);
    for (unsigned i = 0; x->status == EG_OK && i < eg_learn_count(x->l); i++) {
        struct eg_learnt *r = eg_learn_at(x->l, i);
        r->known = false;
        if (r->kind == EG_LEARNT_NEVER || r->why.n == 0)
            continue;
        enum eg_status st = eg_table_add(doubts, r->line, r);
        x->status = st == EG_EXISTS ? EG_OK : st;
    }
    for (size_t at = 0, end; x->status == EG_OK && at < x->old.n; at = end) {
        end = line_end(x, at);
        struct eg_slice line = commented(eg_slice(x->old.p + at, end - at));
        struct eg_learnt *r = line.n > 0 ? eg_table_get(doubts, line) : NULL;
        if (r)
            r->known = true;
    }
    eg_table_free(doubts, NULL);
}

/* One line: an element, or a comment where there is a doubt. */
static void put_line(struct patch *x, struct eg_buf *out, size_t indent, struct eg_learnt *r)
{
    char times[64];
    r->placed = true;
    if (r->known)
        return;
    for (; indent > 0; indent--)
        put(x, out, EG_SLICE(" "));
    put(x, out, r->why.n ? EG_SLICE("# - ") : EG_SLICE("- "));
    put(x, out, r->line);
    snprintf(times, sizeof times, r->count == 1 ? "  # asked for once" : "  # asked for %lu times",
             r->count);
    put(x, out, eg_slice_str(times));
    if (r->why.n)
        put(x, out, EG_SLICE("; "));
    put(x, out, r->why);
    put(x, out, EG_SLICE("\n"));
}

/* ---- allow ---- */

static unsigned put_allows(struct patch *x, struct eg_buf *out, size_t indent)
{
    unsigned n = 0;
    for (int doubts = 0; doubts < 2; doubts++)
        for (unsigned i = 0; i < eg_learn_count(x->l); i++) {
            struct eg_learnt *r = eg_learn_at(x->l, i);
            if (r->kind != EG_LEARNT_ALLOW || (r->why.n > 0) != doubts)
                continue;
            put_line(x, out, indent, r);
            n += !doubts;
        }
    return n;
}

static void patch_allow(struct patch *x)
{
    const struct eg_fmt_part *allow = member(x->tree.root, EG_SLICE("allow"));
    const bool open = x->old.n > 0 && x->old.p[x->old.n - 1] != '\n';
    struct eg_buf out;
    eg_buf_init(&out, 16 << 20);
    if (allow && allow->node->count > 0) {
        size_t at = line_end(x, allow->end);
        if (at == x->old.n && open)
            put(x, &out, EG_SLICE("\n"));
        put_allows(x, &out, indent_of(x, allow));
        edit(x, at, 0, &out);
    } else if (allow) {
        size_t at = line_end(x, allow->end);
        if (at == x->old.n && open)
            put(x, &out, EG_SLICE("\n"));
        if (put_allows(x, &out, 2) > 0 && allow->flow) {
            struct eg_buf none;
            size_t from = allow->node->at.offset; /* of "[]", with the blank before it */
            eg_buf_init(&none, 1);
            while (from > 0 && x->old.p[from - 1] == ' ')
                from--;
            edit(x, from, allow->end - from, &none);
        }
        edit(x, at, 0, &out);
    } else {
        struct eg_buf lines;
        eg_buf_init(&lines, 16 << 20);
        bool some = put_allows(x, &lines, 2) > 0;
        put(x, &out, open ? EG_SLICE("\n\n") : EG_SLICE("\n"));
        put(x, &out, some ? EG_SLICE("allow:\n") : EG_SLICE("# allow:\n"));
        put(x, &out, eg_buf_slice(&lines));
        edit(x, x->old.n, 0, &out);
        eg_buf_done(&lines);
    }
    eg_buf_done(&out);
}

/* ---- rules of a service ---- */

static void patch_rules(struct patch *x, struct eg_slice service)
{
    const struct eg_fmt_part *rules =
        member(member(member(x->tree.root, EG_SLICE("services")), service), EG_SLICE("rules"));
    struct eg_buf out;
    if (!rules)
        return; /* they come from a preset or another file */
    bool list = rules->node->kind == EG_YAML_LIST, block = list && !rules->flow;
    eg_buf_init(&out, 1 << 20);
    size_t at = block ? line_end(x, rules->end) : list ? rules->end - 1 : rules->end;
    if (block && at == x->old.n && x->old.p[at - 1] != '\n')
        put(x, &out, EG_SLICE("\n"));
    for (unsigned i = 0; i < eg_learn_count(x->l); i++) {
        struct eg_learnt *r = eg_learn_at(x->l, i);
        if (r->kind != EG_LEARNT_RULE || !eg_slice_eq(r->service, service))
            continue;
        if (block)
            put_line(x, &out, indent_of(x, rules), r);
        else
            put(x, &out, EG_SLICE(", "));
        if (!block)
            put(x, &out, r->line);
        r->placed = true;
    }
    if (!list) { /* one rule alone becomes a list */
        struct eg_buf bracket;
        eg_buf_init(&bracket, 8);
        put(x, &bracket, EG_SLICE("["));
        edit(x, rules->node->at.offset, 0, &bracket);
        eg_buf_done(&bracket);
        put(x, &out, EG_SLICE("]"));
    }
    edit(x, at, 0, &out);
    eg_buf_done(&out);
}

static bool has(const struct eg_learn *l, enum eg_learnt_kind kind)
{
    for (unsigned i = 0; i < eg_learn_count(l); i++)
        if (eg_learn_at(l, i)->kind == kind)
            return true;
    return false;
}

/* ---- the whole ---- */

static void apply(struct patch *x, struct eg_buf *out)
{
    for (unsigned i = 1; i < x->count; i++) /* few; in the order of the file */
        for (unsigned k = i; k > 0 && x->edits[k].at < x->edits[k - 1].at; k--) {
            struct edit e = x->edits[k];
            x->edits[k] = x->edits[k - 1];
            x->edits[k - 1] = e;
        }
    size_t at = 0;
    for (unsigned i = 0; i < x->count; i++) {
        put(x, out, eg_slice(x->old.p + at, x->edits[i].at - at));
        put(x, out, x->edits[i].text);
        at = x->edits[i].at + x->edits[i].cut;
    }
    put(x, out, eg_slice_from(x->old, at));
}

static void make(struct patch *x, struct eg_buf *out)
{
    const struct eg_fmt_part *allow = member(x->tree.root, EG_SLICE("allow"));
    if (x->tree.root->flow || (allow && allow->flow && allow->node->count > 0)) {
        x->brackets = true;
        return;
    }
    mark_known(x);
    if (has(x->l, EG_LEARNT_ALLOW) && x->status == EG_OK)
        patch_allow(x);
    for (unsigned i = 0; i < eg_learn_count(x->l) && x->status == EG_OK; i++) {
        const struct eg_learnt *r = eg_learn_at(x->l, i);
        if (r->kind == EG_LEARNT_RULE && !r->placed)
            patch_rules(x, r->service);
    }
    apply(x, out);
}

static enum eg_status patch_once(const struct eg_learn *l, const struct eg_policy_file *file,
                                 struct eg_diags *diags, struct eg_buf *out, bool *brackets)
{
    struct patch x = { .l = l, .old = file->text };
    struct eg_source source = { .path = file->path, .text = file->text, .layer = file->layer };
    struct eg_yaml *root = NULL;
    eg_arena_init(&x.arena, ARENA_MAX);
    x.status = eg_yaml_read(&source, &x.arena, diags, &root);
    if (x.status == EG_OK && (eg_diags_count(diags, EG_DIAG_ERROR) > 0 || root->kind != EG_YAML_MAP))
        x.status = EG_INVALID;
    if (x.status == EG_OK)
        x.status = eg_fmt_parts(&source, root, &x.arena, &x.tree);
    if (x.status == EG_OK)
        make(&x, out);
    *brackets = x.brackets;
    eg_arena_done(&x.arena);
    return x.status;
}

enum eg_status eg_learn_patch(const struct eg_learn *l, const struct eg_policy_file *file,
                              struct eg_diags *diags, struct eg_buf *out, struct eg_err *err)
{
    bool brackets = false;
    enum eg_status st = patch_once(l, file, diags, out, &brackets);
    if (st != EG_OK || !brackets)
        return st;
    struct eg_buf text;
    struct eg_policy_file laid = *file;
    eg_buf_init(&text, 16 << 20);
    st = eg_policy_fmt(file, diags, &text, err);
    laid.text = eg_buf_slice(&text);
    if (st == EG_OK)
        st = patch_once(l, &laid, diags, out, &brackets);
    eg_buf_done(&text);
    return st;
}
