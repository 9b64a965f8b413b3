/* yaml_events.c - one libfyaml event after the other grows the tree.
 *
 * Refused here: anchors, aliases, merge keys, tags, a second document, doubles of a key (by a keyed hash), keys that are not text, control bytes
 * that an escape made, and what is above a ceiling. */
#include "policy/yaml_reader.h"

/* libfyaml marks what is behind an anchor's or alias' sign; we mark the sign. */
static struct eg_place with_sign(struct eg_place at, char sign)
{
    if (at.offset > 0 && at.source->text.p[at.offset - 1] == sign) {
        at.offset--;
        at.width++;
    }
    return at;
}

static struct eg_place place_of(const struct eg_yaml_reader *r, struct fy_event *e)
{
    const struct fy_mark *from = fy_event_start_mark(e);
    const struct fy_mark *to = fy_event_end_mark(e);
    size_t n = r->source->text.n;
    struct eg_place at = eg_place_at(r->source, (uint32_t)n, 1);
    if (!from || from->input_pos > n)
        return at;
    at.offset = (uint32_t)from->input_pos;
    bool collection = e->type == FYET_MAPPING_START || e->type == FYET_SEQUENCE_START;
    if (!collection && to && to->input_pos > from->input_pos && to->input_pos <= n)
        at.width = (uint32_t)(to->input_pos - from->input_pos);
    char before = at.offset > 0 ? r->source->text.p[at.offset - 1] : 0;
    if (e->type == FYET_SCALAR && e->scalar.value &&
        fy_token_scalar_style(e->scalar.value) != FYSS_PLAIN &&
        (before == '"' || before == '\'')) { /* 0.7 marks what is inside of the quotes */
        bool empty = !to || to->input_pos <= from->input_pos;
        at.offset--;
        at.width = (empty ? 0 : at.width) + 2;
    }
    return at;
}

static struct eg_place token_place(const struct eg_yaml_reader *r, struct fy_token *token)
{
    const struct fy_mark *from = token ? fy_token_start_mark(token) : NULL;
    struct eg_place at = eg_place_at(r->source, 0, 1);
    if (from && from->input_pos <= r->source->text.n)
        at.offset = (uint32_t)from->input_pos;
    return at;
}

void eg_yaml_stop(struct eg_yaml_reader *r, enum eg_status status)
{
    r->stopped = true;
    if (r->status == EG_OK)
        r->status = status;
}

struct eg_yaml *eg_yaml_new_node(struct eg_yaml_reader *r, enum eg_yaml_kind kind,
                                 struct eg_place at)
{
    if (++r->nodes > EG_YAML_NODES_MAX) {
        eg_diag_error(r->diags, "too-large", at, NULL, "the file has more than %d values",
                      EG_YAML_NODES_MAX);
        eg_yaml_stop(r, EG_INVALID);
        return NULL;
    }
    struct eg_yaml *node = eg_arena_alloc(r->arena, sizeof *node);
    if (!node) {
        eg_yaml_stop(r, EG_NOMEM);
        return NULL;
    }
    node->kind = kind;
    node->at = at;
    return node;
}

/* Registers a key of the open map; a second one of the same name is an error at the second. */
static void set_key(struct eg_yaml_reader *r, struct eg_slice name, struct eg_place at)
{
    unsigned d = r->depth - 1;
    r->key[d] = name;
    r->key_at[d] = at;
    r->key_bad[d] = false;
    if (eg_slice_eq(name, EG_SLICE("<<"))) {
        eg_diag_error(r->diags, "anchor", at, "write the keys out",
                      "merge keys are not part of the policy language");
        r->key_bad[d] = true;
        return;
    }
    if (!r->keys[d] && eg_table_new(&r->keys[d], EG_YAML_NODES_MAX) != EG_OK) {
        eg_yaml_stop(r, EG_NOMEM);
        return;
    }
    struct eg_place *first = eg_arena_alloc(r->arena, sizeof *first);
    if (!first) {
        eg_yaml_stop(r, EG_NOMEM);
        return;
    }
    *first = at;
    enum eg_status st = eg_table_add(r->keys[d], name, first);
    if (st == EG_EXISTS) {
        uint32_t line, column;
        eg_source_position(r->source, ((struct eg_place *)eg_table_get(r->keys[d], name))->offset,
                           &line, &column);
        eg_diag_error(r->diags, "duplicate-key", at, "keep one of the two",
                      "the key %s stands at line %u already", eg_quote(name).text, line);
        r->key_bad[d] = true;
    } else if (st != EG_OK) {
        eg_yaml_stop(r, st);
    }
}

