/* policy_show.c - `egressctl policy show`: everything that the proxy would use, each line with the file and line that it comes from. It reads no credential and
 * leaves out what this machine is (its addresses, its proxy variables), so that the same files always show the same. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/ask.h"
#include "cmd/commands.h"
#include "cmd/files.h"
#include "policy/show.h"

enum { ARENA_MAX = 256 << 20, TEXT_MAX = 128 << 20 };

static const char NAME[] = "egressctl policy show";

static const struct eg_cmd_option list[] = {
    { 0, "alone", NULL, "without the organisation's and the user's file" },
    { 0, "json", NULL, "print JSON" },
    { 0, "resolved", NULL, "with presets, extended files and defaults filled in: always so" },
    { 0, "trust", NULL, "trust the file, as run --trust does" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_policy_show_options = {
    .command = NAME,
    .operands = "[FILE]",
    .about = "Shows everything that the proxy would use, and where each line comes from.",
    .list = list,
};

static json_t *text_of(struct eg_slice s)
{
    return json_stringn(s.n ? s.p : "", s.n);
}

/* Numbers and booleans as they are; sizes and times as they are written. */
static json_t *bare(const struct eg_shown *n)
{
    unsigned long long number;
    if (eg_slice_u64(n->text, &number) && number <= INT64_MAX)
        return json_integer((json_int_t)number);
    if (eg_slice_eq(n->text, EG_SLICE("true")) || eg_slice_eq(n->text, EG_SLICE("false")))
        return json_boolean(n->text.p[0] == 't');
    return text_of(n->text);
}

/* The value; what has an origin is in origins by its path. */
static json_t *pack(const struct eg_shown *n, json_t *origins, const char *path)
{
    json_t *o = n->kind == EG_SHOWN_MAP ? json_object() : n->kind == EG_SHOWN_LIST ? json_array() : NULL;
    unsigned index = 0;
    if (n->origin.n)
        json_object_set_new(origins, path, text_of(n->origin));
    for (const struct eg_shown *child = n->first; o && child; child = child->next) {
        char below[600], key[300];
        snprintf(key, sizeof key, "%.*s", (int)child->key.n, child->key.n ? child->key.p : "");
        if (n->kind == EG_SHOWN_MAP)
            snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", key);
        else
            snprintf(below, sizeof below, "%s[%u]", path, index++);
        json_t *value = pack(child, origins, below);
        if (n->kind == EG_SHOWN_MAP)
            json_object_set_new(o, key, value);
        else
            json_array_append_new(o, value);
    }
    return o                           ? o
           : n->kind == EG_SHOWN_BARE ? bare(n)
                                       : text_of(n->text);
}

static enum eg_status print_json(const struct eg_policy *p, const struct eg_shown *root)
{
    char id[65];
    for (int i = 0; i < 32; i++)
        snprintf(id + 2 * i, 3, "%02x", eg_policy_id(p)[i]);
    json_t *origins = json_object(), *policy = pack(root, origins, "");
    json_t *all = json_pack("{s:s,s:o,s:o}", "id", id, "policy", policy, "origins", origins);
    char *text = all ? json_dumps(all, JSON_INDENT(2) | JSON_ENSURE_ASCII) : NULL;
    json_decref(all);
    if (!text)
        return EG_NOMEM;
    printf("%s\n", text);
    free(text);
    return EG_OK;
}

static enum eg_status print_text(const struct eg_shown *root, struct eg_err *err)
{
    struct eg_buf out;
    eg_buf_init(&out, TEXT_MAX);
    enum eg_status status = eg_policy_show_text(root, &out, err);
    if (status == EG_OK)
        status = eg_file_write(1, eg_buf_slice(&out), err);
    eg_buf_done(&out);
    return status;
}

static int show(const struct eg_policy *p, bool json)
{
    struct eg_err err = { 0 };
    struct eg_arena arena;
    struct eg_shown *root;
    char text[300];
    eg_arena_init(&arena, ARENA_MAX);
    enum eg_status status = eg_policy_show(p, &arena, &root);
    if (status == EG_OK)
        status = json ? print_json(p, root) : print_text(root, &err);
    eg_arena_done(&arena);
    if (status == EG_OK)
        return EG_EXIT_OK;
    const struct eg_err plain = { .status = status };
    fprintf(stderr, "%s: %s\n", NAME,
            eg_err_format(err.status != EG_OK ? &err : &plain, text, sizeof text));
    return EG_EXIT_FAILED;
}

int eg_cmd_policy_show(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_policy_show_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    struct eg_loaded *loaded = NULL;
    struct eg_err err = { 0 };
    char text[300];
    unsigned n;
    int at, code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    if (argc - at > 1)
        return eg_cmd_usage(o, "one FILE at most");
    const struct eg_load_spec spec = { .file = at < argc ? argv[at] : NULL,
                                       .trust = eg_cmd_value(o, g, n, "trust") != NULL,
                                       .alone = eg_cmd_value(o, g, n, "alone") != NULL,
                                       .portable = true };
    enum eg_status status = eg_load(&spec, &loaded, &err);
    if (status != EG_OK) {
        const struct eg_err plain = { .status = status };
        fprintf(stderr, "%s: %s\n", NAME,
                eg_err_format(err.status != EG_OK ? &err : &plain, text, sizeof text));
        return status == EG_NOT_FOUND || status == EG_INVALID ? EG_EXIT_POLICY : EG_EXIT_FAILED;
    }
    eg_cmd_diags(loaded->diags);
    code = eg_loaded_exit(loaded);
    if (loaded->policy)
        code = show(loaded->policy, eg_cmd_value(o, g, n, "json") != NULL);
    eg_loaded_free(loaded);
    return code;
}
