/* egressctl.c - the person's hand on the proxy: finds the command and calls it. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "cmd/commands.h"

#ifndef EG_VERSION
#define EG_VERSION "0"
#endif

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    const struct eg_command *c = eg_command_find(eg_commands, name);
    if (strcmp(name, "--version") == 0) {
        printf("egressctl %s\n", EG_VERSION);
        return EG_EXIT_OK;
    }
    if (c && sodium_init() < 0)
        return c->broken ? c->broken : EG_EXIT_FAILED;
    return eg_command_dispatch("egressctl", eg_commands, argc, argv);
}
