/* show_text.c - the tree of `policy show` as a policy file: in brackets and quotes first, each line with its origin beside it, then in the one layout. */
#include "policy/fmt.h"
#include "policy/show.h"
#include "policy/yaml.h"

enum { TEXT_MAX = 64 << 20 };

struct writer {
    struct eg_buf *out;
    enum eg_status status;
};

static void put(struct writer *w, struct eg_slice s)
{
    if (w->status == EG_OK)
        w->status = eg_buf_put(w->out, s);
}

static void quoted(struct writer *w, struct eg_slice s)
{
    put(w, EG_SLICE("\""));
    for (size_t i = 0; i < s.n && w->status == EG_OK; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            put(w, EG_SLICE("\\"));
        put(w, eg_slice(s.p + i, 1));
    }
    put(w, EG_SLICE("\""));
}

/* Does anything below have an origin of its own? */
static bool has_origin(const struct eg_shown *n)
{
    for (const struct eg_shown *child = n->first; child; child = child->next)
        if (child->origin.n > 0 || has_origin(child))
            return true;
    return false;
}

static void on_one_line(struct writer *w, const struct eg_shown *n)
{
    bool map = n->kind == EG_SHOWN_MAP;
    if (n->kind == EG_SHOWN_TEXT)
        quoted(w, n->text);
    else if (n->kind == EG_SHOWN_BARE)
        put(w, n->text);
    if (n->kind == EG_SHOWN_TEXT || n->kind == EG_SHOWN_BARE)
        return;
    put(w, map ? EG_SLICE("{") : EG_SLICE("["));
    for (const struct eg_shown *child = n->first; child; child = child->next) {
        if (map)
            quoted(w, child->key);
        if (map)
            put(w, EG_SLICE(": "));
        on_one_line(w, child);
        if (child->next)
            put(w, EG_SLICE(", "));
    }
    put(w, map ? EG_SLICE("}") : EG_SLICE("]"));
}

static void origin(struct writer *w, const struct eg_shown *n)
{
    if (n->origin.n > 0)
        put(w, EG_SLICE("  # "));
    put(w, n->origin);
    put(w, EG_SLICE("\n"));
}

static void children(struct writer *w, const struct eg_shown *n, unsigned indent)
{
    for (const struct eg_shown *child = n->first; child; child = child->next) {
        bool branch = child->first && has_origin(child);
        for (unsigned i = 0; i < indent; i++)
            put(w, EG_SLICE(" "));
        if (n->kind == EG_SHOWN_MAP)
            quoted(w, child->key);
        put(w, n->kind == EG_SHOWN_MAP ? EG_SLICE(":") : EG_SLICE("-"));
        if (n->kind == EG_SHOWN_LIST && child->kind == EG_SHOWN_MAP)
            branch = false; /* a rule is one thing: the origin of its parts is its own */
        if (!branch) {
            put(w, EG_SLICE(" "));
            on_one_line(w, child);
            origin(w, child);
        } else {
            origin(w, child);
            children(w, child, indent + 2);
        }
    }
}

enum eg_status eg_policy_show_text(const struct eg_shown *root, struct eg_buf *out,
                                   struct eg_err *err)
{
    struct eg_buf rough;
    struct eg_diags *diags = NULL;
    eg_buf_init(&rough, TEXT_MAX);
    struct writer w = { &rough, eg_diags_new(&diags) };
    children(&w, root, 0);
    const struct eg_policy_file file = { "policy", eg_buf_slice(&rough), EG_LAYER_REPO, true };
    if (w.status == EG_OK && rough.len > EG_YAML_FILE_MAX) /* more than a file may be: as it is */
        w.status = eg_buf_put(out, eg_buf_slice(&rough));
    else if (w.status == EG_OK)
        w.status = eg_policy_fmt(&file, diags, out, err);
    eg_diags_free(diags);
    eg_buf_done(&rough);
    return w.status;
}
