/* yaml.c - from libfyaml's events to a tree with places.
 *
 * The event interface only: documents of libfyaml take quadratic time in keys and forty times the memory (and would resolve
 * aliases). Ceilings on size, depth and nodes are checked while events come, so that a hostile file stops early.
 * libfyaml prints nothing: its diagnostics are collected and become ours. */
#include "policy/yaml.h"

#include <libfyaml.h>
#include <stdio.h>

#include "base/table.h"

struct reader {
    struct eg_source *source;
    struct eg_arena *arena;
    struct eg_diags *diags;
    struct eg_yaml *root;
    struct eg_yaml *open[EG_YAML_DEPTH_MAX]; /* from the root to where we are */
    struct eg_table *keys[EG_YAML_DEPTH_MAX];
    struct eg_slice key[EG_YAML_DEPTH_MAX]; /* the key that waits for its value; p NULL: none */
    struct eg_place key_at[EG_YAML_DEPTH_MAX];
    bool key_bad[EG_YAML_DEPTH_MAX];
    unsigned depth;
    unsigned nodes;
    unsigned documents;
    unsigned skip; /* depth inside of a collection that stands as a key */
    bool stopped;
    enum eg_status status;
};

/* libfyaml marks what is behind an anchor's or alias' sign; we mark the sign. */
static struct eg_place with_sign(struct eg_place at, char sign)
{
    if (at.offset > 0 && at.source->text.p[at.offset - 1] == sign) {
        at.offset--;
        at.width++;
    }
    return at;
}

static struct eg_place place_of(const struct reader *r, struct fy_event *e)
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
    if (e->type == FYET_SCALAR && e->scalar.value && fy_token_scalar_style(e->scalar.value) != FYSS_PLAIN &&
        (before == '"' || before == '\'')) { /* 0.7 marks what is inside of the quotes */
        at.offset--;
        at.width += 2;
    }
    return at;
}

static struct eg_place token_place(const struct reader *r, struct fy_token *token)
{
    const struct fy_mark *from = token ? fy_token_start_mark(token) : NULL;
    struct eg_place at = eg_place_at(r->source, 0, 1);
    if (from && from->input_pos <= r->source->text.n)
        at.offset = (uint32_t)from->input_pos;
    return at;
}

static void stop(struct reader *r, enum eg_status status)
{
    r->stopped = true;
    if (r->status == EG_OK)
        r->status = status;
}

static struct eg_yaml *new_node(struct reader *r, enum eg_yaml_kind kind, struct eg_place at)
{
    if (++r->nodes > EG_YAML_NODES_MAX) {
        eg_diag_error(r->diags, "too-large", at, NULL, "the file has more than %d values", EG_YAML_NODES_MAX);
        stop(r, EG_INVALID);
        return NULL;
    }
    struct eg_yaml *node = eg_arena_alloc(r->arena, sizeof *node);
    if (!node) {
        stop(r, EG_NOMEM);
        return NULL;
    }
    node->kind = kind;
    node->at = at;
    return node;
}

/* Registers a key of the open map; a second one of the same name is an error at the second. */
static void set_key(struct reader *r, struct eg_slice name, struct eg_place at)
{
    unsigned d = r->depth - 1;
    r->key[d] = name;
    r->key_at[d] = at;
    r->key_bad[d] = false;
    if (eg_slice_eq(name, EG_SLICE("<<"))) {
        eg_diag_error(r->diags, "anchor", at, "write the keys out", "merge keys are not part of the policy language");
        r->key_bad[d] = true;
        return;
    }
    if (!r->keys[d] && eg_table_new(&r->keys[d], EG_YAML_NODES_MAX) != EG_OK) {
        stop(r, EG_NOMEM);
        return;
    }
    struct eg_place *first = eg_arena_alloc(r->arena, sizeof *first);
    if (!first) {
        stop(r, EG_NOMEM);
        return;
    }
    *first = at;
    enum eg_status st = eg_table_add(r->keys[d], name, first);
    if (st == EG_EXISTS) {
        uint32_t line, column;
        eg_source_position(r->source, ((struct eg_place *)eg_table_get(r->keys[d], name))->offset, &line, &column);
        eg_diag_error(r->diags, "duplicate-key", at, "keep one of the two", "the key %s stands at line %u already",
                      eg_quote(name).text, line);
        r->key_bad[d] = true;
    } else if (st != EG_OK) {
        stop(r, st);
    }
}

/* Hangs the node below the open collection, or makes it the root. */
static void attach(struct reader *r, struct eg_yaml *node)
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

static bool wants_key(const struct reader *r)
{
    return r->depth > 0 && r->open[r->depth - 1]->kind == EG_YAML_MAP && !r->key[r->depth - 1].p;
}

