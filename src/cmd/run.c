/* run.c - `egressctl run`: a child whose only network is a proxy that lives exactly as long as
 * it does.
 *
 * The order is the point: the child's first process is cloned while this one holds nothing; then
 * the environment is copied and overwritten, this process becomes undumpable, policy and
 * credentials are read, the workers start; only then does the child go on to the command. While
 * it runs nothing is printed. Exit statuses are docker's: the command's own, 125 for ours, 126
 * and 127. */
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
#include "cmd/run_state.h"
#include "cmd/upstream.h"

static int failed(const struct eg_run *r, const char *what, const struct eg_err *err,
                  enum eg_status status)
{
    char text[400];
    fprintf(stderr, "%s: %s: %s\n", r->asked.options->command, what,
            err->status != EG_OK ? eg_err_format(err, text, sizeof text)
                                 : egress_status_sentence(status));
    return EG_RUN_FAILED;
}

/* ---- while the child runs ---- */

/* What stands in the file system for the command, once that has ended: its mounts stand on it no more. */
static void clean_up(struct eg_run *r)
{
    enum eg_status status = eg_run_files_remove(&r->files, &r->left);
    (void)status; /* is told at the end */
    eg_run_made_end(&r->made);
}

static void on_exit_of(void *ctx, pid_t pid, int wait_status)
{
    struct eg_run *r = ctx;
    if (pid != eg_launch_pid(r->child) || r->ended)
        return;
    r->ended = true;
    r->wait_status = wait_status;
    eg_launch_ended(r->child);
    eg_supervisor_quit(r->supervisor, false);
    clean_up(r); /* while the workers end */
}

/* Everything that would end or change us is for the command; the proxy ends when it does. */
static bool on_signal(void *ctx, int signal)
{
    struct eg_run *r = ctx;
    static const int passed[] = { SIGHUP,  SIGINT,  SIGQUIT,  SIGTERM, SIGUSR1,
                                  SIGUSR2, SIGALRM, SIGWINCH, SIGTSTP };
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

/* From here on nobody of our user reads this process' memory, and no key stands in its
 * environment. */
static enum eg_status harden(struct eg_run *r, struct eg_err *err)
{
    const struct rlimit none = { 0, 0 };
    enum eg_status status = eg_environ_take(&r->environment);
    if (status != EG_OK)
        return status;
    eg_environ_wipe_own();
    if (!r->asked.upstream)
        status = eg_sup_upstream_environment(r->environment, &r->asked.upstream);
    if (status == EG_OK)
        status = eg_run_user_make(r->asked.user, eg_environ_all(r->environment), &r->user, err);
    if (status != EG_OK)
        return status;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 ? EG_INTERNAL
                                                                                       : EG_OK;
}

/* Inside another sandbox no Unix socket can be made: then nobody can ask this proxy, and all else
 * goes on. */
static const char *control(const struct eg_run *r)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        close(fd);
        return r->places.control;
    }
    fprintf(stderr, "%s: warning: no control socket can be made here: egressctl status, audit and session "
                    "can't ask this run\n", r->asked.options->command);
    return NULL;
}

