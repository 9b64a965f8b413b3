/* fallback.c - runs a command in the sandbox that has no namespaces, with no more of Landlock than an older kernel has, and without a proxy behind its listener:
 *   fallback ABI [--user NAME] [--cover PATH]... [--read-only PATH]... -- CMD...
 * The system's own kernel is newer than some that egressd must work on, and `egressctl run` has no option to do without what is there. Exit status as egressctl run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch/launch.h"

enum { PATHS = 32, FAILED = 125 };

extern char **environ;

static int failed(enum eg_status status, const struct eg_err *err)
{
    char text[400];
    fprintf(stderr, "fallback: %s\n",
            err->status != EG_OK ? eg_err_format(err, text, sizeof text)
                                 : egress_status_sentence(status));
    return FAILED;
}

static int run(const struct eg_launch_spec *spec, const struct eg_launch_paths *paths)
{
    struct eg_err err = { 0 };
    struct eg_launch *l = NULL;
    int status = 0;
    enum eg_status done = eg_launch_prepare(spec, &l, &err);
    if (done != EG_OK)
        return failed(done, &err);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* as egressctl run */
    done = eg_launch_cover(l, paths, &err);
    if (done == EG_OK)
        done = eg_launch_go(l, environ, &err);
    if (done != EG_OK) {
        eg_launch_free(l);
        return failed(done, &err);
    }
    while (waitpid(eg_launch_pid(l), &status, 0) != eg_launch_pid(l))
        ;
    eg_launch_ended(l);
    eg_launch_sweep();
    eg_launch_free(l);
    return eg_launch_exit_code(status);
}

int main(int argc, char **argv)
{
    const char *covered[PATHS], *read_only[PATHS];
    struct eg_launch_paths paths = { .covered = covered, .read_only = read_only };
    struct eg_launch_spec spec = { .strongest = EG_ENFORCE_SECCOMP, .weakest = EG_ENFORCE_SECCOMP };
    int i = 2;
    for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
        if (strcmp(argv[i], "--user") == 0)
            spec.user = argv[i + 1];
        else if (strcmp(argv[i], "--cover") == 0 && paths.covered_count < PATHS)
            covered[paths.covered_count++] = argv[i + 1];
        else if (strcmp(argv[i], "--read-only") == 0 && paths.read_only_count < PATHS)
            read_only[paths.read_only_count++] = argv[i + 1];
        else
            break;
    }
    if (i + 1 >= argc || strcmp(argv[i], "--") != 0) {
        fprintf(stderr, "usage: fallback ABI [--user NAME] [--cover PATH]... [--read-only PATH]... "
                        "-- CMD...\n");
        return FAILED;
    }
    spec.landlock_abi = (unsigned)atoi(argv[1]);
    spec.argv = argv + i + 1;
    return run(&spec, &paths);
}
