/* preset_fill.c - the parameters of a preset: what is given is checked by type, then stands in a copy of the tree where ${name} did.
 *
 * A value never meets the YAML parser again, and its type allows no byte that could end a URL's host, a template or a rule. A
 * parameter that takes many values repeats the element of the list that names it. */
#include "policy/preset.h"

#include <stdio.h>

#include "base/uri.h"

enum { TEXT_MAX = 8192, FILE_MAX_BYTES = 4096, EMAIL_MAX = 254 };

struct fill {
    const struct eg_preset *preset;
    const struct eg_preset_head *head;
    struct eg_place at;
    struct eg_arena *arena;
    struct eg_diags *diags;
    const struct eg_yaml *given[EG_PRESET_PARAMS]; /* of `with`; NULL: the standard value */
    const struct eg_yaml *bound[EG_PRESET_PARAMS]; /* the one of many that this copy is for */
    bool faults;                                   /* reported */
    enum eg_status status;
};

/* ---- types ---- */

static bool is_host(struct eg_slice s)
{
    struct eg_authority host;
    return eg_slice_index(s, '*') < 0 && eg_host_parse(s, &host, NULL) == EG_OK && !host.literal;
}

static bool is_label(struct eg_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool inner = c == '-' && i > 0 && i + 1 < s.n;
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || inner))
            return false;
    }
    return s.n > 0 && s.n <= 63;
}

static bool is_port(struct eg_slice s)
{
    unsigned long long n;
    return eg_slice_u64(s, &n) && n > 0 && n <= 65535 && s.p[0] != '0';
}

static bool is_plain_text(struct eg_slice s, const char * not )
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f || strchr(not, s.p[i]))
            return false;
    return s.n > 0;
}

static bool is_file(struct eg_slice s)
{
    return s.n > 1 && s.n <= FILE_MAX_BYTES && s.p[0] == '/' && s.p[s.n - 1] != '/' &&
           is_plain_text(s, "{}$") && !memmem(s.p, s.n, "/../", 4);
}

static bool is_email(struct eg_slice s)
{
    return s.n <= EMAIL_MAX && is_plain_text(s, ":{}$\"\\") && eg_slice_index(s, '@') > 0;
}

static const struct {
    bool (*is)(struct eg_slice s);
    const char *form;
} types[EG_PARAM_TYPES] = {
    [EG_PARAM_HOST] = { is_host, "the name of a host, such as registry.example.com" },
    [EG_PARAM_LABEL] = { is_label, "one label of a name: a-z 0-9 and - inside" },
    [EG_PARAM_PORT] = { is_port, "a port from 1 to 65535" },
    [EG_PARAM_FILE] = { is_file, "the absolute path of a file" },
    [EG_PARAM_EMAIL] = { is_email, "an e-mail address" },
};

/* ---- what is given ---- */

static int find_param(const struct eg_preset_head *head, struct eg_slice name)
{
    for (unsigned i = 0; i < head->count; i++)
        if (eg_slice_eq(head->params[i].name, name))
            return (int)i;
    return -1;
}

static void check_one(struct fill *f, const struct eg_preset_param *param,
                      const struct eg_yaml *node)
{
    if (types[param->type].is(node->text))
        return;
    f->faults = true;
    eg_diag_error(f->diags, "bad-value", node->at, NULL, "%.*s of the preset %s is %s",
                  (int)param->name.n, param->name.p, f->preset->name, types[param->type].form);
}

static void check_given(struct fill *f, const struct eg_preset_param *param,
                        const struct eg_yaml *node)
{
    if (node->kind == EG_YAML_TEXT) {
        check_one(f, param, node);
    } else if (!param->many || node->count == 0 || node->count > EG_PRESET_VALUES) {
        f->faults = true;
        eg_diag_error(f->diags, param->many ? "bad-value" : "bad-type", node->at, NULL,
                      param->many ? "%.*s takes 1 to %d values" : "%.*s takes one value",
                      (int)param->name.n, param->name.p, EG_PRESET_VALUES);
    } else {
        for (const struct eg_yaml *one = node->first; one; one = one->next)
            if (!one->bad)
                check_one(f, param, one);
    }
}

static void unknown(struct fill *f, const struct eg_yaml *node)
{
    char list[200] = "";
    size_t n = 0;
    for (unsigned i = 0; i < f->head->count && n + 40 < sizeof list; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%.*s", i ? ", " : "it has ",
                              (int)f->head->params[i].name.n, f->head->params[i].name.p);
    f->faults = true;
    eg_diag_error(f->diags, "unknown-key", node->name_at, n ? list : NULL,
                  "the preset %s has no parameter %s", f->preset->name,
                  n ? eg_quote(node->name).text : "at all");
}

static void missing(struct fill *f, const struct eg_preset_param *param)
{
    char fix[200];
    snprintf(fix, sizeof fix, "add `with: {%.*s: ...}`: %.*s", (int)param->name.n, param->name.p,
             (int)param->about.n, param->about.p);
    f->faults = true;
    eg_diag_error(f->diags, "missing-key", f->at, fix, "the preset %s needs the parameter %.*s",
                  f->preset->name, (int)param->name.n, param->name.p);
}

