/* ask.c - the policy of a command that starts nothing: found where `run` finds it, compiled as the proxy compiles it. */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/ask.h"
#include "cmd/run.h"

int eg_cmd_policy(const char *command, const char *file, bool trust, struct eg_sup_policy **ret)
{
    struct eg_err err = { 0 };
    char text[400];
    int code = EG_EXIT_FAILED;
    struct eg_run_places *places = calloc(1, sizeof *places);
    enum eg_status status = places ? eg_run_policies_find(places, file, trust, &err) : EG_NOMEM;
    if (status == EG_OK) {
        const struct eg_supervisor_options options = { .policies = places->policies,
                                                       .policy_count = places->policy_count };
        status = eg_sup_policy_compile(&options, ret, &err);
        code = status == EG_INVALID ? EG_EXIT_POLICY : EG_EXIT_FAILED;
    } else if (status == EG_NOT_FOUND) {
        code = EG_EXIT_POLICY;
    }
    free(places);
    if (status == EG_OK)
        return -1;
    fprintf(stderr, "%s: %s\n", command,
            err.status != EG_OK ? eg_err_format(&err, text, sizeof text)
                                : egress_status_sentence(status));
    return code;
}
