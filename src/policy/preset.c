/* preset.c - the embedded presets by name. The list itself is made by scripts/embed from policy/presets and is sorted. */
#include "policy/preset.h"

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
