/* policy_cmd.c - the tables of commands, `egressctl NAME` and `egressctl policy NAME`, and how one is found. Each command lives in a file of its
 * own; a row here is all that makes it one. */
#include <string.h>

#include "cmd/commands.h"
#include "cmd/run.h"

const struct eg_command eg_policy_commands[] = {
    { "init", eg_cmd_policy_init, "write a first policy", &eg_policy_init_options, NULL, 0 },
    { "check", eg_cmd_policy_check, "say what is wrong with policy files", &eg_policy_check_options,
      NULL, 0 },
    { "test", eg_cmd_policy_test, "run the tests that stand in a policy", &eg_policy_test_options,
      NULL, 0 },
    { "diff", eg_cmd_policy_diff, "say what another version of a policy changes",
      &eg_policy_diff_options, NULL, 0 },
    { "explain", eg_cmd_explain, "say why the policy allows or refuses something",
      &eg_explain_options, NULL, 0 },
    { "fmt", eg_cmd_policy_fmt, "lay policy files out in the one way", &eg_policy_fmt_options, NULL,
      0 },
    { "learn", eg_cmd_policy_learn, "propose the least rules for what was refused",
      &eg_policy_learn_options, NULL, 0 },
    { "show", eg_cmd_policy_show, "show everything that the proxy would use, and where it comes from",
      &eg_policy_show_options, NULL, 0 },
    { "schema", eg_cmd_policy_schema, "print the JSON Schema of policy files",
      &eg_policy_schema_options, NULL, 0 },
    { NULL, NULL, NULL, NULL, NULL, 0 },
};

const struct eg_command eg_commands[] = {
    { "run", eg_cmd_run, "run a command whose only network is the policy's", &eg_run_options, NULL,
      EG_RUN_FAILED },
    { "shell", eg_cmd_shell, "start your shell in the same way", &eg_shell_options, NULL,
      EG_RUN_FAILED },
    { "session", eg_cmd_session, "make, show and revoke sessions", &eg_session_options, NULL, 0 },
    { "audit", eg_cmd_audit, "show what was decided", &eg_audit_options, NULL, 0 },
    { "env", eg_cmd_env, "print the variables of a session", &eg_env_options, NULL, 0 },
    { "status", eg_cmd_status, "show how the proxy does", &eg_status_options, NULL, 0 },
    { "creds", eg_cmd_creds, "show the proxy's credentials, and why one is not there",
      &eg_creds_options, NULL, 0 },
    { "explain", eg_cmd_explain, "say why the policy allows or refuses something",
      &eg_explain_options, NULL, 0 },
    { "policy", eg_cmd_policy_command, "what can be done with a policy file", NULL,
      eg_policy_commands, 0 },
    { "preset", eg_cmd_preset, "show the presets that policies can name", &eg_preset_options, NULL,
      0 },
    { "doctor", eg_cmd_doctor, "say what works here, what the policy needs, which secrets show",
      &eg_doctor_options, NULL, 0 },
    { "trust", eg_cmd_trust, "trust a repository's policy file", &eg_trust_options, NULL, 0 },
    { "completion", eg_cmd_completion, "print the completion of a shell", &eg_completion_options,
      NULL, 0 },
    { "help", eg_cmd_help_command, "tell about a command, a code or a reason", &eg_help_options,
      NULL, 0 },
    { NULL, NULL, NULL, NULL, NULL, 0 },
};

const struct eg_command *eg_command_find(const struct eg_command *table, const char *name)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

void eg_command_list(const char *command, const struct eg_command *table, FILE *out)
{
    fprintf(out, "usage: %s COMMAND [options]\n\n", command);
    for (; table->name; table++)
        fprintf(out, "  %-10s %s\n", table->name, table->about);
    fprintf(out, "\n%s COMMAND --help tells more%s\n", command,
            strchr(command, ' ') ? "" : "; egressctl --version");
}

int eg_command_dispatch(const char *command, const struct eg_command *table, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        eg_command_list(command, table, stdout);
        return EG_EXIT_OK;
    }
    const struct eg_command *c = eg_command_find(table, name);
    if (c)
        return c->run(argc - 1, argv + 1);
    if (*name)
        fprintf(stderr, "%s: there is no command %s\n", command, name);
    eg_command_list(command, table, stderr);
    return EG_EXIT_USAGE;
}

int eg_cmd_policy_command(int argc, char **argv)
{
    return eg_command_dispatch("egressctl policy", eg_policy_commands, argc, argv);
}