static void read_given(struct fill *f, const struct eg_yaml *with)
{
    bool bad = with && with->bad;
    for (const struct eg_yaml *node = with ? with->first : NULL; node; node = node->next) {
        int i = find_param(f->head, node->name);
        bad |= node->bad;
        if (node->bad)
            continue;
        if (i < 0) {
            unknown(f, node);
        } else {
            f->given[i] = node;
            check_given(f, &f->head->params[i], node);
        }
    }
    for (unsigned i = 0; i < f->head->count && !bad && !f->faults; i++)
        if (!f->given[i] && !f->head->params[i].standard.n)
            missing(f, &f->head->params[i]);
    f->faults |= bad;
}

/* ---- the copy ---- */

/* The next ${name} at or behind *from; its parameter, or -1. *open and *end are where it begins and ends. */
static int next_reference(const struct fill *f, struct eg_slice text, size_t *open, size_t *end)
{
    const char *at = *end < text.n ? memmem(text.p + *end, text.n - *end, "${", 2) : NULL;
    const char *close = at ? memchr(at, '}', text.n - (size_t)(at - text.p)) : NULL;
    if (!close)
        return -1;
    *open = (size_t)(at - text.p);
    *end = (size_t)(close - text.p) + 1;
    return find_param(f->head, eg_slice(at + 2, (size_t)(close - at) - 2));
}

/* A parameter of many values that the subtree names and that has no value yet, or -1. */
static int unbound(const struct fill *f, const struct eg_yaml *node)
{
    size_t open = 0, end = 0;
    int i;
    if (node->kind == EG_YAML_TEXT)
        while ((i = next_reference(f, node->text, &open, &end)) >= 0)
            if (f->given[i] && f->given[i]->kind == EG_YAML_LIST && !f->bound[i])
                return i;
    for (const struct eg_yaml *child = node->first; child; child = child->next)
        if ((i = unbound(f, child)) >= 0)
            return i;
    return -1;
}

static struct eg_slice value_of(const struct fill *f, int i, struct eg_yaml *copy)
{
    const struct eg_yaml *node = f->bound[i] ? f->bound[i] : f->given[i];
    if (!node)
        return f->head->params[i].standard;
    copy->at = node->at;
    return node->text;
}

static void fill_text(struct fill *f, const struct eg_yaml *node, struct eg_yaml *copy)
{
    char text[TEXT_MAX];
    size_t n = 0, open = 0, end = 0, from = 0;
    int i;
    while ((i = next_reference(f, node->text, &open, &end)) >= 0) {
        struct eg_slice value = value_of(f, i, copy);
        if (n + (open - from) + value.n >= sizeof text) {
            f->status = EG_TOO_BIG;
            return;
        }
        memcpy(text + n, node->text.p + from, open - from);
        memcpy(text + n + (open - from), value.p, value.n);
        n += open - from + value.n;
        copy->plain |= f->head->params[i].type == EG_PARAM_PORT && end == node->text.n;
        from = end;
    }
    if (from == 0)
        return;
    if (n + node->text.n - from >= sizeof text) {
        f->status = EG_TOO_BIG;
        return;
    }
    memcpy(text + n, node->text.p + from, node->text.n - from);
    n += node->text.n - from;
    char *p = eg_arena_dup(f->arena, eg_slice(text, n));
    if (!p)
        f->status = EG_NOMEM;
    copy->text = eg_slice(p, p ? n : 0);
}

static struct eg_yaml *fill_node(struct fill *f, const struct eg_yaml *node);

static void append(struct fill *f, struct eg_yaml *list, const struct eg_yaml *child)
{
    struct eg_yaml *copy = fill_node(f, child);
    if (!copy)
        return;
    *(list->last ? &list->last->next : &list->first) = copy;
    list->last = copy;
    list->count++;
}

/* An element as often as the parameter that it names has values. */
static void repeat(struct fill *f, struct eg_yaml *list, const struct eg_yaml *child)
{
    int i = list->kind == EG_YAML_LIST ? unbound(f, child) : -1;
    if (i < 0) {
        append(f, list, child);
        return;
    }
    for (const struct eg_yaml *one = f->given[i]->first; one; one = one->next) {
        f->bound[i] = one;
        repeat(f, list, child);
    }
    f->bound[i] = NULL;
}

static struct eg_yaml *fill_node(struct fill *f, const struct eg_yaml *node)
{
    struct eg_yaml *copy = eg_arena_alloc(f->arena, sizeof *copy);
    if (!copy) {
        f->status = EG_NOMEM;
        return NULL;
    }
    *copy = *node;
    copy->first = copy->last = copy->next = NULL;
    copy->count = 0;
    if (node->kind == EG_YAML_TEXT)
        fill_text(f, node, copy);
    for (const struct eg_yaml *child = node->first; child && f->status == EG_OK;
         child = child->next)
        repeat(f, copy, child);
    return copy;
}

enum eg_status eg_preset_read(const struct eg_preset *preset, const struct eg_yaml *with,
                              struct eg_place at, struct eg_arena *arena, struct eg_diags *diags,
                              struct eg_source *source, struct eg_preset_head *head,
                              struct eg_yaml **root)
{
    struct fill f = {
        .preset = preset, .head = head, .at = at, .arena = arena, .diags = diags, .status = EG_OK
    };
    struct eg_yaml *tree;
    enum eg_status st = eg_preset_open(preset, arena, diags, source, head, &tree);
    if (st != EG_OK)
        return st;
    read_given(&f, with);
    if (f.faults)
        return EG_INVALID;
    *root = fill_node(&f, tree);
    return f.status;
}
