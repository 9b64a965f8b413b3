/* tlsorigin.c - the test origin (support/origin.h) as a program, with a CA and a certificate of its own:
 *   tlsorigin --dir DIR [--port N] [--plain] [--record FILE] [--name NAME]... [--expired] [--tls12] [--no-tickets]
 * writes DIR/ca.pem, DIR/cert.pem, DIR/key.pem and prints {"event":"ready","port":N,"ca":"DIR/ca.pem"}. The names of its certificate
 * are api.example.test, localhost and 127.0.0.1 unless others are given. Ends on SIGTERM. */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/origin.h"
#include "support/pki.h"

enum { NAMES = 32 };

struct options {
    const char *dir, *record;
    long port;
    bool plain, expired, tls12, no_tickets;
    const char *names[NAMES + 1];
    unsigned name_count;
};

static volatile sig_atomic_t ended;

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}

static bool parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        { "dir", required_argument, NULL, 'd' },
        { "port", required_argument, NULL, 'p' },
        { "plain", no_argument, NULL, 'P' },
        { "record", required_argument, NULL, 'r' },
        { "name", required_argument, NULL, 'n' },
        { "expired", no_argument, NULL, 'e' },
        { "tls12", no_argument, NULL, '2' },
        { "no-tickets", no_argument, NULL, 't' },
        { NULL, 0, NULL, 0 },
    };
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'd')
            o->dir = optarg;
        else if (c == 'p')
            o->port = strtol(optarg, NULL, 10);
        else if (c == 'P')
            o->plain = true;
        else if (c == 'r')
            o->record = optarg;
        else if (c == 'n' && o->name_count < NAMES)
            o->names[o->name_count++] = optarg;
        else if (c == 'e')
            o->expired = true;
        else if (c == '2')
            o->tls12 = true;
        else if (c == 't')
            o->no_tickets = true;
        else
            return false;
    }
    return o->dir && optind == argc && o->port >= 0 && o->port <= 65535;
}

static bool write_file(const char *dir, const char *name, const char *text, mode_t mode)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (!good)
        perror(path);
    if (fd >= 0)
        close(fd);
    return good;
}

static struct eg_tls_ctx *make_tls(const struct options *o)
{
    static const char *const usual[] = { "api.example.test", "localhost", "127.0.0.1", NULL };
    struct pki_request request = { .names = o->name_count ? o->names : usual };
    struct pki_leaf leaf;
    struct eg_tls_ctx *ctx = NULL;
    struct eg_err err = { 0 };
    if (o->expired) {
        request.from_days = -30;
        request.to_days = -1;
    }
    struct pki_ca *ca = pki_ca_new("egressd test CA");
    if (ca && pki_issue(ca, &request, &leaf) &&
        write_file(o->dir, "ca.pem", pki_ca_pem(ca), 0644) &&
        write_file(o->dir, "cert.pem", leaf.cert_pem, 0644) &&
        write_file(o->dir, "key.pem", leaf.key_pem, 0600)) {
        struct eg_tls_server_config config = { .cert_pem = eg_slice_str(leaf.cert_pem),
                                               .key_pem = eg_slice_str(leaf.key_pem),
                                               .tickets = !o->no_tickets,
                                               .only_tls12 = o->tls12 };
        if (eg_tls_server_ctx(&config, &ctx, &err) != EG_OK)
            fprintf(stderr, "tlsorigin: %s\n", err.text);
    }
    pki_ca_free(ca);
    return ctx;
}

static int serve(struct eg_loop *loop, struct options *o)
{
    struct origin_config config = { .dir = o->dir, .port = (uint16_t)o->port, .record = -1 };
    struct eg_err err = { 0 };
    int status = 1;
    struct origin *origin = NULL;
    if (!o->plain && !(config.tls = make_tls(o)))
        return 1;
    if (o->record)
        config.record = open(o->record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (!o->record || config.record >= 0)
        origin = origin_new(loop, &config);
    if (origin) {
        printf("{\"event\":\"ready\",\"port\":%u,\"ca\":\"%s/ca.pem\"}\n", origin_port(origin),
               o->dir);
        fflush(stdout);
        status = 0;
        while (!ended && status == 0)
            status = eg_loop_tick(loop, 1000, &err) != EG_OK;
    }
    origin_free(origin);
    if (config.record >= 0)
        close(config.record);
    eg_tls_ctx_unref(config.tls);
    return status;
}

int main(int argc, char **argv)
{
    struct options o = { 0 };
    struct sigaction end = { .sa_handler = on_signal };
    struct eg_loop *loop = NULL;
    if (!parse(argc, argv, &o)) {
        fprintf(stderr, "usage: tlsorigin --dir DIR [--port N] [--plain] [--record FILE] [--name "
                        "NAME]... [--expired] [--tls12] "
                        "[--no-tickets]\n");
        return 2;
    }
    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGINT, &end, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (eg_tls_start(NULL) != EG_OK || eg_loop_new(&loop, NULL) != EG_OK)
        return 1;
    int status = serve(loop, &o);
    eg_loop_free(loop);
    eg_tls_stop();
    return status;
}
