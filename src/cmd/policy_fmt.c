/* policy_fmt.c - `egressctl policy fmt`: puts policy files into their one layout. What a file says stays the same: that is proven before it is
 * written, in one step. It compiles nothing and asks nobody. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/files.h"
#include "cmd/trust.h"
#include "policy/fmt.h"

static const char NAME[] = "egressctl policy fmt";

static const struct eg_cmd_option list[] = {
    { 0, "check", NULL, "write nothing: name the files that are laid out otherwise, and exit 1" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_policy_fmt_options = {
    .command = NAME,
    .operands = "[FILE...]",
    .about = "Lays policy files out in the one way (default: ./egress.yaml; -: standard input to "
             "standard output).",
    .list = list,
};

static int failed(const char *path, enum eg_status status, const struct eg_err *err)
{
    char text[300];
    const struct eg_err plain = { .status = status };
    fprintf(stderr, "%s: %s: %s\n", NAME, path,
            eg_err_format(err->status != EG_OK ? err : &plain, text, sizeof text));
    return status == EG_INVALID || status == EG_NOT_FOUND ? EG_EXIT_POLICY : EG_EXIT_FAILED;
}

static enum eg_status read_input(struct eg_buf *out, struct eg_err *err)
{
    enum { BLOCK = 65536 };
    for (;;) {
        char *room;
        enum eg_status status = eg_buf_reserve(out, BLOCK, &room);
        if (status != EG_OK)
            return status;
        ssize_t n = read(0, room, BLOCK);
        if (n < 0)
            return eg_err_set(err, EG_IO, "file", 0, "standard input can't be read");
        if (n == 0)
            return EG_OK;
        eg_buf_commit(out, (size_t)n);
    }
}

static int invalid(const struct eg_diags *diags)
{
    struct eg_buf text;
    eg_buf_init(&text, 1 << 20);
    if (eg_diags_render(diags, isatty(2) && !getenv("NO_COLOR"), &text) == EG_OK)
        (void)!eg_file_write(2, eg_buf_slice(&text), NULL);
    eg_buf_done(&text);
    return EG_EXIT_POLICY;
}

static int write_back(const char *path, struct eg_slice after)
{
    struct eg_err err = { 0 };
    bool trusted = eg_trust_holds(path);
    enum eg_status status = eg_file_rewrite(path, after, &err);
    if (status != EG_OK)
        return failed(path, status, &err);
    printf("%s\n", path);
    if (trusted)
        fprintf(stderr, "%s: %s was trusted as it was; it means the same: egressctl trust %s\n", NAME,
                path, path);
    return EG_EXIT_OK;
}

static int lay_out(const char *path, bool check, struct eg_buf *text, struct eg_buf *out,
                   struct eg_diags *diags)
{
    struct eg_err err = { 0 };
    bool input = strcmp(path, "-") == 0;
    enum eg_status status = input ? read_input(text, &err) : eg_file_read(path, text, NULL, &err);
    if (status != EG_OK)
        return failed(path, status, &err);
    const struct eg_policy_file file = { .path = input ? "standard input" : path,
                                         .text = eg_buf_slice(text),
                                         .layer = EG_LAYER_REPO };
    status = eg_policy_fmt(&file, diags, out, &err);
    if (eg_diags_total(diags) > 0)
        return invalid(diags);
    if (status != EG_OK)
        return failed(path, status, &err);
    bool same = eg_slice_eq(eg_buf_slice(text), eg_buf_slice(out));
    if (check && !same)
        printf("%s\n", path);
    if (check)
        return same ? EG_EXIT_OK : EG_EXIT_FAILED;
    if (input)
        return eg_file_write(1, eg_buf_slice(out), &err) == EG_OK ? EG_EXIT_OK
                                                                  : failed(path, EG_IO, &err);
    return same ? EG_EXIT_OK : write_back(path, eg_buf_slice(out));
}

static int one(const char *path, bool check)
{
    struct eg_diags *diags = NULL;
    struct eg_buf text, out;
    if (eg_diags_new(&diags) != EG_OK)
        return failed(path, EG_NOMEM, &(struct eg_err){ 0 });
    eg_buf_init(&text, EG_FILE_POLICY_MAX);
    eg_buf_init(&out, EG_FILE_POLICY_MAX);
    int code = lay_out(path, check, &text, &out, diags);
    eg_buf_done(&text);
    eg_buf_done(&out);
    eg_diags_free(diags);
    return code;
}

int eg_cmd_policy_fmt(int argc, char **argv)
{
    const struct eg_cmd_options *o = &eg_policy_fmt_options;
    struct eg_cmd_given g[EG_CMD_OPTIONS_MAX];
    unsigned n;
    int at, code = eg_cmd_parse(o, argc, argv, g, EG_CMD_OPTIONS_MAX, &n, &at);
    if (code >= 0)
        return code;
    bool check = eg_cmd_value(o, g, n, "check") != NULL;
    code = at == argc ? one("egress.yaml", check) : EG_EXIT_OK;
    for (; at < argc; at++) {
        int each = one(argv[at], check);
        code = each > code ? each : code; /* an invalid file counts more than one to be laid out */
    }
    return code;
}
