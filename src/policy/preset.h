/* preset.h - the presets that are part of the program: policy files below policy/presets, embedded when it is built.
 *
 * A preset is a file in the policy language with one key of its own before all others, `preset:`, that names its parameters. ${name} in a
 * text stands for a parameter: it is filled in in the tree, never in the text, and only with what the parameter's type allows. */
#ifndef EG_POLICY_PRESET_H
#define EG_POLICY_PRESET_H

#include <stdbool.h>

#include "base/slice.h"

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

/* The i-th by name, NULL behind the last. */
const struct eg_preset *eg_preset_each(unsigned i);
/* By name ("openai", without "preset:"); NULL when there is none. */
const struct eg_preset *eg_preset_find(struct eg_slice name);

/* Made by scripts/embed. */
extern const struct eg_preset eg_preset_list[];
extern const unsigned eg_preset_count;

#endif
