/* preset.h - the presets that are part of the program: policy files below policy/presets, embedded when it is built.
 *
 * A preset is a file in the policy language with one key of its own, `preset:`, that names its parameters. ${name} in a text stands for
 * a parameter: it is filled in in the tree, never in the text, and only with what the parameter's type allows. */
#ifndef EG_POLICY_PRESET_H
#define EG_POLICY_PRESET_H

#include "policy/yaml.h"

enum { EG_PRESET_PARAMS = 8, EG_PRESET_VALUES = 64 /* of one parameter that takes many */ };

enum eg_preset_kind {
    EG_PRESET_RULES,   /* for `extends` */
    EG_PRESET_SERVICE, /* for `services`: one service of the preset's name, and its credential */
};

struct eg_preset { /* static storage */
    const char *name;
    const char *path;  /* "preset:NAME", as messages show it */
    const char *about; /* one line */
    enum eg_preset_kind kind;
    struct eg_slice text; /* the whole file; NUL-terminated */
};

enum eg_preset_type {
    EG_PARAM_HOST,  /* a name, no wildcard, no address */
    EG_PARAM_LABEL, /* one label of a name */
    EG_PARAM_PORT,
    EG_PARAM_FILE,  /* an absolute path */
    EG_PARAM_EMAIL, /* a user's name for Basic: no colon, no brace */
    EG_PARAM_TYPES
};
struct eg_preset_param { /* slices live as long as the tree */
    struct eg_slice name, about;
    struct eg_slice standard; /* what is used where nothing is given; empty: it must be given */
    enum eg_preset_type type;
    bool many; /* a list is taken as well: what names it in a list stands there once for each */
};
struct eg_preset_head { /* the key `preset:` */
    bool intercept; /* its clients take no other base URL: no route but by hand */
    unsigned count;
    struct eg_preset_param params[EG_PRESET_PARAMS];
};

/* The i-th by name, NULL behind the last. */
const struct eg_preset *eg_preset_each(unsigned i);
/* By name ("openai", without "preset:"); NULL when there is none. */
const struct eg_preset *eg_preset_find(struct eg_slice name);
/* The name that is nearest to a misspelt one; NULL when none is near. */
const char *eg_preset_nearest(struct eg_slice name);
/* "host", "label" ... */
const char *eg_preset_type_name(enum eg_preset_type type);

/* Reads the preset's tree, takes `preset:` off it and fills in the parameters with the children of `with` (a map that the schema has typed; NULL:
 * none). layer and trusted of *source are the caller's to set; path, text and lines are set here. source and the tree live as long as the arena and
 * the caller's source do. A text that was filled in has the place of its value. What is unknown, missing or no such thing is reported at
 * the value or at `at`, the place that asks for the preset: EG_INVALID. The tree is not checked against the schema yet. EG_NOMEM, EG_TOO_BIG. */
enum eg_status eg_preset_read(const struct eg_preset *preset, const struct eg_yaml *with,
                              struct eg_place at, struct eg_arena *arena, struct eg_diags *diags,
                              struct eg_source *source, struct eg_preset_head *head,
                              struct eg_yaml **root) EG_MUST_USE;
/* Only the head, for lists of presets. The preset's own text can't be wrong: EG_NOMEM. */
enum eg_status eg_preset_head(const struct eg_preset *preset, struct eg_arena *arena,
                              struct eg_preset_head *head) EG_MUST_USE;

/* eg_preset_read without values: the texts still hold ${name}. */
enum eg_status eg_preset_open(const struct eg_preset *preset, struct eg_arena *arena,
                              struct eg_diags *diags, struct eg_source *source,
                              struct eg_preset_head *head, struct eg_yaml **root) EG_MUST_USE;

/* Made by scripts/embed. */
extern const struct eg_preset eg_preset_list[];
extern const unsigned eg_preset_count;

#endif
