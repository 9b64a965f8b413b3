/* run.c - `egressctl run`: a child whose only network is a proxy that lives exactly as long as
 * it does.
 *
 * The order is the point: the child's first process is cloned while this one holds nothing; then
 * the environment is copied and overwritten, this process becomes undumpable, policy and
 * credentials are read, the workers start; only then does the child go on to the command. While
 * it runs nothing is printed. Exit statuses are docker's: the command's own, 125 for ours, 126
 * and 127. */
#include "cmd/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/commands.h"
#include "cmd/upstream.h"

enum {
    EG_RUN_FAILED = 125,
    EG_RUN_NOT_EXECUTABLE = 126,
    EG_RUN_NOT_FOUND = 127,
    EG_RUN_WORKERS_MAX = 64
};

static const struct eg_cmd_option run_list[] = {
    { 'p', "policy", "FILE", "the policy of this run (default: ./egress.yaml)" },
    { 0, "trust", NULL, "trust that file for this run: it may name credentials and the like" },
    { 'u', "user", "NAME", "as root: who the command runs as (default: sudo's caller)" },
    { 0, "no-enforce", NULL, "run without a sandbox: the command can go round the proxy" },
    { 0, "observe", NULL, "refuse only what deny rules and addresses refuse; record the rest" },
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

struct eg_run {
    struct eg_run_places places;
    struct eg_launch *child;
    struct eg_environ *environment;
    struct eg_sup_upstream *upstream;
    struct eg_supervisor *supervisor;
    struct eg_watch watch; /* the child's init, about its terminal */
    bool observe, ended;
    enum eg_enforcement strongest, weakest;
    const char *user;
    unsigned workers;
    int wait_status;
};

static bool enforced(const struct eg_run *r)
{
    return eg_launch_enforcement(r->child) != EG_ENFORCE_NONE;
}

static int failed(const char *what, const struct eg_err *err, enum eg_status status)
{
    char text[400];
    if (err->status != EG_OK)
        fprintf(stderr, "egressctl run: %s: %s\n", what, eg_err_format(err, text, sizeof text));
    else
        fprintf(stderr, "egressctl run: %s: %s\n", what, egress_status_sentence(status));
    return EG_RUN_FAILED;
}

/* ---- while the child runs ---- */

static void on_exit_of(void *ctx, pid_t pid, int wait_status)
{
    struct eg_run *r = ctx;
    if (pid != eg_launch_pid(r->child) || r->ended)
        return;
    r->ended = true;
    r->wait_status = wait_status;
    eg_launch_ended(r->child);
    eg_supervisor_quit(r->supervisor, false);
}

/* Everything that would end or change us is for the command; the proxy ends when it does. */
static bool on_signal(void *ctx, int signal)
{
    struct eg_run *r = ctx;
    static const int passed[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM };
    for (unsigned i = 0; i < sizeof passed / sizeof *passed; i++)
        if (signal == passed[i]) {
            eg_launch_signal(r->child, signal);
            return true;
        }
    return false;
}

/* ^Z stopped the command: stop too, so that the shell takes over; its fg wakes us, and we wake
 * the command. */
static void on_child_event(struct eg_watch *w, unsigned events)
{
    struct eg_run *r = w->ctx;
    (void)events;
    char byte;
    ssize_t n = recv(eg_launch_events_fd(r->child), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        eg_watch_drop(eg_supervisor_loop(r->supervisor), w);
        return;
    }
    while (eg_launch_stopped(r->child)) {
        raise(SIGSTOP);
        eg_launch_continue(r->child);
    }
}

static enum eg_status watch_child(struct eg_run *r)
{
    r->watch = (struct eg_watch){ .ready = on_child_event, .ctx = r };
    return eg_watch_set(eg_supervisor_loop(r->supervisor), &r->watch, eg_launch_events_fd(r->child),
                        0, EG_IN);
}

/* ---- before ---- */

static int parse(struct eg_run *r, int argc, char **argv, const char **file, bool *trust,
                 char ***command)
{
    struct eg_cmd_given given[EG_CMD_OPTIONS_MAX];
    unsigned count;
    int operand;
    unsigned long long workers = 1;
    int code =
        eg_cmd_parse(&eg_run_options, argc, argv, given, EG_CMD_OPTIONS_MAX, &count, &operand);
    if (code >= 0)
        return code == EG_EXIT_OK ? code : EG_RUN_FAILED;
    /* before anything is cloned: the command line is overwritten, a copy of it would stay */
    if (eg_sup_upstream_take(&eg_run_options, given, count, &r->upstream) >= 0)
        return EG_RUN_FAILED;
    const char *n = eg_cmd_value(&eg_run_options, given, count, "workers");
    if (n &&
        (!eg_slice_u64(eg_slice_str(n), &workers) || workers < 1 || workers > EG_RUN_WORKERS_MAX)) {
        eg_cmd_usage(&eg_run_options, "--workers takes 1 to %d", EG_RUN_WORKERS_MAX);
        return EG_RUN_FAILED;
    }
    if (operand >= argc) {
        eg_cmd_usage(&eg_run_options, "which command?");
        return EG_RUN_FAILED;
    }
    r->workers = (unsigned)workers;
    r->user = eg_cmd_value(&eg_run_options, given, count, "user");
    r->strongest = r->weakest = eg_cmd_value(&eg_run_options, given, count, "no-enforce")
                                    ? EG_ENFORCE_NONE
                                    : EG_ENFORCE_NAMESPACES;
    r->observe = eg_cmd_value(&eg_run_options, given, count, "observe") != NULL;
    *file = eg_cmd_value(&eg_run_options, given, count, "policy");
    *trust = eg_cmd_value(&eg_run_options, given, count, "trust") != NULL;
    *command = argv + operand;
    return -1;
}

/* From here on nobody of our user reads this process' memory, and no key stands in its
 * environment. */
static enum eg_status harden(struct eg_run *r)
{
    const struct rlimit none = { 0, 0 };
    enum eg_status status = eg_environ_take(&r->environment);
    if (status != EG_OK)
        return status;
    eg_environ_wipe_own();
    if (!r->upstream)
        status = eg_sup_upstream_environment(r->environment, &r->upstream);
    if (status != EG_OK)
        return status;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ? EG_INTERNAL
                                                                                       : EG_OK;
}

static enum eg_status start_proxy(struct eg_run *r, struct eg_session_info *session,
                                  struct eg_err *err)
{
    struct eg_supervisor_options options = {
        .policies = r->places.policies,
        .policy_count = r->places.policy_count,
        .environment = r->environment,
        .upstream = r->upstream,
        .workers = r->workers,
        .observe = r->observe,
        .control_path = r->places.control,
        .enforcement = eg_enforcement_name(eg_launch_enforcement(r->child)),
        .weaker = eg_launch_weaker_because(r->child),
        .splice = true,
        .events_file = r->places.events[0] ? r->places.events : NULL,
        .child_exited = on_exit_of,
        .signalled = on_signal,
        .ctx = r,
    };
    const struct eg_launch_entry *entries = eg_launch_entries(r->child, &options.entry_count);
    memcpy(options.entries, entries, options.entry_count * sizeof *entries);
    options.entry_session = r->places.name;
    enum eg_status status = eg_supervisor_new(&options, &r->supervisor, err);
    if (status == EG_OK)
        status = eg_supervisor_start(r->supervisor, err);
    if (status == EG_OK)
        status = eg_supervisor_session_create(r->supervisor, r->places.name, 0, session, err);
    if (status == EG_OK)
        status = watch_child(r);
    return status;
}

static enum eg_status child_environment(struct eg_run *r, const struct eg_session_info *session,
                                        char *const *parent, char ***ret, struct eg_err *err)
{
    const char **services = calloc(session->phantom_count + 1, sizeof *services);
    const char **texts = calloc(session->phantom_count + 1, sizeof *texts);
    enum eg_status status = services && texts ? EG_OK : EG_NOMEM;
    for (unsigned i = 0; status == EG_OK && i < session->phantom_count; i++) {
        services[i] = session->phantoms[i].service;
        texts[i] = session->phantoms[i].phantom;
    }
    const struct eg_child_env_spec spec = {
        .parent = parent,
        .policy = eg_supervisor_policy(r->supervisor),
        .listener = eg_launch_address(r->child, EG_ENTRY_PROXY),
        .open = eg_launch_address(r->child, EG_ENTRY_OPEN),
        .session = session->label,
        .token = session->token,
        .policy_path = r->places.policies[r->places.policy_count - 1].path,
        .phantom_count = session->phantom_count,
        .phantom_services = services,
        .phantom_texts = texts,
    };
    if (status == EG_OK)
        status = eg_child_env_make(&spec, ret, err);
    free(services);
    free(texts);
    return status;
}

/* Whatever source a key comes from, the parent may hold a copy of it under any name. */
static void drop_copies(const struct eg_run *r, char **environment)
{
    char **to = environment;
    for (char **e = environment; *e; e++)
        if (!eg_supervisor_holds_secret(r->supervisor, *e))
            *to++ = *e;
    *to = NULL;
}

static enum eg_status let_go(struct eg_run *r, const struct eg_session_info *session,
                             struct eg_err *err)
{
    struct eg_run_user user = { 0 };
    struct eg_run_paths paths = { 0 };
    char **environment = NULL;
    enum eg_status status = eg_run_user_make(r->user, eg_environ_all(r->environment), &user, err);
    if (status == EG_OK)
        drop_copies(r, user.environment);
    if (status == EG_OK)
        status = child_environment(r, session, user.environment, &environment, err);
    if (status == EG_OK)
        status = eg_run_paths_make(&r->places, r->environment, eg_supervisor_policy(r->supervisor),
                                   user.uid, &paths);
    for (unsigned i = 0; enforced(r) && status == EG_OK && i < paths.exposed_count; i++)
        fprintf(stderr,
                "egressctl run: warning: file:%s: whoever replaces it meanwhile shows it to the "
                "command: keep it in a folder (0700) of its own\n",
                paths.exposed[i]);
    if (status == EG_OK)
        status = eg_launch_go(r->child, environment, &paths.lists, err);
    eg_child_env_free(environment);
    eg_run_paths_done(&paths);
    eg_run_user_done(&user);
    return status;
}

/* ---- after ---- */

static void summarise(struct eg_run *r)
{
    struct eg_buf text;
    eg_buf_init(&text, 64 * 1024);
    if (eg_summary_write(eg_supervisor_ring(r->supervisor), isatty(STDERR_FILENO), &text) ==
            EG_OK &&
        text.len > 0)
        fprintf(stderr, "egressctl run: what did not get through:\n%.*s", (int)text.len,
                eg_buf_slice(&text).p);
    eg_buf_done(&text);
}

static int supervise(struct eg_run *r)
{
    struct eg_err err = { 0 };
    struct eg_session_info session = { 0 };
    enum eg_status status = start_proxy(r, &session, &err);
    if (status == EG_INVALID && !r->supervisor)
        return failed("the policy is not valid", &err, status);
    if (status != EG_OK)
        return failed("the proxy can't be started", &err, status);
    if (r->observe)
        fprintf(stderr, "egressctl run: warning: --observe: only deny rules, forbidden addresses and "
                        "metadata are refused\n");
    if (!enforced(r)) {
        fprintf(stderr, "egressctl run: warning: --no-enforce: the command is not confined and can "
                        "go round the proxy\n");
    }
    status = let_go(r, &session, &err);
    if (status != EG_OK) {
        failed("the command was not started", &err, status);
        return status == EG_NOT_FOUND    ? EG_RUN_NOT_FOUND
               : status == EG_PERMISSION ? EG_RUN_NOT_EXECUTABLE
                                         : EG_RUN_FAILED;
    }
    eg_log_set_level(EG_LOG_NONE); /* the terminal is the command's; the audit has what happens */
    status = eg_supervisor_run(r->supervisor, &err);
    eg_log_set_level(EG_LOG_INFO);
    eg_launch_take_terminal(r->child);
    if (!r->ended)
        return failed("the proxy ended before the command", &err, status);
    if (status != EG_OK)
        failed("warning: the events were not kept", &err, status);
    summarise(r);
    return eg_launch_exit_code(r->wait_status);
}

int eg_cmd_run(int argc, char **argv)
{
    struct eg_run *r = calloc(1, sizeof *r);
    struct eg_err err = { 0 };
    const char *file;
    bool trust;
    char **command;
    int code = r ? parse(r, argc, argv, &file, &trust, &command) : EG_RUN_FAILED;
    if (code >= 0)
        goto done;
    code = EG_RUN_FAILED;
    enum eg_status status = eg_run_places_find(&r->places, file, trust, &err);
    if (status != EG_OK) {
        failed("no policy", &err, status);
        goto done;
    }
    const struct eg_launch_spec spec = { .argv = command,
                                         .strongest = r->strongest,
                                         .weakest = r->weakest,
                                         .user = r->user,
                                         .sudo_uid = getenv("SUDO_UID"),
                                         .sudo_gid = getenv("SUDO_GID") };
    status = eg_launch_prepare(&spec, &r->child, &err);
    if (status != EG_OK) {
        failed("no sandbox", &err, status);
        goto done;
    }
    status = harden(r);
    code = status == EG_OK ? supervise(r) : failed("this process can't be hardened", &err, status);
done:
    if (r) {
        if (r->supervisor)
            eg_watch_drop(eg_supervisor_loop(r->supervisor), &r->watch);
        eg_launch_free(r->child);
        eg_supervisor_free(r->supervisor);
        eg_sup_upstream_free(r->upstream);
        eg_environ_free(r->environment);
        free(r);
    }
    return code;
}
