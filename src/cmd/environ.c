/* environ.c - the copy of the environment, and the overwriting of the process' own, so that
 * /proc/self/environ shows no key.
 *
 * The copy lives in pages of its own that no core holds and no forked process inherits
 * (MADV_DONTFORK): a worker never sees it. All of it is kept, since a reload may name other
 * variables. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cmd/supervisor.h"

extern char **environ;

struct eg_environ {
    size_t size; /* of the mapping */
    size_t count;
    char *entries[]; /* NULL at the end; texts behind it */
};

enum eg_status eg_environ_take(struct eg_environ **ret)
{
    size_t count = 0, bytes = 0;
    for (char **e = environ; e && *e; e++, count++)
        bytes += strlen(*e) + 1;
    size_t size = sizeof(struct eg_environ) + (count + 1) * sizeof(char *) + bytes;
    struct eg_environ *v =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (v == MAP_FAILED)
        return EG_NOMEM;
    if (madvise(v, size, MADV_DONTFORK) < 0 || madvise(v, size, MADV_DONTDUMP) < 0) {
        munmap(v, size);
        return EG_INTERNAL;
    }
    (void)mlock(v, size); /* where the limit allows */
    v->size = size;
    v->count = count;
    char *at = (char *)&v->entries[count + 1];
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(environ[i]) + 1;
        memcpy(at, environ[i], n);
        v->entries[i] = at;
        at += n;
    }
    *ret = v;
    return EG_OK;
}

const char *eg_environ_get(const struct eg_environ *e, const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; e && i < e->count; i++)
        if (strncmp(e->entries[i], name, n) == 0 && e->entries[i][n] == '=')
            return e->entries[i] + n + 1;
    return NULL;
}

char *const *eg_environ_all(const struct eg_environ *e)
{
    return e->entries;
}

/* What the rest of the process, its libraries and its helpers still look up; none of it is a
 * secret. */
static const char *const kept[] = { "HOME",
                                    "PATH",
                                    "LANG",
                                    "LC_ALL",
                                    "LC_CTYPE",
                                    "TZ",
                                    "TERM",
                                    "NO_COLOR",
                                    "XDG_RUNTIME_DIR",
                                    "XDG_STATE_HOME",
                                    "XDG_CONFIG_HOME",
                                    "DBUS_SESSION_BUS_ADDRESS" };

void eg_environ_wipe_own(void)
{
    char *copies[sizeof kept / sizeof *kept];
    size_t n = sizeof kept / sizeof *kept;
    for (size_t i = 0; i < n; i++) {
        const char *value = getenv(kept[i]);
        copies[i] = value ? strdup(value) : NULL;
    }
    for (char **e = environ; e && *e; e++)
        sodium_memzero(*e, strlen(*e));
    (void)clearenv();
    for (size_t i = 0; i < n; i++) {
        if (copies[i])
            (void)setenv(kept[i], copies[i], 1);
        free(copies[i]);
    }
}

void eg_environ_free(struct eg_environ *e)
{
    if (!e)
        return;
    size_t size = e->size;
    sodium_memzero(e, size);
    munmap(e, size);
}
