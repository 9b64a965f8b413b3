/* egressctl.c - the person's hand on the proxy: finds the subcommand and calls it. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "cmd/commands.h"

#ifndef EG_VERSION
#define EG_VERSION "0"
#endif

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
    int broken; /* the exit status of a start that fails before the subcommand */
} commands[] = {
    { "run", eg_cmd_run, "run a command whose only network is the policy's", 125 },
    { "shell", eg_cmd_shell, "start your shell in the same way", 125 },
    { "session", eg_cmd_session, "make, show and revoke sessions", 1 },
    { "audit", eg_cmd_audit, "show what was decided", 1 },
    { "env", eg_cmd_env, "print the variables of a session", 1 },
    { "status", eg_cmd_status, "show how the proxy does", 1 },
    { "creds", eg_cmd_creds, "show the proxy's credentials, and why one is not there", 1 },
    { "explain", eg_cmd_explain, "say why the policy allows or refuses something", 1 },
    { "doctor", eg_cmd_doctor, "say what works here, what the policy needs, which secrets show", 1 },
    { "trust", eg_cmd_trust, "trust a repository's policy file", 1 },
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static void help(FILE *out)
{
    fprintf(out, "usage: egressctl COMMAND [options]\n\n");
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].about);
    fprintf(out, "\negressctl COMMAND --help tells more; egressctl --version\n");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        help(stdout);
        return EG_EXIT_OK;
    }
    if (strcmp(name, "--version") == 0) {
        printf("egressctl %s\n", EG_VERSION);
        return EG_EXIT_OK;
    }
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0)
            return sodium_init() < 0 ? commands[i].broken : commands[i].run(argc - 1, argv + 1);
    if (*name)
        fprintf(stderr, "egressctl: there is no command %s\n", name);
    help(stderr);
    return EG_EXIT_USAGE;
}
