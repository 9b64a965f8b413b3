/* start.c - how long a proxy takes from exec to its first answer. Starts the command, waits for its ready line (or, for a peer that has none, until its
 * port takes a connection), sends one exchange, ends the command, and prints {"ready_ms","first_ms"}, both from just before exec, and {"cpu_ms"}, what the
 * command and its children took of the CPUs in all, its end included.
 *
 *   start tunnel  --target PORT (--token-file FILE | --port PORT [--head FILE]) [--socks [--login FILE] | --straight] -- COMMAND...
 *   start request --path PATH (--control SOCKET | --port PORT) [--head FILE] -- COMMAND...
 *   start run     [--times N] -- COMMAND...
 *
 * run: how long the command itself takes from exec to its end, {"run_ms"}: the median of N times.
 *
 * With --control, the phantom of BENCH_KEY is asked for on egressd's control socket, as a launcher would; the time that takes counts. --straight: the port is joined to the target and is asked for
 * nothing. */
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "bench/way.h"
#include "ctl/client.h"

enum { STOP_MS = 5000, CONTROL_MS = 5000, RETRY_NS = 50000, RETRIES = 400000, TIMES_MAX = 1000 };

static struct {
    uint16_t target, port;
    const char *token_file, *control, *path, *head;
    unsigned times;
    struct bench_way way;
} option = { .path = "/", .times = 1, .way.kind = BENCH_CONNECT };

extern char **environ;

static pid_t child;

/* bench_die and the deadline must not leave the command behind. */
static void end_child(void)
{
    if (child > 0)
        (void)kill(child, SIGKILL);
}

static void on_deadline(int signal_number)
{
    (void)signal_number;
    end_child();
    _exit(1);
}

/* Runs the command with its stdout in a pipe, whose read end is returned. */
static int start(char **command)
{
    int ends[2];
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0 || posix_spawn_file_actions_init(&actions) != 0 ||
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1) != 0)
        bench_die("start: %s", strerror(errno));
    int why = posix_spawn(&child, command[0], &actions, NULL, command, environ);
    if (why != 0)
        bench_die("%s: %s", command[0], strerror(why));
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    return ends[0];
}

/* The first "port":N of the ready line. */
static uint16_t await_line(int fd)
{
    char line[4096];
    size_t n = 0;
    while (n == 0 || !memchr(line, '\n', n)) {
        ssize_t k = n + 1 < sizeof line ? read(fd, line + n, sizeof line - 1 - n) : 0;
        if (k <= 0)
            bench_die("the command ended before it was ready");
        n += (size_t)k;
    }
    line[n] = 0;
    const char *port = strstr(line, "\"port\":");
    if (!port)
        bench_die("no port in the ready line: %s", line);
    return (uint16_t)strtoul(port + 7, NULL, 10);
}

/* A peer says nothing: ask its port until it answers. */
static void await_port(uint16_t port)
{
    const struct timespec pause = { .tv_nsec = RETRY_NS };
    for (unsigned i = 0; i < RETRIES; i++) {
        int fd = bench_try_connect(port);
        if (fd >= 0) {
            close(fd);
            return;
        }
        if (waitpid(child, NULL, WNOHANG) != 0)
            bench_die("the command ended before it was ready");
        (void)nanosleep(&pause, NULL);
    }
    bench_die("port %u was never opened", port);
}

/* What the first message says of who asks: the token of the token file, which is there once the command is ready, or --head's lines. */
static void way_credentials(struct bench_way *way)
{
    char token[256];
    if (!option.token_file) {
        if (option.head)
            bench_read_file(option.head, way->head, sizeof way->head);
        return;
    }
    bench_read_file(option.token_file, token, sizeof token);
    token[strcspn(token, "\r\n")] = 0;
    if (way->kind == BENCH_SOCKS)
        snprintf(way->login, sizeof way->login, "bench:%s", token);
    else
        snprintf(way->head, sizeof way->head, "Proxy-Authorization: Bearer %s\r\n", token);
}

static void first_tunnel(uint16_t port)
{
    char byte = 'x';
    struct bench_way *way = &option.way;
    way->port = port;
    way->target = way->kind == BENCH_STRAIGHT ? port : option.target;
    way_credentials(way);
    int fd = bench_way_open(way);
    bench_send(fd, &byte, 1);
    bench_recv_all(fd, &byte, 1);
    close(fd);
}

/* "Authorization: Bearer PHANTOM" of the default session. */
static void phantom_line(char *out, size_t cap)
{
    struct eg_ctl_client *client = NULL;
    struct eg_err err = { 0 };
    json_t *ask = json_pack("{s:s,s:s}", "op", "env", "id", "default"), *answer = NULL;
    if (!ask || eg_ctl_client_open(option.control, &client, &err) != EG_OK ||
        eg_ctl_client_send(client, ask, &err) != EG_OK ||
        eg_ctl_client_receive(client, CONTROL_MS, &answer, &err) != EG_OK)
        bench_die("the control socket: %s", err.text);
    const char *key = eg_ctl_text(json_object_get(answer, "variables"), "BENCH_KEY");
    if (!key)
        bench_die("there is no BENCH_KEY");
    snprintf(out, cap, "Authorization: Bearer %s\r\n", key);
    json_decref(ask);
    json_decref(answer);
    eg_ctl_client_free(client);
}

