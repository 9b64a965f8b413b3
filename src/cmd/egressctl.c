/* egressctl.c - the person's hand on the proxy: finds the command and calls it. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "cmd/commands.h"

#ifndef EG_VERSION
#define EG_VERSION "0"
#endif

/* What was to be printed and is lost (a full disk, a closed descriptor) is no success. A reader that went away wants no more. */
static int finish(int code)
{
    bool lost = ferror(stdout) != 0;
    errno = 0;
    if ((fflush(stdout) == 0 && !lost) || errno == EPIPE)
        return code;
    fprintf(stderr, "egressctl: the standard output can't be written%s%s\n", errno ? ": " : "",
            errno ? strerror(errno) : "");
    return code == EG_EXIT_OK ? EG_EXIT_FAILED : code;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    const struct eg_command *c = eg_command_find(eg_commands, name);
    if (strcmp(name, "--version") == 0) {
        printf("egressctl %s\n", EG_VERSION);
        return finish(EG_EXIT_OK);
    }
    if (c && sodium_init() < 0)
        return c->broken ? c->broken : EG_EXIT_FAILED;
    return finish(eg_command_dispatch("egressctl", eg_commands, argc, argv));
}
