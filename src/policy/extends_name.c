/* extends_name.c - the path of a file that another one extends. It looks at no file: whether a path that stays in its folder also does so on the disk is for
 * the reader to see (eg_policy_reader.extend). */
#include "policy/extends.h"

/* Messages name it as it is: nothing in it may speak to a terminal. */
static bool plain_text(struct eg_slice name)
{
    for (size_t i = 0, n; i < name.n; i += n)
        if ((n = eg_yaml_visible(name.p + i, name.n - i)) == 0)
            return false;
    return name.n > 0 && name.n <= EG_EXTENDS_NAME && name.p[name.n - 1] != '/';
}

/* The name without empty and "." segments. */
static size_t put_segments(struct eg_slice name, char *out, bool *leaves)
{
    size_t n = 0;
    while (name.n > 0) {
        long slash = eg_slice_index(name, '/');
        struct eg_slice one = eg_slice(name.p, slash < 0 ? name.n : (size_t)slash);
        name = eg_slice_from(name, slash < 0 ? name.n : (size_t)slash + 1);
        if (one.n == 0 || eg_slice_eq(one, EG_SLICE(".")))
            continue;
        *leaves = *leaves || eg_slice_eq(one, EG_SLICE(".."));
        if (n > 0)
            out[n++] = '/';
        memcpy(out + n, one.p, one.n);
        n += one.n;
    }
    return n;
}

/* With its last slash, or, of "REV:egress.yaml", its colon. */
size_t eg_extends_folder(const char *from)
{
    const char *end = strrchr(from, '/');
    end = end ? end : strchr(from, ':');
    return end ? (size_t)(end - from) + 1 : 0;
}

bool eg_extends_name(struct eg_arena *arena, const char *from, struct eg_slice name,
                     struct eg_extends_name *ret)
{
    *ret = (struct eg_extends_name){ .leaves = name.n > 0 && name.p[0] == '/' };
    size_t folder = ret->leaves ? 0 : eg_extends_folder(from);
    if (!plain_text(name))
        return false;
    ret->path = eg_arena_alloc(arena, folder + name.n + 2);
    if (!ret->path)
        return false;
    memcpy(ret->path, from, folder);
    if (ret->leaves)
        ret->path[folder++] = '/';
    size_t n = put_segments(name, ret->path + folder, &ret->leaves);
    ret->path[folder + n] = '\0';
    /* what messages call a preset, and trust does not cover, is one */
    return n > 0 && strncmp(ret->path, "preset:", 7) != 0;
}