/* Anchors and tags on any node. True when there was one: the value then says nothing more. */
static bool refuse_properties(struct reader *r, struct fy_token *anchor, struct fy_token *tag)
{
    if (anchor)
        eg_diag_error(r->diags, "anchor", with_sign(token_place(r, anchor), '&'), "write the value out where it is used",
                      "anchors are not part of the policy language");
    if (tag)
        eg_diag_error(r->diags, "tag", token_place(r, tag), "remove it: values are typed by their key",
                      "tags are not part of the policy language");
    return anchor || tag;
}

static bool has_control(struct eg_slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
            return true;
    return false;
}

static void on_scalar(struct reader *r, struct fy_event *e)
{
    size_t n = 0;
    const char *p = e->scalar.value ? fy_token_get_text(e->scalar.value, &n) : "";
    char *copy = eg_arena_dup(r->arena, eg_slice(p ? p : "", p ? n : 0));
    struct eg_place at = place_of(r, e);
    if (!copy) {
        stop(r, EG_NOMEM);
        return;
    }
    struct eg_slice text = eg_slice(copy, p ? n : 0);
    bool bad = refuse_properties(r, e->scalar.anchor, e->scalar.tag);
    if (!bad && has_control(text)) {
        eg_diag_error(r->diags, "bad-byte", at, NULL, "the text has a line break or control character in it");
        bad = true;
    }
    if (wants_key(r)) {
        set_key(r, text, at);
        r->key_bad[r->depth - 1] |= bad;
        return;
    }
    struct eg_yaml *node = new_node(r, EG_YAML_TEXT, at);
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

static void on_alias(struct reader *r, struct fy_event *e)
{
    struct eg_place at = with_sign(place_of(r, e), '*');
    eg_diag_error(r->diags, "anchor", at, "write the value out", "aliases are not part of the policy language");
    if (wants_key(r)) {
        r->key[r->depth - 1] = EG_SLICE("*");
        r->key_at[r->depth - 1] = at;
        r->key_bad[r->depth - 1] = true;
        return;
    }
    struct eg_yaml *node = new_node(r, EG_YAML_TEXT, at);
    if (!node)
        return;
    node->bad = true;
    attach(r, node);
}

static void too_deep(struct eg_diags *diags, struct eg_place at)
{
    eg_diag_error(diags, "too-large", at, NULL, "lists and maps are nested more than %d deep", EG_YAML_DEPTH_MAX);
}

static void on_start(struct reader *r, struct fy_event *e, enum eg_yaml_kind kind)
{
    struct eg_place at = place_of(r, e);
    bool map = kind == EG_YAML_MAP;
    if (wants_key(r)) {
        eg_diag_error(r->diags, "bad-type", at, NULL, "a key must be text, not a %s", map ? "map" : "list");
        r->skip = 1;
        return;
    }
    bool bad = map ? refuse_properties(r, e->mapping_start.anchor, e->mapping_start.tag)
                   : refuse_properties(r, e->sequence_start.anchor, e->sequence_start.tag);
    if (r->depth == EG_YAML_DEPTH_MAX) {
        too_deep(r->diags, at);
        stop(r, EG_INVALID);
        return;
    }
    struct eg_yaml *node = new_node(r, kind, at);
    if (!node)
        return;
    node->bad = bad;
    attach(r, node);
    r->open[r->depth] = node;
    r->key[r->depth] = EG_SLICE_NONE;
    r->key_bad[r->depth] = false;
    r->depth++;
}

static void on_end(struct reader *r)
{
    if (r->depth == 0)
        return;
    r->depth--;
    eg_table_free(r->keys[r->depth], NULL);
    r->keys[r->depth] = NULL;
}

static void on_document(struct reader *r, struct fy_event *e)
{
    const struct fy_mark *mark = fy_event_start_mark(e);
    struct eg_place at = eg_place_at(r->source, 0, 1);
    if (mark && mark->input_pos <= r->source->text.n)
        at.offset = (uint32_t)mark->input_pos;
    if (++r->documents < 2)
        return;
    if (!mark)
        at.offset = (uint32_t)(r->source->text.n ? r->source->text.n - 1 : 0);
    eg_diag_error(r->diags, "multi-doc", at, "keep one policy in a file", "a second document begins here");
    stop(r, EG_INVALID);
}

/* Inside a collection that stands where a key should: count our way out, then pretend that a key was there. */
static bool skipped(struct reader *r, struct fy_event *e)
{
    if (r->skip == 0)
        return false;
    if (e->type == FYET_MAPPING_START || e->type == FYET_SEQUENCE_START)
        r->skip++;
    if (e->type != FYET_MAPPING_END && e->type != FYET_SEQUENCE_END)
        return true;
    if (--r->skip == 0) {
        r->key[r->depth - 1] = EG_SLICE("?");
        r->key_at[r->depth - 1] = place_of(r, e);
        r->key_bad[r->depth - 1] = true;
    }
    return true;
}

static void on_event(struct reader *r, struct fy_event *e)
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
        on_end(r);
        break;
    default:
        break;
    }
}

