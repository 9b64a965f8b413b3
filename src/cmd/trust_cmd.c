/* trust_cmd.c - `egressctl trust`: says yes to the text of a policy file, shows what was said
 * yes to, takes it back. */
#include <stdio.h>

#include "cmd/commands.h"
#include "cmd/trust.h"

static const char NAME[] = "egressctl trust";

static const struct eg_cmd_option list[] = {
    { 0, "list", NULL, "show the trusted files" },
    { 0, "remove", "FILE", "trust it no longer" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_trust_options = {
    .command = NAME,
    .operands = "[FILE]",
    .about =
        "Trusts a repository's policy as it is now; when it changes it is not trusted any more.",
    .list = list,
};

static void print_one(void *ctx, const char *path, int state)
{
    static const char *const states[] = { "trusted", "changed", "gone" };
    (void)ctx;
    printf("%-8s %s\n", states[state], path);
}

/* Says what else is covered, since a review must have seen that too. */
static enum eg_status add(const char *file, struct eg_err *err)
{
    struct eg_buf covers;
    eg_buf_init(&covers, 1 << 20);
    enum eg_status status = eg_trust_add(file, &covers, err);
    struct eg_slice rest = eg_buf_slice(&covers);
    if (status == EG_OK && rest.n > 0)
        printf("%s is trusted as it is now, and with it what it extends:\n", file);
    while (status == EG_OK && rest.n > 0) {
        size_t n = (size_t)eg_slice_index(rest, '\n');
        printf("  %.*s\n", (int)n, rest.p);
        rest = eg_slice_from(rest, n + 1);
    }
    eg_buf_done(&covers);
    return status;
}

int eg_cmd_trust(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_trust_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    struct eg_err err = { 0 };
    unsigned n;
    int at;
    int code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    const char *gone = eg_cmd_value(o, g, n, "remove");
    bool show = eg_cmd_value(o, g, n, "list") != NULL;
    if (argc - at != (gone || show ? 0 : 1) || (gone && show))
        return eg_cmd_usage(o, "one FILE, --list, or --remove FILE");
    enum eg_status status = gone   ? eg_trust_remove(gone, &err)
                            : show ? eg_trust_each(print_one, NULL, &err)
                                   : add(argv[at], &err);
    if (status == EG_OK)
        return EG_EXIT_OK;
    char text[256];
    fprintf(stderr, "%s: %s\n", NAME,
            eg_err_format(err.status != EG_OK ? &err : &(struct eg_err){ .status = status }, text,
                          sizeof text));
    return EG_EXIT_FAILED;
}
