/* launched.c - runs commands in the sandbox for the tests. */
#include "support/launched.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

char *const eg_launched_env[] = { (char[]){ "PATH=/usr/local/bin:/usr/bin:/bin" },
                                  (char[]){ "GREETING=hello" }, NULL };

static struct eg_launch_spec spec_of(char *const *argv, enum eg_enforcement mode)
{
    return (struct eg_launch_spec){ .argv = argv,
                                    .strongest = mode,
                                    .weakest = mode,
                                    .user = geteuid() == 0 ? "nobody" : NULL };
}

static struct eg_launch *prepare(const struct eg_launch_spec *spec)
{
    struct eg_launch *l = NULL;
    struct eg_err err = { 0 };
    char text[300];
    enum eg_status status = eg_launch_prepare(spec, &l, &err);
    if (status == EG_PERMISSION)
        cr_skip_test("no sandbox here: %s", eg_err_format(&err, text, sizeof text));
    cr_assert_eq(status, EG_OK, "%s", eg_err_format(&err, text, sizeof text));
    return l;
}

struct eg_launch *eg_launched_prepare(char *const *argv, bool enforce)
{
    const struct eg_launch_spec spec =
        spec_of(argv, enforce ? EG_ENFORCE_NAMESPACES : EG_ENFORCE_NONE);
    return prepare(&spec);
}

struct eg_launch *eg_launched_alone(char *const *argv, unsigned landlock_abi)
{
    struct eg_launch_spec spec = spec_of(argv, EG_ENFORCE_SECCOMP);
    spec.landlock_abi = landlock_abi;
    return prepare(&spec);
}

int eg_launched_listener(const struct eg_launch *l)
{
    unsigned count;
    const struct eg_launch_entry *entries = eg_launch_entries(l, &count);
    for (unsigned i = 0; i < count; i++)
        if (entries[i].kind == EG_ENTRY_PROXY)
            return entries[i].fd;
    cr_assert_fail("no listener for the proxy");
    return -1;
}

void eg_launched_free(struct eg_launch *l)
{
    unsigned count;
    const struct eg_launch_entry *entries = eg_launch_entries(l, &count);
    for (unsigned i = 0; i < count; i++)
        close(entries[i].fd);
    eg_launch_free(l);
}

static void run(const struct eg_launch_spec *spec, const struct eg_launch_paths *paths,
                struct eg_ran *ret)
{
    int ends[2], saved = dup(1), wait_status = 0;
    size_t n = 0;
    ssize_t k;
    struct eg_err err = { 0 };
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    dup2(ends[1], 1);
    struct eg_launch *l = prepare(spec);
    ret->status = eg_launch_cover(l, paths, &err);
    if (ret->status == EG_OK)
        ret->status = eg_launch_go(l, eg_launched_env, &err);
    dup2(saved, 1);
    close(saved);
    close(ends[1]);
    while ((k = read(ends[0], ret->out + n, sizeof ret->out - 1 - n)) > 0)
        n += (size_t)k;
    ret->out[n] = '\0';
    close(ends[0]);
    ret->code = -1;
    if (ret->status == EG_OK) {
        cr_assert_eq(waitpid(eg_launch_pid(l), &wait_status, 0), eg_launch_pid(l));
        eg_launch_ended(l);
        ret->code = eg_launch_exit_code(wait_status);
    }
    eg_launched_free(l);
}

void eg_launched_run(char *const *argv, const struct eg_launch_paths *paths, bool enforce,
                     struct eg_ran *ret)
{
    const struct eg_launch_spec spec =
        spec_of(argv, enforce ? EG_ENFORCE_NAMESPACES : EG_ENFORCE_NONE);
    run(&spec, paths, ret);
}

void eg_launched_script_alone(const char *script, unsigned landlock_abi,
                              const struct eg_launch_paths *paths, struct eg_ran *ret)
{
    char *argv[] = { (char[]){ "/bin/sh" }, (char[]){ "-c" }, (char *)(uintptr_t)script, NULL };
    struct eg_launch_spec spec = spec_of(argv, EG_ENFORCE_SECCOMP);
    spec.landlock_abi = landlock_abi;
    run(&spec, paths, ret);
}

void eg_launched_script(const char *script, const struct eg_launch_paths *paths, struct eg_ran *ret)
{
    char *argv[] = { (char[]){ "/bin/sh" }, (char[]){ "-c" }, (char *)(uintptr_t)script, NULL };
    eg_launched_run(argv, paths, true, ret);
}
