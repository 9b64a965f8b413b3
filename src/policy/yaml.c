/* yaml.c - drives libfyaml over a policy file and owns the outcome.
 *
 * The event interface only: documents of libfyaml take quadratic time in keys and forty times the memory (and would resolve
 * aliases). Ceilings on size, depth and nodes are checked while events come, so that a hostile file stops early.
 * libfyaml prints nothing: its diagnostics are collected and become ours. */
#include "policy/yaml_reader.h"

#include <stdio.h>

/* libfyaml's own finding, first one only: what follows is a consequence. */
static void report_syntax(struct eg_yaml_reader *r, struct fy_diag *diag)
{
    void *cursor = NULL;
    struct fy_diag_error *error = fy_diag_errors_iterate(diag, &cursor);
    uint32_t line = error && error->line > 0 ? (uint32_t)error->line : 1;
    uint32_t column = error && error->column > 0 ? (uint32_t)error->column : 1;
    struct eg_place at = eg_place_at(r->source, eg_source_offset(r->source, line, column), 1);
    struct eg_quoted message =
        eg_quote(eg_slice_str(error && error->msg ? error->msg : "this is not valid YAML"));
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
        snprintf(fix, sizeof fix, "close the %c that was opened at %u:%u",
                 r->source->text.p[bracket], open_line, open_column);
        eg_diag_error(r->diags, "syntax", at, fix,
                      "%s ('%c' was opened at %u:%u and is not closed)", text,
                      r->source->text.p[bracket], open_line, open_column);
        return;
    }
    eg_diag_error(r->diags, "syntax", at, NULL, "%s", text);
}

static enum eg_status parse(struct eg_yaml_reader *r)
{
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    diag_cfg.colorize = false;
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    if (!diag)
        return EG_NOMEM;
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG |
                                         FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE |
                                         FYPCF_DISABLE_MMAP_OPT,
                                .diag = diag };
    struct fy_parser *parser = fy_parser_create(&cfg);
    if (!parser || fy_parser_set_string(parser, r->source->text.p, r->source->text.n) != 0) {
        eg_yaml_stop(r, EG_NOMEM);
    } else {
        struct fy_event *e;
        while (!r->stopped && (e = fy_parser_parse(parser)) != NULL) {
            eg_yaml_on_event(r, e);
            if (eg_diags_full(r->diags))
                eg_yaml_stop(r, EG_INVALID);
            fy_parser_event_free(parser, e);
        }
        if (!r->stopped && fy_parser_get_stream_error(parser)) {
            report_syntax(r, diag);
            eg_yaml_stop(r, EG_INVALID);
        }
    }
    if (parser)
        fy_parser_destroy(parser);
    fy_diag_destroy(diag);
    while (r->depth > 0)
        eg_yaml_on_end(r);
    return r->status;
}

enum eg_status eg_yaml_read(struct eg_source *source, struct eg_arena *arena,
                            struct eg_diags *diags, struct eg_yaml **ret)
{
    struct eg_yaml_reader r = { .source = source, .arena = arena, .diags = diags, .status = EG_OK };
    if (source->text.n > EG_YAML_FILE_MAX) {
        eg_diag_error(diags, "too-large", eg_place_at(source, 0, 0), NULL,
                      "the file is larger than %d MiB", EG_YAML_FILE_MAX >> 20);
        return EG_INVALID;
    }
    if (eg_source_index(source, arena) != EG_OK)
        return EG_NOMEM;
    if (!eg_yaml_scan(source, diags))
        return EG_INVALID;
    long deep = eg_yaml_too_deep(source->text);
    if (deep >= 0) {
        eg_yaml_report_depth(diags, eg_place_at(source, (uint32_t)deep, 1));
        return EG_INVALID;
    }
    enum eg_status st = source->text.n > 0 ? parse(&r) : EG_OK;
    if (st != EG_OK)
        return st;
    if (!r.root || (r.root->kind == EG_YAML_TEXT && r.root->plain && r.root->text.n == 0)) {
        r.root = eg_yaml_new_node(&r, EG_YAML_MAP, eg_place_at(source, 0, 0));
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
