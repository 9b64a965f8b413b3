/* run_user.c - who the child of `run` is, and its environment as that user would have it. */
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/run.h"

static const struct passwd *other_user(const char *name, char *const *parent)
{
    if (geteuid() != 0)
        return NULL;
    if (name)
        return getpwnam(name);
    for (; *parent; parent++) {
        unsigned long long uid;
        if (strncmp(*parent, "SUDO_UID=", 9) == 0 &&
            eg_slice_u64(eg_slice_str(*parent + 9), &uid) && uid < (uid_t)-1)
            return getpwuid((uid_t)uid);
    }
    return NULL;
}

static bool of_caller(const char *item)
{
    static const char *const names[] = { "HOME=",
                                         "USER=",
                                         "LOGNAME=",
                                         "MAIL=",
                                         "XDG_RUNTIME_DIR=",
                                         "XDG_CONFIG_HOME=",
                                         "XDG_STATE_HOME=",
                                         "XDG_DATA_HOME=",
                                         "XDG_CACHE_HOME=",
                                         "DBUS_SESSION_BUS_ADDRESS=",
                                         "SSH_AUTH_SOCK=" };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(item, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

enum eg_status eg_run_user_make(const char *name, char *const *parent, struct eg_run_user *ret,
                                struct eg_err *err)
{
    const struct passwd *p = other_user(name, parent);
    size_t n = 0, count = 0;
    memset(ret, 0, sizeof *ret);
    ret->uid = p ? p->pw_uid : geteuid();
    ret->gid = p ? p->pw_gid : getegid();
    while (parent[count])
        count++;
    ret->environment = calloc(count + 4, sizeof *ret->environment);
    if (!ret->environment)
        return eg_err_set(err, EG_NOMEM, "run", 0, "out of memory");
    for (size_t i = 0; i < count; i++)
        if (!p || !of_caller(parent[i]))
            ret->environment[n++] = parent[i];
    if (!p)
        return EG_OK;
    if (asprintf(&ret->own[0], "HOME=%s", p->pw_dir) < 0 ||
        asprintf(&ret->own[1], "USER=%s", p->pw_name) < 0 ||
        asprintf(&ret->own[2], "LOGNAME=%s", p->pw_name) < 0) {
        eg_run_user_done(ret);
        return eg_err_set(err, EG_NOMEM, "run", 0, "out of memory");
    }
    for (unsigned i = 0; i < 3; i++)
        ret->environment[n++] = ret->own[i];
    return EG_OK;
}

void eg_run_user_done(struct eg_run_user *u)
{
    for (unsigned i = 0; i < 3; i++)
        free(u->own[i]);
    free(u->runtime);
    free(u->environment);
    memset(u, 0, sizeof *u);
}
