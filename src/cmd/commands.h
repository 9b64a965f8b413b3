/* commands.h - the subcommands of egressctl, and their one table. Each takes its own argv (argv[0] is the subcommand's name) and returns the process'
 * exit status. */
#ifndef EG_CMD_COMMANDS_H
#define EG_CMD_COMMANDS_H

#include <stdio.h>

#include "cmd/options.h"

int eg_cmd_run(int argc, char **argv);
int eg_cmd_shell(int argc, char **argv);
int eg_cmd_session(int argc, char **argv);
int eg_cmd_audit(int argc, char **argv);
int eg_cmd_env(int argc, char **argv);
int eg_cmd_status(int argc, char **argv);
int eg_cmd_creds(int argc, char **argv);
int eg_cmd_trust(int argc, char **argv);
int eg_cmd_explain(int argc, char **argv);
int eg_cmd_doctor(int argc, char **argv);
int eg_cmd_preset(int argc, char **argv);
int eg_cmd_policy_command(int argc, char **argv);
int eg_cmd_completion(int argc, char **argv);
int eg_cmd_help_command(int argc, char **argv);
int eg_cmd_policy_check(int argc, char **argv);
int eg_cmd_policy_diff(int argc, char **argv);
int eg_cmd_policy_schema(int argc, char **argv);
int eg_cmd_policy_test(int argc, char **argv);
int eg_cmd_policy_fmt(int argc, char **argv);
int eg_cmd_policy_learn(int argc, char **argv);
int eg_cmd_policy_init(int argc, char **argv);
int eg_cmd_policy_show(int argc, char **argv);

/* The option tables, for --help and for the test that the manual names every one. `run` brings
 * its own: eg_run_options, eg_shell_options. */
extern const struct eg_cmd_options eg_session_options;
extern const struct eg_cmd_options eg_audit_options;
extern const struct eg_cmd_options eg_env_options;
extern const struct eg_cmd_options eg_status_options;
extern const struct eg_cmd_options eg_creds_options;
extern const struct eg_cmd_options eg_trust_options;
extern const struct eg_cmd_options eg_explain_options;
extern const struct eg_cmd_options eg_doctor_options;
extern const struct eg_cmd_options eg_preset_options;
extern const struct eg_cmd_options eg_egressd_options;
extern const struct eg_cmd_options eg_policy_fmt_options;
extern const struct eg_cmd_options eg_policy_learn_options;
extern const struct eg_cmd_options eg_policy_init_options;
extern const struct eg_cmd_options eg_help_options;
extern const struct eg_cmd_options eg_policy_check_options;
extern const struct eg_cmd_options eg_policy_show_options;
extern const struct eg_cmd_options eg_policy_schema_options;
extern const struct eg_cmd_options eg_policy_test_options;
extern const struct eg_cmd_options eg_completion_options;

extern const struct eg_cmd_options eg_policy_diff_options;

/* One command. --help, the manuals' tests and the completion of shells all read these tables. */
struct eg_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;                    /* for the list of --help: no capital, no full stop */
    const struct eg_cmd_options *options; /* NULL: it has commands of its own */
    const struct eg_command *commands;    /* these; ends with name NULL */
    int broken; /* the exit status of a start that fails before the command; 0: EG_EXIT_FAILED */
};

/* egressctl NAME, and egressctl policy NAME: policy_cmd.c. Both end with name NULL. */
extern const struct eg_command eg_commands[], eg_policy_commands[];

/* "usage: COMMAND SUBCOMMAND [options]" and the table's lines. */
void eg_command_list(const char *command, const struct eg_command *table, FILE *out);
/* The row of that name; NULL when there is none. */
const struct eg_command *eg_command_find(const struct eg_command *table, const char *name);
/* Runs the subcommand that argv[1] names; without one, or with one that does not exist, the list on stderr and 2. --help: the list, and 0. */
int eg_command_dispatch(const char *command, const struct eg_command *table, int argc, char **argv);

#endif
