/* final.c - keys that the org layer keeps for itself: `final: [limits.connections, services.openai]`.
 *
 * A lower layer that sets such a key, or a key below it, or something that takes the place of what holds it, is refused with the line of the org
 * layer's file; what it said is left out of the model, though nothing is compiled then. Files are walked once for each final key. */
#include "policy/final.h"

#include <stdio.h>

#include "policy/schema.h"

struct final {
    struct eg_sources *s;
    struct eg_diags *diags;
    struct eg_slice path;           /* "services.openai" */
    struct eg_place at;             /* of it in the org layer's file */
    char where[256];                /* "/etc/egress/org.yaml:7" */
    const struct eg_source *source; /* that is looked at */
};

/* ---- what may be final ---- */

static struct eg_slice first_part(struct eg_slice path, struct eg_slice *rest)
{
    long dot = eg_slice_index(path, '.');
    *rest = dot < 0 ? EG_SLICE_NONE : eg_slice_from(path, (size_t)dot + 1);
    return eg_slice(path.p, dot < 0 ? path.n : (size_t)dot);
}

/* Is it the path of a key? False: reported. */
static bool is_key_path(struct eg_diags *diags, const struct eg_yaml *node)
{
    struct eg_slice rest = node->text, part;
    uint32_t row = 0;
    char fix[80];
    if (eg_slice_eq(rest, EG_SLICE("egress")) || eg_slice_eq(rest, EG_SLICE("final"))) {
        eg_diag_error(diags, "bad-value", node->at, "remove it", "every file has this key");
        return false;
    }
    bool more = true;
    while (more) {
        more = eg_slice_index(rest, '.') >= 0;
        part = first_part(rest, &rest);
        const struct eg_schema_key *key = row ? eg_schema_each(row - 1) : NULL;
        bool names = key && (key->flags & EG_KEY_ANY_NAME);
        uint32_t next = names && part.n > 0 ? eg_schema_element(row) : eg_schema_child(row, part);
        if (next == 0) {
            const char *near = eg_schema_nearest(row, part);
            snprintf(fix, sizeof fix, "did you mean %s?", near ? near : "");
            eg_diag_error(
                diags, "unknown-key", node->at, near ? fix : NULL,
                "final takes paths of keys, such as limits.connections; there is no key %s here",
                eg_quote(part).text);
            return false;
        }
        row = next;
    }
    return true;
}

/* ---- who sets it ---- */

static void refuse(struct final *f, struct eg_yaml *node)
{
    char fix[300];
    snprintf(fix, sizeof fix, "remove it, or ask whoever keeps %.200s", f->at.source->path);
    if (!node->bad)
        eg_diag_error(f->diags, "final-key", node->name.p ? node->name_at : node->at, fix,
                      "%.*s is final in %s", (int)f->path.n, f->path.p, f->where);
    node->bad = true;
}

/* Does the org layer define a name below that key? */
static bool org_defines(const struct final *f, const char *key, struct eg_slice name)
{
    for (unsigned i = 0; i < f->s->count; i++) {
        const struct eg_yaml *map = eg_yaml_get(f->s->roots[i], key);
        const struct eg_yaml *child = map && map->kind == EG_YAML_MAP ? map->first : NULL;
        for (; child && f->s->list[i].layer == EG_LAYER_ORG; child = child->next)
            if (eg_slice_eq(child->name, name))
                return true;
    }
    return false;
}

static void look(struct final *f, struct eg_yaml *node, struct eg_slice rest);

/* services and credentials: a definition takes the place of another one as a whole. */
static void look_at_names(struct final *f, const char *key, struct eg_yaml *map,
                          struct eg_slice path)
{
    struct eg_slice rest, name = first_part(path, &rest);
    bool any = eg_slice_eq(name, EG_SLICE("*"));
    for (struct eg_yaml *child = map->first; child; child = child->next) {
        if (!any && !eg_slice_eq(child->name, name))
            continue;
        if (!any || rest.n == 0 || org_defines(f, key, child->name))
            refuse(f, child);
        else
            look(f, child, rest);
    }
}

/* rest: what of the path is below the node. */
static void look(struct final *f, struct eg_yaml *node, struct eg_slice rest)
{
    if (rest.n == 0 ||
        node->kind != EG_YAML_MAP) { /* none, null or a list stands for the whole map */
        refuse(f, node);
        return;
    }
    struct eg_slice below, name = first_part(rest, &below);
    for (struct eg_yaml *child = node->first; child; child = child->next)
        if (eg_slice_eq(child->name, name))
            look(f, child, below);
}

static void look_at_file(struct final *f, struct eg_yaml *root)
{
    struct eg_slice rest, key = first_part(f->path, &rest);
    for (struct eg_yaml *child = root->first; child; child = child->next) {
        if (!eg_slice_eq(child->name, key))
            continue;
        if (rest.n > 0 && child->kind == EG_YAML_MAP && eg_slice_eq(key, EG_SLICE("services")))
            look_at_names(f, "services", child, rest);
        else if (rest.n > 0 && child->kind == EG_YAML_MAP &&
                 eg_slice_eq(key, EG_SLICE("credentials")))
            look_at_names(f, "credentials", child, rest);
        else
            look(f, child, eg_slice_eq(key, EG_SLICE("upstream")) ? EG_SLICE_NONE : rest);
    }
}

/* Options of the command line that stand for keys. */
static void look_at_options(struct final *f, const struct eg_policy_reader *reader)
{
    struct eg_slice rest, key = first_part(f->path, &rest);
    const char *option = NULL;
    if (reader && reader->observe && eg_slice_eq(key, EG_SLICE("mode")))
        option = "--observe";
    else if (reader && reader->upstream && reader->upstream->from == EG_UPSTREAM_OPTION &&
             eg_slice_eq(key, EG_SLICE("upstream")))
        option = "--upstream-proxy";
    if (option)
        eg_diag_error(f->diags, "final-key", f->at, "leave the option out",
                      "%.*s is final: %s may not change it", (int)f->path.n, f->path.p, option);
}

static void apply(struct eg_sources *s, const struct eg_policy_reader *reader,
                  struct eg_diags *diags, const struct eg_yaml *node)
{
    struct final f = { .s = s, .diags = diags, .path = node->text, .at = node->at };
    uint32_t line, column;
    if (node->bad || !is_key_path(diags, node))
        return;
    eg_source_position(node->at.source, node->at.offset, &line, &column);
    snprintf(f.where, sizeof f.where, "%.200s:%u", node->at.source->path, line);
    look_at_options(&f, reader);
    for (unsigned i = 0; i < s->count; i++)
        if (s->list[i].layer > EG_LAYER_ORG && s->roots[i] && s->roots[i]->kind == EG_YAML_MAP)
            look_at_file(&f, s->roots[i]);
}

void eg_final_apply(struct eg_sources *s, const struct eg_policy_reader *reader,
                    struct eg_diags *diags)
{
    for (unsigned i = 0; i < s->count; i++) {
        const struct eg_yaml *final = eg_yaml_get(s->roots[i], "final");
        bool many = final && final->kind == EG_YAML_LIST;
        if (!final || final->bad)
            continue;
        if (s->list[i].layer != EG_LAYER_ORG) {
            eg_diag_error(diags, "org-only", final->name_at, "it belongs into /etc/egress/org.yaml",
                          "final has its place in the org layer alone");
            continue;
        }
        for (const struct eg_yaml *node = many ? final->first : final; node;
             node = many ? node->next : NULL)
            apply(s, reader, diags, node);
    }
}