static enum eg_status make_proxy(struct eg_run *r, struct eg_err *err)
{
    struct eg_supervisor_options options = {
        .policies = r->places.policies,
        .policy_count = r->places.policy_count,
        .environment = r->environment,
        .upstream = r->asked.upstream,
        .workers = r->asked.workers,
        .observe = r->asked.observe,
        .control_path = control(r),
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
    return eg_supervisor_new(&options, &r->supervisor, err);
}

static enum eg_status start_proxy(struct eg_run *r, struct eg_session_info *session,
                                  struct eg_err *err)
{
    enum eg_status status = eg_supervisor_start(r->supervisor, err);
    if (status == EG_OK)
        status = eg_supervisor_session_create(r->supervisor, r->places.name, 0, session, err);
    if (status == EG_OK)
        status = watch_child(r);
    return status;
}

/* ---- from the first to the last ---- */

/* Before the terminal is the command's. */
static void say_what_holds(const struct eg_run *r)
{
    const char *name = r->asked.options->command;
    if (r->asked.observe)
        fprintf(stderr,
                "%s: warning: --observe: only deny rules, forbidden addresses and metadata are "
                "refused\n",
                name);
    if (!eg_run_enforced(r))
        fprintf(stderr,
                "%s: warning: --no-enforce: the command is not confined: it can go round the proxy, "
                "read your files and the memory of your processes, and use this proxy's control "
                "socket\n",
                name);
    else if (*eg_launch_weaker_because(r->child))
        fprintf(stderr,
                "%s: warning: no namespaces (%s): the command is held by supervised system calls and "
                "Landlock; it sees your processes' names\n",
                name, eg_launch_weaker_because(r->child));
    if (eg_run_enforced(r) && !r->asked.command)
        fprintf(stderr, "%s: %s has no network but what %s allows (%s); `exit` ends it\n", name,
                r->shell.path, r->places.policies[r->places.policy_count - 1].path,
                eg_enforcement_name(eg_launch_enforcement(r->child)));
}

static int not_started(const struct eg_run *r, enum eg_status status, struct eg_err *err)
{
    char what[160];
    snprintf(what, sizeof what, "%.120s was not started",
             r->asked.command ? r->asked.command[0] : r->shell.path);
    failed(r, what, err, status);
    return status == EG_NOT_FOUND    ? EG_RUN_NOT_FOUND
           : status == EG_PERMISSION ? EG_RUN_NOT_EXECUTABLE
                                     : EG_RUN_FAILED;
}

/* -1 to go on, or the exit status. */
static int begin(struct eg_run *r, struct eg_session_info *session)
{
    struct eg_err err = { 0 };
    enum eg_status status = make_proxy(r, &err);
    if (status == EG_INVALID)
        return failed(r,
                      err.status == EG_NOT_FOUND || err.status == EG_PERMISSION
                          ? "the policy can't be read"
                          : "the policy is not valid",
                      &err, status);
    if (status != EG_OK)
        return failed(r, "the proxy can't be started", &err, status);
    if ((status = eg_run_cover(r, &err)) != EG_OK)
        return not_started(r, status, &err);
    status = start_proxy(r, session, &err);
    struct eg_err own = { 0 };
    if (status != EG_OK && r->ended && eg_launch_failed(r->child, &own) != EG_OK)
        return not_started(r, EG_IO, &own); /* it could not be covered, and so nothing was started */
    return status == EG_OK ? -1 : failed(r, "the proxy can't be started", &err, status);
}

static int supervise(struct eg_run *r)
{
    struct eg_err err = { 0 };
    struct eg_session_info session = { 0 };
    int code = begin(r, &session);
    if (code >= 0)
        return code;
    say_what_holds(r);
    enum eg_status status = eg_run_let_go(r, &session, &err);
    if (status != EG_OK)
        return not_started(r, status, &err);
    eg_log_set_level(EG_LOG_NONE); /* the terminal is the command's; the audit has what happens */
    status = eg_supervisor_run(r->supervisor, &err);
    eg_log_set_level(EG_LOG_INFO);
    eg_launch_take_terminal(r->child);
    if (!r->ended)
        return failed(r, "the proxy ended before the command", &err, status);
    if (status != EG_OK)
        failed(r, "warning: the events were not kept", &err, status);
    return eg_run_summarise(r, eg_launch_exit_code(r->wait_status));
}

static enum eg_status launch(struct eg_run *r, struct eg_err *err)
{
    const struct eg_launch_spec spec = { .argv = r->asked.command ? r->asked.command
                                                                  : r->shell.argv,
                                         .strongest = r->asked.strongest,
                                         .weakest = r->asked.weakest,
                                         .capture = r->asked.capture,
                                         .sockets = (char *const *)(uintptr_t)r->asked.sockets,
                                         .user = r->asked.user,
                                         .sudo_uid = getenv("SUDO_UID"),
                                         .sudo_gid = getenv("SUDO_GID") };
    return eg_launch_prepare(&spec, &r->child, err);
}

/* All that reads this process' environment. The folder of the files is made before the clone,
 * since its path may stand in a shell's command line. -1, or the exit status. */
static int prepare(struct eg_run *r)
{
    struct eg_err err = { 0 };
    enum eg_status status =
        eg_run_places_find(&r->places, r->asked.file, r->asked.trust, &err);
    if (status != EG_OK)
        return failed(r, "no policy", &err, status);
    status = eg_run_files_make(&r->files, &err);
    if (status != EG_OK)
        return failed(r, "no place for files", &err, status);
    snprintf(r->places.files, sizeof r->places.files, "%s", r->files.path);
    if (!r->asked.command)
        status = eg_run_shell_choose(&r->shell, r->asked.user, r->files.path, &err);
    if (status != EG_OK)
        return failed(r, "no shell", &err, status);
    status = launch(r, &err);
    return status == EG_OK ? -1 : failed(r, "no sandbox", &err, status);
}

static void run_free(struct eg_run *r)
{
    if (r->supervisor)
        eg_watch_drop(eg_supervisor_loop(r->supervisor), &r->watch);
    eg_launch_free(r->child);
    clean_up(r);
    if (r->left.status != EG_OK)
        failed(r, "warning", &r->left, r->left.status);
    eg_supervisor_free(r->supervisor);
    eg_run_janitor_end(&r->janitor);
    eg_run_changes_done(&r->changes);
    eg_run_user_done(&r->user);
    eg_sup_upstream_free(r->asked.upstream);
    eg_environ_free(r->environment);
    eg_launch_sweep();
    free(r);
}

/* As the command did; $? is 130 either way. */
static void die_of_interrupt(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    signal(SIGINT, SIG_DFL);
    raise(SIGINT);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int run(const struct eg_cmd_options *o, int argc, char **argv)
{
    struct eg_run *r = calloc(1, sizeof *r);
    struct eg_err err = { 0 };
    bool interrupted;
    if (!r)
        return EG_RUN_FAILED;
    int code = eg_run_parse(o, argc, argv, &r->asked);
    if (code < 0)
        code = prepare(r);
    if (code >= 0)
        goto done;
    enum eg_status status = harden(r, &err);
    if (status != EG_OK)
        code = failed(r, "this process can't be hardened", &err, status);
    else if ((status = eg_run_janitor_start(&r->janitor, r, &err)) != EG_OK)
        code = failed(r, "nobody would clean up behind this process", &err, status);
    else
        code = supervise(r);
done:
    interrupted = r->ended && eg_launch_interrupted(r->child);
    run_free(r);
    if (interrupted)
        die_of_interrupt();
    return code;
}

int eg_cmd_run(int argc, char **argv)
{
    return run(&eg_run_options, argc, argv);
}

int eg_cmd_shell(int argc, char **argv)
{
    return run(&eg_shell_options, argc, argv);
}
