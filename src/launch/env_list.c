/* env_list.c - the list that the child's environment is made in: each name once, and every text
 * wiped before it is freed, since it may be a real key that the child was not to have. */
#include "launch/environment.h"

#include <stdlib.h>

enum { EG_ENV_MAX = 16384 };

struct eg_slice eg_env_name(const char *item)
{
    const char *equals = strchr(item, '=');
    return eg_slice(item, equals ? (size_t)(equals - item) : strlen(item));
}

const char *eg_env_value(char *const *list, struct eg_slice name)
{
    for (; *list; list++)
        if (eg_slice_eq(eg_env_name(*list), name) && (*list)[name.n] == '=')
            return *list + name.n + 1;
    return NULL;
}

static int find(const struct eg_env_list *l, struct eg_slice name)
{
    for (unsigned i = 0; i < l->count; i++)
        if (eg_slice_eq(eg_env_name(l->items[i]), name))
            return (int)i;
    return -1;
}

void eg_env_drop(struct eg_env_list *l, struct eg_slice name)
{
    int i;
    while ((i = find(l, name)) >= 0) {
        explicit_bzero(l->items[i], strlen(l->items[i]));
        free(l->items[i]);
        l->items[i] = l->items[--l->count];
        l->items[l->count] = NULL;
    }
}

enum eg_status eg_env_push(struct eg_env_list *l, char *item)
{
    if (!item)
        return EG_NOMEM;
    if (l->count + 1 >= l->cap) {
        unsigned cap = l->cap ? l->cap * 2 : 64;
        char **grown = cap <= EG_ENV_MAX ? realloc(l->items, cap * sizeof *grown) : NULL;
        if (!grown) {
            free(item);
            return cap > EG_ENV_MAX ? EG_TOO_BIG : EG_NOMEM;
        }
        l->items = grown;
        l->cap = cap;
    }
    l->items[l->count++] = item;
    l->items[l->count] = NULL;
    return EG_OK;
}

enum eg_status eg_env_set(struct eg_env_list *l, struct eg_slice name, struct eg_slice value)
{
    if (name.n == 0)
        return EG_OK;
    char *item = malloc(name.n + value.n + 2);
    if (item) {
        memcpy(item, name.p, name.n);
        item[name.n] = '=';
        if (value.n > 0)
            memcpy(item + name.n + 1, value.p, value.n);
        item[name.n + 1 + value.n] = '\0';
    }
    eg_env_drop(l, name);
    return eg_env_push(l, item);
}

enum eg_status eg_env_set_pairs(struct eg_env_list *l, const struct eg_env_pair *pairs, size_t n)
{
    enum eg_status status = EG_OK;
    for (size_t i = 0; i < n && status == EG_OK; i++)
        status = eg_env_set(l, eg_slice_str(pairs[i].name), eg_slice_str(pairs[i].value));
    return status;
}
