/* preset.c - the embedded presets by name, and the head of one: its parameters and what they may hold. The list itself is made by scripts/embed
 * from policy/presets and is sorted. */
#include "policy/preset.h"

#include "policy/schema.h"

static const char *const type_names[EG_PARAM_TYPES] = { "host", "label", "port", "file", "email" };

const struct eg_preset *eg_preset_each(unsigned i)
{
    return i < eg_preset_count ? &eg_preset_list[i] : NULL;
}

const struct eg_preset *eg_preset_find(struct eg_slice name)
{
    for (unsigned i = 0; i < eg_preset_count; i++)
        if (eg_slice_eq(name, eg_slice_str(eg_preset_list[i].name)))
            return &eg_preset_list[i];
    return NULL;
}

const char *eg_preset_nearest(struct eg_slice name)
{
    unsigned best = name.n < 5 ? 2 : 3;
    const char *found = NULL;
    for (unsigned i = 0; i < eg_preset_count; i++) {
        unsigned d = eg_schema_distance(name, eg_preset_list[i].name);
        if (d < best) {
            best = d;
            found = eg_preset_list[i].name;
        }
    }
    return found;
}

const char *eg_preset_type_name(enum eg_preset_type type)
{
    return type_names[type];
}

static struct eg_slice text_of(const struct eg_yaml *map, const char *name)
{
    const struct eg_yaml *node = eg_yaml_get(map, name);
    return node ? node->text : EG_SLICE_NONE;
}

/* False: this is none of our types. */
static bool read_type(struct eg_slice word, enum eg_preset_type *ret)
{
    for (int i = 0; i < EG_PARAM_TYPES; i++)
        if (eg_slice_eq(word, eg_slice_str(type_names[i]))) {
            *ret = (enum eg_preset_type)i;
            return true;
        }
    return false;
}

/* Takes `preset:` off the tree and reads it. False: the preset is not as it should be. */
static bool take_head(struct eg_yaml *root, struct eg_preset_head *head)
{
    struct eg_yaml *before = NULL, *node = eg_yaml_get(root, "preset");
    *head = (struct eg_preset_head){ .count = 0 };
    if (root->kind != EG_YAML_MAP || !node)
        return root->kind == EG_YAML_MAP;
    for (struct eg_yaml *child = root->first; child != node; child = child->next)
        before = child;
    *(before ? &before->next : &root->first) = node->next;
    if (root->last == node)
        root->last = before;
    root->count--;
    head->intercept = eg_slice_eq(text_of(node, "intercept"), EG_SLICE("true"));
    const struct eg_yaml *params = eg_yaml_get(node, "params");
    for (const struct eg_yaml *p = params ? params->first : NULL; p; p = p->next) {
        struct eg_preset_param *param = &head->params[head->count];
        if (head->count == EG_PRESET_PARAMS || !read_type(text_of(p, "type"), &param->type))
            return false;
        param->name = p->name;
        param->about = text_of(p, "about");
        param->standard = text_of(p, "default");
        param->many = eg_slice_eq(text_of(p, "many"), EG_SLICE("true"));
        head->count++;
    }
    return true;
}

enum eg_status eg_preset_open(const struct eg_preset *preset, struct eg_arena *arena,
                              struct eg_diags *diags, struct eg_source *source,
                              struct eg_preset_head *head, struct eg_yaml **root)
{
    source->path = preset->path;
    source->text = preset->text;
    enum eg_status st = eg_yaml_read(source, arena, diags, root);
    return st == EG_OK && !take_head(*root, head) ? EG_INTERNAL : st;
}

enum eg_status eg_preset_head(const struct eg_preset *preset, struct eg_arena *arena,
                              struct eg_preset_head *head)
{
    struct eg_diags *diags;
    struct eg_source source = { .layer = EG_LAYER_PRESET, .trusted = true };
    struct eg_yaml *root;
    enum eg_status st = eg_diags_new(&diags);
    if (st != EG_OK)
        return st;
    st = eg_preset_open(preset, arena, diags, &source, head, &root);
    eg_diags_free(diags);
    return st;
}