/* libfyaml's own finding, first one only: what follows is a consequence. */
static void report_syntax(struct reader *r, struct fy_diag *diag)
{
    void *cursor = NULL;
    struct fy_diag_error *error = fy_diag_errors_iterate(diag, &cursor);
    uint32_t line = error && error->line > 0 ? (uint32_t)error->line : 1;
    uint32_t column = error && error->column > 0 ? (uint32_t)error->column : 1;
    struct eg_place at = eg_place_at(r->source, eg_source_offset(r->source, line, column), 1);
    struct eg_quoted message = eg_quote(eg_slice_str(error && error->msg ? error->msg : "this is not valid YAML"));
    long bracket = eg_yaml_open_bracket(r->source->text);
    size_t n = strlen(message.text);
    const char *text = message.text;
    if (text[0] == '\'' && n > 2) {
        message.text[n - 1] = '\0';
        text++;
    }
    if (bracket >= 0) {
        char fix[64];
        uint32_t open_line, open_column;
        eg_source_position(r->source, (uint32_t)bracket, &open_line, &open_column);
        snprintf(fix, sizeof fix, "close the %c that was opened at %u:%u", r->source->text.p[bracket], open_line, open_column);
        eg_diag_error(r->diags, "syntax", at, fix, "%s ('%c' was opened at %u:%u and is not closed)", text,
                      r->source->text.p[bracket], open_line, open_column);
        return;
    }
    eg_diag_error(r->diags, "syntax", at, NULL, "%s", text);
}

static enum eg_status parse(struct reader *r)
{
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    diag_cfg.colorize = false;
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    if (!diag)
        return EG_NOMEM;
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE |
                                         FYPCF_DISABLE_MMAP_OPT,
                                .diag = diag };
    struct fy_parser *parser = fy_parser_create(&cfg);
    if (!parser || fy_parser_set_string(parser, r->source->text.p, r->source->text.n) != 0) {
        stop(r, EG_NOMEM);
    } else {
        struct fy_event *e;
        while (!r->stopped && (e = fy_parser_parse(parser)) != NULL) {
            on_event(r, e);
            if (eg_diags_full(r->diags))
                stop(r, EG_INVALID);
            fy_parser_event_free(parser, e);
        }
        if (!r->stopped && fy_parser_get_stream_error(parser)) {
            report_syntax(r, diag);
            stop(r, EG_INVALID);
        }
    }
    if (parser)
        fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    while (r->depth > 0)
        on_end(r);
    return r->status;
}

enum eg_status eg_yaml_read(struct eg_source *source, struct eg_arena *arena, struct eg_diags *diags, struct eg_yaml **ret)
{
    struct reader r = { .source = source, .arena = arena, .diags = diags, .status = EG_OK };
    if (source->text.n > EG_YAML_FILE_MAX) {
        eg_diag_error(diags, "too-large", eg_place_at(source, 0, 0), NULL, "the file is larger than %d MiB",
                      EG_YAML_FILE_MAX >> 20);
        return EG_INVALID;
    }
    if (eg_source_index(source, arena) != EG_OK)
        return EG_NOMEM;
    if (!eg_yaml_scan(source, diags))
        return EG_INVALID;
    long deep = eg_yaml_too_deep(source->text);
    if (deep >= 0) {
        too_deep(diags, eg_place_at(source, (uint32_t)deep, 1));
        return EG_INVALID;
    }
    enum eg_status st = source->text.n > 0 ? parse(&r) : EG_OK;
    if (st != EG_OK)
        return st;
    if (!r.root || (r.root->kind == EG_YAML_TEXT && r.root->plain && r.root->text.n == 0)) {
        r.root = new_node(&r, EG_YAML_MAP, eg_place_at(source, 0, 0));
        if (!r.root)
            return r.status;
    }
    *ret = r.root;
    return EG_OK;
}

struct eg_yaml *eg_yaml_get(const struct eg_yaml *node, const char *name)
{
    if (!node || node->kind != EG_YAML_MAP)
        return NULL;
    for (struct eg_yaml *child = node->first; child; child = child->next)
        if (eg_slice_eq(child->name, eg_slice_str(name)))
            return child;
    return NULL;
}
