/* check.c - the walk over a tree beside the schema: names, shapes and scalars; reserved and privileged keys.
 *
 * Scalars are typed by their row and never guessed: `no`, `0x10` and `1e3` stay text where text is wanted and are errors where
 * a number is. It knows nothing of what keys mean. */
#include "policy/check.h"

#include <stdio.h>

#include "policy/schema.h"

const char eg_trust_fix[] = EG_TRUST_FIX("FILE");

enum { NAMES_MAX = 1000 };

struct unit {
    const char *name;
    uint64_t factor;
};

static bool with_unit(struct eg_slice text, const struct unit *units, uint64_t *ret)
{
    unsigned long long value;
    size_t digits = 0;
    while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
        digits++;
    if (!eg_slice_u64(eg_slice(text.p, digits), &value) || value == 0)
        return false;
    for (; units->name; units++) {
        if (!eg_slice_eq(eg_slice_from(text, digits), eg_slice_str(units->name)))
            continue;
        if (value > UINT64_MAX / units->factor)
            return false;
        *ret = value * units->factor;
        return true;
    }
    return false;
}

bool eg_check_duration(struct eg_slice text, uint64_t *ret)
{
    static const struct unit units[] = {
        { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { NULL, 0 }
    };
    return with_unit(text, units, ret);
}

bool eg_check_size(struct eg_slice text, uint64_t *ret)
{
    static const struct unit units[] = {
        { "", 1 },  { "B", 1 }, { "KiB", 1ull << 10 }, { "MiB", 1ull << 20 }, { "GiB", 1ull << 30 },
        { NULL, 0 }
    };
    return with_unit(text, units, ret);
}

struct walk {
    const struct eg_source *source;
    struct eg_diags *diags;
};

static struct eg_place name_or_value(const struct eg_yaml *node)
{
    return node->name.p ? node->name_at : node->at;
}

/* "a, b or c" of "a|b|c". */
static void words_text(const char *words, char *out, size_t cap)
{
    size_t n = 0;
    for (const char *p = words; *p && n + 6 < cap; p++) {
        if (*p != '|')
            out[n++] = *p;
        else
            n += (size_t)snprintf(out + n, cap - n, "%s", strchr(p + 1, '|') ? ", " : " or ");
    }
    out[n] = '\0';
}

static const char *type_text(const struct eg_schema_key *key, char *out, size_t cap)
{
    switch (key->type) {
    case EG_TYPE_BOOL:
        return "true or false, without quotes";
    case EG_TYPE_NUMBER:
        return "a number in plain digits";
    case EG_TYPE_SIZE:
        return "a size above 0 such as 4096, 64KiB or 8MiB";
    case EG_TYPE_DURATION:
        return "a time above 0 such as 500ms, 10s, 5m or 24h";
    case EG_TYPE_WORD:
        words_text(key->words, out, cap);
        return out;
    default:
        return "text";
    }
}

static bool parse_scalar(struct eg_yaml *node, const struct eg_schema_key *key)
{
    unsigned long long number;
    int word;
    switch (key->type) {
    case EG_TYPE_BOOL:
        node->number = eg_slice_eq(node->text, EG_SLICE("true"));
        return node->plain && (node->number || eg_slice_eq(node->text, EG_SLICE("false")));
    case EG_TYPE_NUMBER:
        if (!node->plain || !eg_slice_u64(node->text, &number) ||
            (node->text.n > 1 && node->text.p[0] == '0'))
            return false;
        node->number = number;
        return true;
    case EG_TYPE_SIZE:
        return eg_check_size(node->text, &node->number);
    case EG_TYPE_DURATION:
        return eg_check_duration(node->text, &node->number);
    case EG_TYPE_WORD:
        word = eg_schema_word(key->words, node->text);
        node->number = word < 0 ? 0 : (uint64_t)word;
        return word >= 0;
    default:
        return true;
    }
}

static void bad_type(struct walk *w, struct eg_yaml *node, const char *fix, const char *wanted)
{
    node->bad = true;
    if (node->name.p)
        eg_diag_error(w->diags, "bad-type", node->at, fix, "%.*s must be %s", (int)node->name.n,
                      node->name.p, wanted);
    else
        eg_diag_error(w->diags, "bad-type", node->at, fix, "this must be %s", wanted);
}

static void check_scalar(struct walk *w, struct eg_yaml *node, const struct eg_schema_key *key)
{
    char wanted[120];
    if (key->type == EG_TYPE_TEXT && node->text.n == 0 && node->plain) {
        bad_type(w, node, "remove the key, or give it a value", "text; it is empty");
        return;
    }
    if (!parse_scalar(node, key)) {
        bool quoted = !node->plain && (key->type == EG_TYPE_BOOL || key->type == EG_TYPE_NUMBER);
        bad_type(w, node, quoted ? "remove the quotes" : NULL,
                 type_text(key, wanted, sizeof wanted));
        return;
    }
    bool ranged =
        key->type == EG_TYPE_NUMBER || key->type == EG_TYPE_SIZE || key->type == EG_TYPE_DURATION;
    if (!ranged || (node->number >= key->min && node->number <= key->max))
        return;
    node->bad = true;
    const char *unit = key->type == EG_TYPE_SIZE       ? " bytes"
                       : key->type == EG_TYPE_DURATION ? " ms"
                                                       : "";
    if (key->min == key->max)
        eg_diag_error(w->diags, "bad-value", node->at, NULL, "only %llu is known here",
                      (unsigned long long)key->min);
    else
        eg_diag_error(w->diags, "bad-value", node->at, NULL, "this must be from %llu to %llu%s",
                      (unsigned long long)key->min, (unsigned long long)key->max, unit);
}

/* Shapes as words: "text", "a list", "a map". */
static void bad_shape(struct walk *w, struct eg_yaml *node, const struct eg_schema_key *key)
{
    char wanted[200] = "";
    char scalar[120];
    size_t n = 0;
    if (key->shapes & EG_SHAPE_SCALAR)
        n += (size_t)snprintf(wanted, sizeof wanted, "%s", type_text(key, scalar, sizeof scalar));
    if (key->shapes & EG_SHAPE_LIST)
        n += (size_t)snprintf(wanted + n, sizeof wanted - n, "%sa list", n ? " or " : "");
    if (key->shapes & EG_SHAPE_MAP)
        snprintf(wanted + n, sizeof wanted - n, "%sa map", n ? " or " : "");
    bad_type(w, node, NULL, wanted);
}

static void check_node(struct walk *w, struct eg_yaml *node, uint32_t row);

static void unknown_key(struct walk *w, struct eg_yaml *node, uint32_t row)
{
    char fix[80];
    const char *near = eg_schema_nearest(row, node->name);
    node->bad = true;
    if (near)
        snprintf(fix, sizeof fix, "did you mean %s?", near);
    eg_diag_error(w->diags, "unknown-key", node->name_at, near ? fix : NULL,
                  "there is no key %s here", eg_quote(node->name).text);
}

/* What makes a known key unusable in this file or version. */
static bool refused(struct walk *w, struct eg_yaml *node, const struct eg_schema_key *key)
{
    const char *name = eg_schema_name(node->schema);
    if (!w->source->trusted && !(key->flags & EG_KEY_UNTRUSTED)) {
        eg_diag_error(w->diags, "untrusted-key", name_or_value(node), eg_trust_fix,
                      "an untrusted file may not contain %s", name);
        node->bad = true;
    } else if (key->flags & EG_KEY_RESERVED) {
        eg_diag_error(w->diags, "not-available", name_or_value(node), NULL,
                      "%s is not available in this version", name);
        node->bad = true;
    }
    return node->bad;
}

static void check_map(struct walk *w, struct eg_yaml *map, uint32_t row)
{
    const struct eg_schema_key *key = row ? eg_schema_each(row - 1) : NULL;
    bool any = key && (key->flags & EG_KEY_ANY_NAME);
    if (any && map->count > NAMES_MAX) {
        eg_diag_error(w->diags, "too-large", name_or_value(map), NULL, "there are more than %d %s",
                      NAMES_MAX, eg_schema_name(row));
        map->bad = true;
        return;
    }
    for (struct eg_yaml *child = map->first; child && !eg_diags_full(w->diags);
         child = child->next) {
        if (child->bad)
            continue;
        uint32_t found = any ? eg_schema_element(row) : eg_schema_child(row, child->name);
        if (found == 0)
            unknown_key(w, child, row);
        else
            check_node(w, child, found);
    }
}

/* Required keys of a map; the file itself has row 0. */
static void check_required(struct walk *w, struct eg_yaml *map, uint32_t row)
{
    for (const struct eg_yaml *child = row ? map->first : NULL; child; child = child->next)
        map->bad |= child->bad; /* one problem at a time: what is missing may be what is misspelt */
    if (map->bad)
        return;
    for (unsigned i = 0;; i++) {
        const struct eg_schema_key *key = eg_schema_each(i);
        if (!key)
            return;
        const char *name = eg_schema_name(i + 1);
        if (!(key->flags & EG_KEY_REQUIRED) || !eg_schema_is_child(row, i + 1) ||
            eg_yaml_get(map, name))
            continue;
        struct eg_place at = map->name.p ? map->name_at : map->at;
        char fix[80];
        snprintf(fix, sizeof fix, "add `%s: %s`", name,
                 !row ? "1" : key->shapes & EG_SHAPE_SCALAR ? "..." : "[...]");
        eg_diag_error(w->diags, "missing-key", at, fix, "the key %s is missing", name);
        map->bad = true;
    }
}

static void check_node(struct walk *w, struct eg_yaml *node, uint32_t row)
{
    const struct eg_schema_key *key = eg_schema_each(row - 1);
    node->schema = row;
    if (refused(w, node, key))
        return;
    bool empty = node->kind == EG_YAML_TEXT && node->plain && node->text.n == 0;
    if (empty &&
        !(key->shapes & EG_SHAPE_SCALAR)) /* `allow:` with nothing behind it is an empty list */
        node->kind = key->shapes & EG_SHAPE_LIST ? EG_YAML_LIST : EG_YAML_MAP;
    unsigned shape = node->kind == EG_YAML_TEXT   ? EG_SHAPE_SCALAR
                     : node->kind == EG_YAML_LIST ? EG_SHAPE_LIST
                                                  : EG_SHAPE_MAP;
    if (!(key->shapes & shape)) {
        bad_shape(w, node, key);
    } else if (node->kind == EG_YAML_TEXT) {
        check_scalar(w, node, key);
    } else if (node->kind == EG_YAML_MAP) {
        check_map(w, node, row);
        if (!(key->flags & EG_KEY_ANY_NAME))
            check_required(w, node, row);
    } else {
        uint32_t element = eg_schema_element(row);
        for (struct eg_yaml *child = node->first; child && !eg_diags_full(w->diags);
             child = child->next)
            if (!child->bad && element)
                check_node(w, child, element);
    }
}

void eg_check_tree(struct eg_yaml *root, const struct eg_source *source, struct eg_diags *diags)
{
    struct walk w = { source, diags };
    if (root->bad)
        return;
    if (root->kind != EG_YAML_MAP) {
        root->bad = true;
        eg_diag_error(diags, "bad-type", root->at, "begin the file with `egress: 1`",
                      "a policy file is a map of keys");
        return;
    }
    check_map(&w, root, 0);
    check_required(&w, root, 0);
}
