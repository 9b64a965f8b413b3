/* egressd.c - the daemon's command line: one supervisor until SIGTERM. It says on stdout, in one
 * line, when it is ready. */
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/commands.h"
#include "cmd/daemon.h"
#include "cmd/supervisor.h"
#include "cmd/upstream.h"

#ifndef EG_VERSION
#define EG_VERSION "0"
#endif

struct settings {
    struct eg_policy_source policy;
    struct eg_supervisor_options options;
    struct eg_sockaddr listen;
    struct eg_environ *environment;
    struct eg_sup_upstream *upstream;
    char control[4096];
    bool check;
};

static const char *value(const struct eg_cmd_given *g, unsigned n, const char *name)
{
    return eg_cmd_value(&eg_egressd_options, g, n, name);
}

static bool level(const char *text)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    for (int i = 0; i < 4; i++)
        if (strcmp(text, names[i]) == 0) {
            eg_log_set_level((enum eg_log_level)i);
            return true;
        }
    return false;
}

static bool given_flag(const struct eg_cmd_given *g, unsigned n, const char *name)
{
    return value(g, n, name) != NULL;
}

/* -1, or the exit status of a usage error. */
static int take(struct settings *s, const struct eg_cmd_given *g, unsigned n)
{
    const struct eg_cmd_options *o = &eg_egressd_options;
    unsigned long long workers = 1;
    const char *v = value(g, n, "policy");
    if (!v)
        return eg_cmd_usage(o, "--policy FILE is required");
    s->policy = (struct eg_policy_source){ v, EG_LAYER_COMMAND, true };
    s->options.allow_remote = given_flag(g, n, "allow-remote");
    if ((v = value(g, n, "listen")) && !eg_daemon_listen(v, s->options.allow_remote, &s->listen))
        return eg_cmd_usage(
            o, "--listen takes a loopback address (another one with --allow-remote) and a port: "
               "127.0.0.1:3128 or [::1]:0");
    s->options.listen = v ? &s->listen : NULL;
    if ((v = value(g, n, "workers")) &&
        (!eg_slice_u64(eg_slice_str(v), &workers) || workers < 1 || workers > 64))
        return eg_cmd_usage(o, "--workers takes 1 to 64");
    s->options.workers = (unsigned)workers;
    if ((v = value(g, n, "log")) && !level(v))
        return eg_cmd_usage(o, "--log takes error, warn, info or debug");
    v = value(g, n, "control");
    if (v && strlen(v) >= sizeof s->control)
        return eg_cmd_usage(o, "the path of --control is too long");
    if (v)
        memcpy(s->control, v, strlen(v) + 1);
    else if (eg_cmd_control_path(s->control, sizeof s->control) != EG_OK)
        return eg_cmd_usage(o, "--control PATH is required: the default path is too long");
    s->options.token_file = value(g, n, "token-file");
    s->options.splice = !given_flag(g, n, "no-splice");
    for (unsigned i = 0; i < n; i++)
        s->check = s->check || o->list[g[i].index].letter == 't';
    return -1;
}

static int failed(const struct eg_err *err, enum eg_status status)
{
    char text[256];
    struct eg_err bare = { .status = status };
    eg_log(EG_LOG_ERROR, "%s",
           eg_err_format(err->status != EG_OK ? err : &bare, text, sizeof text));
    return status == EG_INVALID ? EG_EXIT_POLICY : EG_EXIT_FAILED;
}

/* The line that tells that all is open; NULL without memory. */
static char *ready_line(const struct eg_supervisor *s, const char *control)
{
    json_t *ready = json_pack("{s:s,s:o,s:s}", "event", "ready", "listeners",
                              eg_supervisor_listeners_json(s), "control", control);
    char *line = ready ? json_dumps(ready, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    json_decref(ready);
    return line;
}

/* Copies the environment and overwrites it; then what it says of proxies and sockets. */
static enum eg_status take_environment(struct settings *s, struct eg_err *err)
{
    struct eg_supervisor_options *o = &s->options;
    enum eg_status status = eg_environ_take(&s->environment);
    if (status != EG_OK)
        return status;
    eg_environ_wipe_own();
    o->environment = s->environment;
    if (!s->upstream)
        status = eg_sup_upstream_environment(s->environment, &s->upstream);
    o->upstream = s->upstream;
    if (status == EG_OK && !s->check)
        status = eg_daemon_passed(s->environment, o->passed, EG_SUPERVISOR_LISTENERS,
                                  &o->passed_count, err);
    if (status == EG_OK && o->passed_count > 0 && o->listen)
        status = eg_err_set(err, EG_INVALID, "listen", 0,
                            "sockets were passed (LISTEN_FDS): --listen can't move them");
    return status;
}

static enum eg_status serve(struct settings *s, struct eg_err *err)
{
    struct eg_supervisor *supervisor = NULL;
    char *line = NULL;
    enum eg_status status = eg_supervisor_new(&s->options, &supervisor, err);
    if (status == EG_OK) { /* the line is made while the workers prepare themselves */
        line = ready_line(supervisor, s->control);
        status = line ? eg_supervisor_start(supervisor, err) : EG_NOMEM;
    }
    if (status == EG_OK) {
        printf("%s\n", line);
        fflush(stdout);
        status = eg_supervisor_run(supervisor, err);
    }
    free(line);
    eg_supervisor_free(supervisor);
    return status;
}

int main(int argc, char **argv)
{
    struct eg_cmd_given given[EG_CMD_OPTIONS_MAX];
    unsigned count;
    int operand;
    static struct settings s;
    int code =
        eg_cmd_parse(&eg_egressd_options, argc, argv, given, EG_CMD_OPTIONS_MAX, &count, &operand);
    if (code >= 0)
        return code;
    if (operand < argc)
        return eg_cmd_usage(&eg_egressd_options, "there are no operands");
    if (value(given, count, "version")) {
        printf("egressd %s\n", EG_VERSION);
        return EG_EXIT_OK;
    }
    code = eg_sup_upstream_take(&eg_egressd_options, given, count, &s.upstream);
    if (code < 0)
        code = take(&s, given, count);
    if (code >= 0)
        goto done;
    s.options.policies = &s.policy;
    s.options.policy_count = 1;
    s.options.default_session = true;
    s.options.control_path = s.control;
    struct eg_err err = { 0 };
    enum eg_status status = EG_OK;
    if (!s.check && !value(given, count, "control"))
        status = eg_daemon_default_folder(s.control, &err);
    if (status == EG_OK)
        status = take_environment(&s, &err);
    if (status == EG_OK)
        status = s.check ? eg_supervisor_check(&s.options, &err) : serve(&s, &err);
    code = status == EG_OK ? EG_EXIT_OK : failed(&err, status);
done:
    eg_sup_upstream_free(s.upstream);
    eg_environ_free(s.environment);
    return code;
}
