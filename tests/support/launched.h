/* launched.h - a command that is really cloned, confined and executed by launch/, with its output.
 * Where the kernel refuses namespaces the test is skipped, with its reason. */
#ifndef EG_TESTS_SUPPORT_LAUNCHED_H
#define EG_TESTS_SUPPORT_LAUNCHED_H

#include "launch/launch.h"

struct eg_ran {
    int code; /* as docker has it; -1: it never ran */
    enum eg_status status;
    char out[16384];
};

/* PATH, and GREETING=hello. */
extern char *const eg_launched_env[];

/* enforce: namespaces, else nothing. As root the child is nobody. */
struct eg_launch *eg_launched_prepare(char *const *argv, bool enforce);
/* The fallback without namespaces, with no more of Landlock than that (0: all there is). */
struct eg_launch *eg_launched_alone(char *const *argv, unsigned landlock_abi);
void eg_launched_script_alone(const char *script, unsigned landlock_abi,
                              const struct eg_launch_paths *paths, struct eg_ran *ret);
/* The proxy's listener inside. */
int eg_launched_listener(const struct eg_launch *l);
/* With all listeners. */
void eg_launched_free(struct eg_launch *l);
/* Runs it to its end. Its stdout is a pipe of ours, from before the clone. paths may be NULL. */
void eg_launched_run(char *const *argv, const struct eg_launch_paths *paths, bool enforce,
                     struct eg_ran *ret);
/* That, enforced, for a script of /bin/sh. */
void eg_launched_script(const char *script, const struct eg_launch_paths *paths,
                        struct eg_ran *ret);

#endif
