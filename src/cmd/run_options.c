/* run_options.c - the options of `egressctl run` and `egressctl shell`, which are the same. */
#include <string.h>

#include "cmd/run.h"
#include "cmd/upstream.h"

enum { EG_RUN_WORKERS_MAX = 64, EG_RUN_SOCKET_PATH = 108 /* of sockaddr_un */ };

static const struct eg_cmd_option run_list[] = {
    { 'p', "policy", "FILE", "the policy of this run (default: ./egress.yaml)" },
    { 0, "trust", NULL, "trust that file for this run: it may name credentials and the like" },
    { 'u', "user", "NAME", "as root: who the command runs as (default: sudo's caller)" },
    { 0, "env", "inherit|strict", "strict: without *_TOKEN, *_API_KEY and *_SECRET* of yours; or inherit" },
    { 0, "fail-on-deny", NULL, "exit 1 when the command succeeds and anything was refused" },
    { 0, "enforcement", "auto|namespaces|seccomp", "namespaces, seccomp (where there are none), or auto: the stronger" },
    { 0, "socket", "PATH", "let the command connect to this Unix socket; repeated: to several" },
    { 0, "no-enforce", NULL, "run without a sandbox: the command can go round the proxy" },
    { 0, "transparent", NULL, "judge programs that know no proxy too, by the names they look up" },
    { 0, "observe", NULL, "refuse only what deny rules and addresses refuse; record the rest" },
    { 0, "write", "PATH", "let the command change PATH though it may run outside later; repeated" },
    { 'w', "workers", "N", "worker processes, 1 to 64 (default: 1)" },
    { 0, "upstream-proxy", "URL", "go out through this proxy; repeated: a chain in that order" },
    { 0, NULL, NULL, NULL },
};

const struct eg_cmd_options eg_run_options = {
    .command = "egressctl run",
    .operands = "[--] CMD...",
    .about = "Runs a command whose only way to the network is the policy's.",
    .stop_at_operand = true,
    .list = run_list,
};

const struct eg_cmd_options eg_shell_options = {
    .command = "egressctl shell",
    .operands = "",
    .about = "Starts your shell ($SHELL) as `egressctl run` starts a command.",
    .stop_at_operand = true,
    .list = run_list,
};

static int wrong(int usage)
{
    (void)usage; /* it is said; run has docker's status for it */
    return EG_RUN_FAILED;
}

/* -1: fine. */
static int take_writable(const struct eg_cmd_options *o, const struct eg_cmd_given *given,
                         unsigned count, struct eg_run_asked *ret)
{
    for (unsigned i = 0; i < count; i++) {
        const char *name = o->list[given[i].index].name;
        if (!name || strcmp(name, "write") != 0)
            continue;
        if (given[i].value[0] != '/')
            return wrong(eg_cmd_usage(o, "--write takes an absolute path"));
        ret->writable[ret->writable_count++] = given[i].value;
    }
    return -1;
}

static int take_command(const struct eg_cmd_options *o, int argc, char **argv, int operand,
                        struct eg_run_asked *ret)
{
    if (o == &eg_shell_options && operand < argc)
        return wrong(eg_cmd_usage(o, "it takes no command; egressctl run does"));
    if (o != &eg_shell_options && operand >= argc)
        return wrong(eg_cmd_usage(o, "which command?"));
    ret->command = operand < argc ? argv + operand : NULL;
    return -1;
}

static int take_enforcement(const struct eg_cmd_options *o, const struct eg_cmd_given *given,
                            unsigned count, struct eg_run_asked *ret)
{
    const char *mode = eg_cmd_value(o, given, count, "enforcement");
    bool none = eg_cmd_value(o, given, count, "no-enforce") != NULL;
    if (mode && none)
        return wrong(eg_cmd_usage(o, "--enforcement and --no-enforce are not for one run"));
    ret->strongest = none ? EG_ENFORCE_NONE : EG_ENFORCE_NAMESPACES;
    ret->weakest = none ? EG_ENFORCE_NONE : EG_ENFORCE_SECCOMP;
    if (mode && strcmp(mode, "namespaces") == 0)
        ret->weakest = EG_ENFORCE_NAMESPACES;
    else if (mode && strcmp(mode, "seccomp") == 0)
        ret->strongest = EG_ENFORCE_SECCOMP;
    else if (mode && strcmp(mode, "auto") != 0)
        return wrong(eg_cmd_usage(o, "--enforcement takes auto, namespaces or seccomp"));
    return -1;
}