/* Hangs the node below the open collection, or makes it the root. */
static void attach(struct eg_yaml_reader *r, struct eg_yaml *node)
{
    if (r->depth == 0) {
        if (!r->root)
            r->root = node;
        return;
    }
    unsigned d = r->depth - 1;
    struct eg_yaml *parent = r->open[d];
    if (parent->kind == EG_YAML_MAP) {
        node->name = r->key[d];
        node->name_at = r->key_at[d];
        node->bad |= r->key_bad[d];
        r->key[d] = EG_SLICE_NONE;
    }
    if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    parent->count++;
}

static bool wants_key(const struct eg_yaml_reader *r)
{
    return r->depth > 0 && r->open[r->depth - 1]->kind == EG_YAML_MAP && !r->key[r->depth - 1].p;
}

/* Anchors and tags on any node. True when there was one: the value then says nothing more. */
static bool refuse_properties(struct eg_yaml_reader *r, struct fy_token *anchor,
                              struct fy_token *tag)
{
    if (anchor)
        eg_diag_error(r->diags, "anchor", with_sign(token_place(r, anchor), '&'),
                      "write the value out where it is used",
                      "anchors are not part of the policy language");
    if (tag)
        eg_diag_error(r->diags, "tag", token_place(r, tag),
                      "remove it: values are typed by their key",
                      "tags are not part of the policy language");
    return anchor || tag;
}

/* What an escape brings is judged as what stands in the file: a terminal sees both. */
static bool has_hidden(struct eg_slice text)
{
    for (size_t i = 0, n; i < text.n; i += n)
        if ((n = eg_yaml_visible(text.p + i, text.n - i)) == 0)
            return true;
    return false;
}

/* The decoded text of a scalar, in the arena; p NULL when the reader was stopped. Where it can't be had, *bad, a diagnostic, and the text
 * as it stands in the file. */
static struct eg_slice text_of(struct eg_yaml_reader *r, struct fy_token *token, struct eg_place at,
                               bool *bad)
{
    struct eg_slice source = r->source->text;
    enum fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;
    bool quoted = style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
    const char *fault =
        quoted && at.offset < source.n ? eg_yaml_quoted_fault(source, at.offset) : NULL;
    size_t n = 0;
    const char *p = "";
    if (fault) {
        eg_diag_error(r->diags, "syntax", at, "write it on one line in double quotes", "%s", fault);
        *bad = true;
        p = source.p + at.offset;
        n = at.width < source.n - at.offset ? at.width : source.n - at.offset;
    } else if (token) {
        p = fy_token_get_text(token, &n);
    }
    char *copy = p ? eg_arena_dup(r->arena, eg_slice(p, n)) : NULL;
    if (!copy) {
        eg_yaml_stop(r, EG_NOMEM);
        return EG_SLICE_NONE;
    }
    return eg_slice(copy, n);
}

static void on_scalar(struct eg_yaml_reader *r, struct fy_event *e)
{
    struct eg_place at = place_of(r, e);
    bool bad = false;
    struct eg_slice text = text_of(r, e->scalar.value, at, &bad);
    if (!text.p)
        return;
    bad |= refuse_properties(r, e->scalar.anchor, e->scalar.tag);
    if (!bad && has_hidden(text)) {
        eg_diag_error(r->diags, "bad-byte", at, NULL,
                      "the text has a line break, a control or an invisible character in it");
        bad = true;
    }
    if (wants_key(r)) {
        set_key(r, text, at);
        r->key_bad[r->depth - 1] |= bad;
        return;
    }
    struct eg_yaml *node = eg_yaml_new_node(r, EG_YAML_TEXT, at);
    if (!node)
        return;
    node->text = text;
    node->plain = !e->scalar.value || fy_token_scalar_style(e->scalar.value) == FYSS_PLAIN;
    node->bad = bad;
    if (text.n == 0 && node->plain && r->depth > 0) { /* an empty value has no place of its own */
        const struct eg_yaml *parent = r->open[r->depth - 1];
        node->at = parent->kind == EG_YAML_MAP ? r->key_at[r->depth - 1] : parent->at;
    }
    attach(r, node);
}

