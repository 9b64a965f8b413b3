/* commands.h - the subcommands of egressctl. Each takes its own argv (argv[0] is the
 * subcommand's name) and returns the process' exit status. */
#ifndef EG_CMD_COMMANDS_H
#define EG_CMD_COMMANDS_H

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

/* The option tables, for --help and for the test that the manual names every one. `run` brings
 * its own: eg_run_options, eg_shell_options. */
extern const struct eg_cmd_options eg_session_options, eg_audit_options, eg_env_options,
    eg_status_options, eg_creds_options, eg_trust_options, eg_explain_options, eg_doctor_options, eg_egressd_options;

#endif