/* The command asks for them by the very same text, which must fit a socket's address. */
static int take_sockets(const struct eg_cmd_options *o, const struct eg_cmd_given *given,
                        unsigned count, struct eg_run_asked *ret)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!o->list[given[i].index].name || strcmp(o->list[given[i].index].name, "socket") != 0)
            continue;
        if (n == EG_RUN_SOCKETS)
            return wrong(eg_cmd_usage(o, "more than %d --socket", EG_RUN_SOCKETS));
        if (given[i].value[0] != '/' || strlen(given[i].value) >= EG_RUN_SOCKET_PATH)
            return wrong(eg_cmd_usage(o, "--socket takes an absolute path of at most %d bytes",
                                      EG_RUN_SOCKET_PATH - 1));
        ret->sockets[n++] = given[i].value;
    }
    if (n > 0 && ret->strongest == EG_ENFORCE_NONE)
        return wrong(eg_cmd_usage(o, "--socket is for an enforced run: --no-enforce shuts nothing out"));
    return -1;
}

int eg_run_parse(const struct eg_cmd_options *o, int argc, char **argv, struct eg_run_asked *ret)
{
    struct eg_cmd_given given[EG_CMD_OPTIONS_MAX];
    unsigned count;
    int operand;
    unsigned long long workers = 1;
    *ret = (struct eg_run_asked){ .options = o };
    int code = eg_cmd_parse(o, argc, argv, given, EG_CMD_OPTIONS_MAX, &count, &operand);
    if (code >= 0)
        return code == EG_EXIT_OK ? code : EG_RUN_FAILED;
    /* before anything is cloned: the command line is overwritten, a copy of it would stay */
    if (eg_sup_upstream_take(o, given, count, &ret->upstream) >= 0)
        return EG_RUN_FAILED;
    const char *n = eg_cmd_value(o, given, count, "workers");
    const char *env = eg_cmd_value(o, given, count, "env");
    if (n &&
        (!eg_slice_u64(eg_slice_str(n), &workers) || workers < 1 || workers > EG_RUN_WORKERS_MAX))
        return wrong(eg_cmd_usage(o, "--workers takes 1 to %d", EG_RUN_WORKERS_MAX));
    if (env && strcmp(env, "strict") != 0 && strcmp(env, "inherit") != 0)
        return wrong(eg_cmd_usage(o, "--env takes strict or inherit"));
    ret->workers = (unsigned)workers;
    ret->strict = env && strcmp(env, "strict") == 0;
    ret->fail_on_deny = eg_cmd_value(o, given, count, "fail-on-deny") != NULL;
    ret->user = eg_cmd_value(o, given, count, "user");
    if ((code = take_enforcement(o, given, count, ret)) >= 0 ||
        (code = take_sockets(o, given, count, ret)) >= 0)
        return code;
    ret->capture = eg_cmd_value(o, given, count, "transparent") != NULL;
    if (ret->capture && ret->strongest != EG_ENFORCE_NAMESPACES)
        return wrong(eg_cmd_usage(o, "--transparent needs a network of the command's own: only "
                                     "--enforcement=namespaces gives it one"));
    if (ret->capture) /* nothing weaker will do */
        ret->weakest = EG_ENFORCE_NAMESPACES;
    ret->observe = eg_cmd_value(o, given, count, "observe") != NULL;
    ret->file = eg_cmd_value(o, given, count, "policy");
    ret->trust = eg_cmd_value(o, given, count, "trust") != NULL;
    if (take_writable(o, given, count, ret) >= 0)
        return EG_RUN_FAILED;
    return take_command(o, argc, argv, operand, ret);
}