static void first_request(uint16_t port)
{
    char line[1024] = "", text[BENCH_HEAD_MAX];
    size_t n = 0;
    if (option.control)
        phantom_line(line, sizeof line);
    else if (option.head)
        bench_read_file(option.head, line, sizeof line);
    int fd = bench_connect(port);
    int k = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n",
                     option.path, port, line);
    if (k < 0 || (size_t)k >= sizeof text)
        bench_die("the request is too long");
    bench_send(fd, text, (size_t)k);
    while (bench_head_length(text, n) == 0 && n < sizeof text)
        n += bench_recv(fd, text + n, sizeof text - n);
    bench_expect_ok(text, n);
    close(fd);
}

/* SIGTERM, and SIGKILL for what does not end. */
static void stop(void)
{
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd until = { .fd = pidfd, .events = POLLIN };
    (void)kill(child, SIGTERM);
    if (pidfd < 0 || poll(&until, 1, STOP_MS) != 1)
        (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
    child = 0;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The command is all that there is to measure. */
static void run(char **command)
{
    static double ms[TIMES_MAX];
    int status;
    for (unsigned i = 0; i < option.times; i++) {
        uint64_t begun = bench_now();
        int why = posix_spawn(&child, command[0], NULL, NULL, command, environ);
        if (why != 0)
            bench_die("%s: %s", command[0], strerror(why));
        if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
            bench_die("%s: status %d", command[0], status);
        ms[i] = (double)(bench_now() - begun) / 1e6;
        child = 0;
    }
    qsort(ms, option.times, sizeof *ms, by_size);
    printf("{\"run_ms\":%.3f}\n", ms[option.times / 2]);
}

/* CPU time of the command and of all that it waited for. */
static double children_ms(void)
{
    struct rusage use = { 0 };
    (void)getrusage(RUSAGE_CHILDREN, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e3 +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e3;
}

static void parse(int argc, char **argv)
{
    static const struct option list[] = {
        { "target", 1, NULL, 't' },  { "port", 1, NULL, 'p' },  { "token-file", 1, NULL, 'k' },
        { "control", 1, NULL, 'c' }, { "path", 1, NULL, 'u' },  { "head", 1, NULL, 'h' },
        { "times", 1, NULL, 'n' },   { "socks", 0, NULL, 's' }, { "straight", 0, NULL, 'd' },
        { "login", 1, NULL, 'l' },   { NULL, 0, NULL, 0 }
    };
    for (int o; (o = getopt_long(argc, argv, "+", list, NULL)) != -1;) {
        switch (o) {
        case 't':
            option.target = (uint16_t)bench_number(optarg, 65535);
            break;
        case 'p':
            option.port = (uint16_t)bench_number(optarg, 65535);
            break;
        case 'k':
            option.token_file = optarg;
            break;
        case 'c':
            option.control = optarg;
            break;
        case 'u':
            option.path = optarg;
            break;
        case 'h':
            option.head = optarg;
            break;
        case 'n':
            option.times = (unsigned)bench_number(optarg, TIMES_MAX);
            break;
        case 's':
            option.way.kind = BENCH_SOCKS;
            break;
        case 'd':
            option.way.kind = BENCH_STRAIGHT;
            break;
        case 'l':
            bench_way_read_login(&option.way, optarg);
            break;
        default:
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    bool tunnel = strcmp(kind, "tunnel") == 0, alone = strcmp(kind, "run") == 0;
    if (!tunnel && !alone && strcmp(kind, "request") != 0)
        bench_die("tunnel, request or run, not %s", kind);
    parse(argc - 1, argv + 1);
    argv += optind + 1;
    if (!argv[0])
        bench_die("no command");
    (void)atexit(end_child);
    (void)signal(SIGALRM, on_deadline);
    bench_deadline(alone ? 80 : 30);
    if (alone) {
        run(argv);
        return 0;
    }

    uint64_t begun = bench_now();
    int out = start(argv);
    uint16_t port = option.port;
    if (port)
        await_port(port);
    else
        port = await_line(out);
    uint64_t ready = bench_now();
    if (tunnel)
        first_tunnel(port);
    else
        first_request(port);
    uint64_t first = bench_now();
    stop();
    close(out);
    printf("{\"ready_ms\":%.3f,\"first_ms\":%.3f,\"cpu_ms\":%.3f}\n", (double)(ready - begun) / 1e6,
           (double)(first - begun) / 1e6, children_ms());
    return 0;
}
