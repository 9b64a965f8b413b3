/* ask.c - the policy of a command that starts nothing: found where `run` finds it, compiled as the proxy compiles it, its problems for people. */
#include "cmd/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/files.h"

enum { DIAG_TEXT = 1 << 20 };

void eg_cmd_diags(const struct eg_diags *d)
{
    struct eg_buf text;
    eg_buf_init(&text, DIAG_TEXT);
    if (eg_diags_render(d, isatty(2) && !getenv("NO_COLOR"), &text) == EG_OK && text.len > 0)
        (void)!eg_file_write(2, eg_buf_slice(&text), NULL);
    eg_buf_done(&text);
}

int eg_cmd_policy(const char *command, const char *file, bool trust, struct eg_loaded **ret)
{
    const struct eg_load_spec spec = { .file = file, .trust = trust };
    struct eg_err err = { 0 };
    char text[400];
    enum eg_status status = eg_load(&spec, ret, &err);
    if (status != EG_OK) {
        fprintf(stderr, "%s: %s\n", command,
                err.status != EG_OK ? eg_err_format(&err, text, sizeof text)
                                    : egress_status_sentence(status));
        return status == EG_INVALID || status == EG_NOT_FOUND ? EG_EXIT_POLICY : EG_EXIT_FAILED;
    }
    eg_cmd_diags((*ret)->diags);
    if ((*ret)->policy)
        return -1;
    int code = eg_loaded_exit(*ret);
    fprintf(stderr, "%s: the policy %s\n", command,
            code == EG_EXIT_REFUSED ? "says what it may not" : "is not valid");
    eg_loaded_free(*ret);
    *ret = NULL;
    return code;
}
