/* dnsstub.c - an authoritative DNS server on 127.0.0.1 as a program, for integration tests and the quickstart:
 *   dnsstub [--log FILE] NAME=WORD[,WORD]... ...
 * WORD is an address, hang, hang4, hang6, nxdomain, servfail, tc, garbage, badid, ttlN, aliasN or then (support/dnsd.h). It prints
 * {"event":"ready","port":N} and logs each question as "NAME A|AAAA|TYPE udp|tcp" to stderr or FILE. Ends on SIGTERM. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/dnsd.h"

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}

static void asked(void *ctx, const char *name, unsigned type, bool tcp)
{
    char line[400];
    char number[16];
    const char *kind = type == 1 ? "A" : type == 28 ? "AAAA" : number;
    snprintf(number, sizeof number, "%u", type);
    int n = snprintf(line, sizeof line, "%s %s %s\n", name, kind, tcp ? "tcp" : "udp");
    if (n > 0 && write(*(int *)ctx, line, (size_t)n) < 0)
        ended = 1;
}

int main(int argc, char **argv)
{
    struct sigaction end = { .sa_handler = on_signal };
    struct eg_loop *loop = NULL;
    struct eg_err err = { 0 };
    int log = STDERR_FILENO;
    int first = 1;
    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGINT, &end, NULL);
    if (argc > 2 && strcmp(argv[1], "--log") == 0) {
        log = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        first = 3;
    }
    if (log < 0 || eg_loop_new(&loop, &err) != EG_OK)
        return 1;
    struct dnsd *d = dnsd_new(loop);
    if (!d)
        return 1;
    for (int i = first; i < argc; i++) {
        if (!dnsd_rule(d, argv[i])) {
            fprintf(stderr, "dnsstub: cannot understand %s\n", argv[i]);
            return 2;
        }
    }
    dnsd_on_question(d, asked, &log);
    printf("{\"event\":\"ready\",\"port\":%u}\n", dnsd_at(d).port);
    fflush(stdout);
    while (!ended)
        if (eg_loop_tick(loop, 1000, &err) != EG_OK)
            return 1;
    dnsd_free(d);
    eg_loop_free(loop);
    return 0;
}