static void on_alias(struct eg_yaml_reader *r, struct fy_event *e)
{
    struct eg_place at = with_sign(place_of(r, e), '*');
    eg_diag_error(r->diags, "anchor", at, "write the value out; a wildcard stands in quotes",
                  "aliases are not part of the policy language");
    if (wants_key(r)) {
        r->key[r->depth - 1] = EG_SLICE("*");
        r->key_at[r->depth - 1] = at;
        r->key_bad[r->depth - 1] = true;
        return;
    }
    struct eg_yaml *node = eg_yaml_new_node(r, EG_YAML_TEXT, at);
    if (!node)
        return;
    node->bad = true;
    attach(r, node);
}

void eg_yaml_report_depth(struct eg_diags *diags, struct eg_place at)
{
    eg_diag_error(diags, "too-large", at, NULL, "lists and maps are nested more than %d deep",
                  EG_YAML_DEPTH_MAX);
}

static void on_start(struct eg_yaml_reader *r, struct fy_event *e, enum eg_yaml_kind kind)
{
    struct eg_place at = place_of(r, e);
    bool map = kind == EG_YAML_MAP;
    if (wants_key(r)) {
        eg_diag_error(r->diags, "bad-type", at, NULL, "a key must be text, not a %s",
                      map ? "map" : "list");
        r->skip = 1;
        return;
    }
    bool bad = map ? refuse_properties(r, e->mapping_start.anchor, e->mapping_start.tag)
                   : refuse_properties(r, e->sequence_start.anchor, e->sequence_start.tag);
    if (r->depth == EG_YAML_DEPTH_MAX) {
        eg_yaml_report_depth(r->diags, at);
        eg_yaml_stop(r, EG_INVALID);
        return;
    }
    struct eg_yaml *node = eg_yaml_new_node(r, kind, at);
    if (!node)
        return;
    node->bad = bad;
    attach(r, node);
    r->open[r->depth] = node;
    r->key[r->depth] = EG_SLICE_NONE;
    r->key_bad[r->depth] = false;
    r->depth++;
}

void eg_yaml_on_end(struct eg_yaml_reader *r)
{
    if (r->depth == 0)
        return;
    r->depth--;
    eg_table_free(r->keys[r->depth], NULL);
    r->keys[r->depth] = NULL;
}

static void on_document(struct eg_yaml_reader *r, struct fy_event *e)
{
    const struct fy_mark *mark = fy_event_start_mark(e);
    struct eg_place at = eg_place_at(r->source, 0, 1);
    if (mark && mark->input_pos <= r->source->text.n)
        at.offset = (uint32_t)mark->input_pos;
    if (++r->documents < 2)
        return;
    if (!mark)
        at.offset = (uint32_t)(r->source->text.n ? r->source->text.n - 1 : 0);
    eg_diag_error(r->diags, "multi-doc", at, "keep one policy in a file",
                  "a second document begins here");
    eg_yaml_stop(r, EG_INVALID);
}

/* Inside a collection that stands where a key should: count our way out, then pretend that a key was there. */
static bool skipped(struct eg_yaml_reader *r, struct fy_event *e)
{
    if (r->skip == 0)
        return false;
    if (e->type == FYET_MAPPING_START || e->type == FYET_SEQUENCE_START)
        r->skip++;
    if (r->skip > EG_YAML_DEPTH_MAX) {
        eg_yaml_report_depth(r->diags, place_of(r, e));
        eg_yaml_stop(r, EG_INVALID);
        return true;
    }
    if (e->type != FYET_MAPPING_END && e->type != FYET_SEQUENCE_END)
        return true;
    if (--r->skip == 0) {
        r->key[r->depth - 1] = EG_SLICE("?");
        r->key_at[r->depth - 1] = place_of(r, e);
        r->key_bad[r->depth - 1] = true;
    }
    return true;
}

void eg_yaml_on_event(struct eg_yaml_reader *r, struct fy_event *e)
{
    if (skipped(r, e))
        return;
    switch (e->type) {
    case FYET_DOCUMENT_START:
        on_document(r, e);
        break;
    case FYET_SCALAR:
        on_scalar(r, e);
        break;
    case FYET_ALIAS:
        on_alias(r, e);
        break;
    case FYET_MAPPING_START:
        on_start(r, e, EG_YAML_MAP);
        break;
    case FYET_SEQUENCE_START:
        on_start(r, e, EG_YAML_LIST);
        break;
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        eg_yaml_on_end(r);
        break;
    default:
        break;
    }
}
