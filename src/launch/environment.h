/* environment.h - what the files that make the child's environment share: a list of "NAME=value"
 * texts in which each name stands once, and one maker for each kind of variable. */
#ifndef EG_LAUNCH_ENVIRONMENT_H
#define EG_LAUNCH_ENVIRONMENT_H

#include "base/buf.h"
#include "launch/launch.h"

enum { EG_ENV_TEXT_MAX = 1 << 20, EG_ENV_URL_MAX = 256 };

struct eg_env_list {
    char **items; /* NULL-terminated */
    unsigned count, cap;
};

struct eg_env_pair {
    const char *name, *value;
};

/* ---- env_list.c ---- */
/* "NAME=value": its name; the whole of a text without '='. */
struct eg_slice eg_env_name(const char *item);
/* The value of that name in a NULL-terminated list, also an empty one; NULL when it is not there. */
const char *eg_env_value(char *const *list, struct eg_slice name);
/* Adds a malloc'd text without a look at its name; takes it, also when it fails. */
enum eg_status eg_env_push(struct eg_env_list *l, char *item) EG_MUST_USE;
/* Takes the place of all of that name. An empty name is nothing. */
enum eg_status eg_env_set(struct eg_env_list *l, struct eg_slice name,
                          struct eg_slice value) EG_MUST_USE;
enum eg_status eg_env_set_pairs(struct eg_env_list *l, const struct eg_env_pair *pairs,
                                size_t n) EG_MUST_USE;
/* Wipes and frees all of that name. */
void eg_env_drop(struct eg_env_list *l, struct eg_slice name);

/* ---- env_inherit.c: what stays of the parent's ---- */
enum eg_status eg_env_inherit(const struct eg_child_env_spec *spec,
                              struct eg_env_list *l) EG_MUST_USE;

/* ---- env_tools.c: what leads programs to the proxy ---- */
/* http://SESSION:TOKEN@127.0.0.1:PORT */
enum eg_status eg_env_proxy_url(const struct eg_child_env_spec *spec,
                                char url[EG_ENV_URL_MAX]) EG_MUST_USE;
enum eg_status eg_env_tools(const struct eg_child_env_spec *spec,
                            struct eg_env_list *l) EG_MUST_USE;

/* ---- env_git.c: settings of git's ---- */
enum eg_status eg_env_git_proxy(const char *url, struct eg_env_list *l) EG_MUST_USE;
/* What git would send to https://HOST/, or to it by ssh, goes to the service's route, with the phantom where there is one. */
enum eg_status eg_env_git_route(const struct eg_child_env_spec *spec, const struct eg_service *s,
                                const char *phantom, struct eg_env_list *l) EG_MUST_USE;

/* ---- files.c: variables that name generated files ---- */
enum eg_status eg_env_files(const struct eg_child_env_spec *spec,
                            struct eg_env_list *l) EG_MUST_USE;

#endif
