/* preset_cmd.c - `egressctl preset`: the presets that are part of this program, and how a policy names one. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/commands.h"
#include "policy/preset.h"

static const char NAME[] = "egressctl preset";
enum { HEADS_MAX = 8 << 20, NEEDS_MAX = 200 };

static const struct eg_cmd_option list[] = {
    { 0, "json", NULL, "print JSON" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_preset_options = {
    .command = NAME,
    .operands = "list | show NAME",
    .about = "Shows the presets that policies can name, or the text of one.",
    .list = list,
};

/* ---- JSON ---- */

static json_t *string(struct eg_slice s)
{
    return json_stringn(s.p ? s.p : "", s.n);
}

static json_t *params_json(const struct eg_preset_head *head)
{
    json_t *all = json_array();
    for (unsigned i = 0; i < head->count; i++) {
        const struct eg_preset_param *p = &head->params[i];
        json_t *one = json_pack("{s:o, s:s, s:b, s:b, s:o}", "name", string(p->name), "type",
                                eg_preset_type_name(p->type), "required", p->standard.n == 0,
                                "many", p->many, "about", string(p->about));
        if (one && p->standard.n && json_object_set_new(one, "default", string(p->standard)) != 0) {
            json_decref(one);
            one = NULL;
        }
        if (json_array_append_new(all, one) != 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

static bool print_json(const struct eg_preset *p, const struct eg_preset_head *head, bool text)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:b, s:o}", "name", p->name, "kind",
                          p->kind == EG_PRESET_SERVICE ? "service" : "rules", "about", p->about,
                          "intercept", head->intercept, "params", params_json(head));
    if (o && text && json_object_set_new(o, "text", string(p->text)) != 0) {
        json_decref(o);
        o = NULL;
    }
    char *line = o ? json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    bool fine = line != NULL;
    if (fine)
        printf("%s\n", line);
    free(line);
    json_decref(o);
    return fine;
}

/* ---- text ---- */

/* "host, port=443": what has a default shows it. */
static void needs(const struct eg_preset_head *head, char *out)
{
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < head->count && n < NEEDS_MAX; i++) {
        const struct eg_preset_param *p = &head->params[i];
        n += (size_t)snprintf(out + n, NEEDS_MAX - n, "%s%.*s%s%.*s", i ? ", " : "", (int)p->name.n,
                              p->name.p, p->standard.n ? "=" : "", (int)p->standard.n,
                              p->standard.n ? p->standard.p : "");
    }
}

static const char *kind(const struct eg_preset *p, const struct eg_preset_head *head)
{
    return p->kind == EG_PRESET_RULES ? "rules" : head->intercept ? "service*" : "service";
}

static void print_row(const struct eg_preset *p, const struct eg_preset_head *head)
{
    char text[NEEDS_MAX];
    needs(head, text);
    printf("%-16s %-9s %-24s %s\n", p->name, kind(p, head), text, p->about);
}

/* What must be given, as a policy writes it: "{host: ..., port: ...}"; empty where nothing must. */
static void with_text(const struct eg_preset_head *head, char *out)
{
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < head->count && n < NEEDS_MAX; i++)
        if (!head->params[i].standard.n)
            n += (size_t)snprintf(out + n, NEEDS_MAX - n, "%s%.*s: ...", n ? ", " : "with: {",
                                  (int)head->params[i].name.n, head->params[i].name.p);
    if (n > 0 && n < NEEDS_MAX)
        snprintf(out + n, NEEDS_MAX - n, "}");
}

/* One comment that says how a policy names it, and the file. */
static void print_text(const struct eg_preset *p, const struct eg_preset_head *head)
{
    char with[NEEDS_MAX];
    with_text(head, with);
    if (p->kind == EG_PRESET_RULES)
        printf("# in a policy:  extends: [%s%s%s%s%s]\n",
               with[0] ? "{preset: " : "preset:", p->name, with[0] ? ", " : "", with,
               with[0] ? "}" : "");
    else
        printf("# in a policy:  services: {%s: {%s%s%s%s}}\n", p->name,
               head->intercept ? "route: " : "", head->intercept ? p->name : "",
               head->intercept && with[0] ? ", " : "", with);
    fwrite(p->text.p, 1, p->text.n, stdout);
}

/* ---- the command ---- */

static int print_all(bool json)
{
    struct eg_arena arena;
    struct eg_preset_head head;
    const struct eg_preset *p;
    enum eg_status st = EG_OK;
    eg_arena_init(&arena, HEADS_MAX);
    if (!json)
        printf("%-16s %-9s %-24s %s\n", "PRESET", "KIND", "PARAMETERS", "ABOUT");
    for (unsigned i = 0; (p = eg_preset_each(i)) != NULL && st == EG_OK; i++) {
        st = eg_preset_head(p, &arena, &head);
        if (st == EG_OK && !json)
            print_row(p, &head);
        else if (st == EG_OK && !print_json(p, &head, false))
            st = EG_NOMEM;
    }
    eg_arena_done(&arena);
    if (st == EG_OK && !json)
        printf("\n* needs interception, which is not available yet: a route must be given by hand. "
               "egressctl preset show NAME tells how a policy names it.\n");
    if (st != EG_OK)
        fprintf(stderr, "%s: %s\n", NAME, egress_status_sentence(st));
    return st == EG_OK ? EG_EXIT_OK : EG_EXIT_FAILED;
}

static int print_one(const char *name, bool json)
{
    struct eg_slice text = eg_slice_str(name);
    struct eg_arena arena;
    struct eg_preset_head head;
    if (eg_slice_starts(text, EG_SLICE("preset:")))
        text = eg_slice_from(text, 7);
    const struct eg_preset *p = eg_preset_find(text);
    if (!p) {
        const char *near = eg_preset_nearest(text);
        fprintf(stderr, "%s: there is no preset %.64s%s%s%s\n", NAME, name, near ? "; did you mean " : "",
                near ? near : "; `egressctl preset list` shows all", near ? "?" : "");
        return EG_EXIT_FAILED;
    }
    eg_arena_init(&arena, HEADS_MAX);
    enum eg_status st = eg_preset_head(p, &arena, &head);
    if (st == EG_OK && !json)
        print_text(p, &head);
    else if (st == EG_OK && !print_json(p, &head, true))
        st = EG_NOMEM;
    eg_arena_done(&arena);
    if (st != EG_OK)
        fprintf(stderr, "%s: %s\n", NAME, egress_status_sentence(st));
    return st == EG_OK ? EG_EXIT_OK : EG_EXIT_FAILED;
}

int eg_cmd_preset(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_preset_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    unsigned n;
    int at, code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    bool json = eg_cmd_value(o, g, n, "json") != NULL;
    const char *what = at < argc ? argv[at] : "";
    if (strcmp(what, "list") == 0 && argc == at + 1)
        return print_all(json);
    if (strcmp(what, "show") == 0 && argc == at + 2)
        return print_one(argv[at + 1], json);
    return eg_cmd_usage(o, "say list, or show and the name of one preset");
}
