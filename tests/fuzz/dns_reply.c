/* dns_reply.c - fuzzes what a name server says. c-ares parses it; what is ours is to take its
 * addresses, its times to live and its failures, to keep them and to let go of everything. A server
 * in the same loop answers each question with the input.
 *
 * Input: a mode byte (1: flags as given, else a good answer; 2: another id; 4: the question is not
 * repeated), 2 bytes of flags, 6 bytes of counts (answers, authority, additional), then what
 * follows the question. Checked: one call back for each question, an answer that agrees with
 * itself, and that addresses are kept. */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/dns.h"

enum { MESSAGE = 4096, HEADER = 12, MODE = 1, FIELDS = 8, TICKS = 100 };
enum { OWN_FLAGS = 1, OTHER_ID = 2, NO_QUESTION = 4 };

struct server {
    struct eg_watch watch;
    const uint8_t *data;
    size_t size;
};

struct asked {
    struct eg_dns_answer answer;
    unsigned times;
};

static void must(bool good)
{
    if (!good)
        abort();
}

static size_t reply(const struct server *s, const uint8_t *m, size_t n, uint8_t *out)
{
    uint8_t mode = s->data[0];
    const uint8_t *fields = s->data + MODE;
    size_t question = mode & NO_QUESTION ? 0 : n - HEADER;
    size_t rest = s->size - MODE - FIELDS;
    if (rest > MESSAGE - HEADER - question)
        rest = MESSAGE - HEADER - question;
    memcpy(out, m, HEADER);
    out[2] = mode & OWN_FLAGS ? fields[0] : 0x81;
    out[3] = mode & OWN_FLAGS ? fields[1] : 0x80;
    if (mode & OTHER_ID)
        out[1] ^= 1;
    if (mode & NO_QUESTION)
        out[5] = 0;
    memcpy(out + 6, fields + 2, 6);
    memcpy(out + HEADER, m + HEADER, question);
    memcpy(out + HEADER + question, s->data + MODE + FIELDS, rest);
    return HEADER + question + rest;
}

static void on_question(struct eg_watch *w, unsigned events)
{
    uint8_t in[512], out[MESSAGE];
    struct sockaddr_in from;
    socklen_t from_len = sizeof from;
    (void)events;
    ssize_t n = recvfrom(w->fd, in, sizeof in, 0, (struct sockaddr *)&from, &from_len);
    if (n < HEADER)
        return;
    size_t len = reply(w->ctx, in, (size_t)n, out);
    (void)!sendto(w->fd, out, len, 0, (struct sockaddr *)&from, from_len);
}

static void on_done(void *ctx, const struct eg_dns_answer *answer)
{
    struct asked *a = ctx;
    a->answer = *answer;
    a->times++;
}

static void look_up(struct eg_loop *loop, struct eg_dns *dns, struct asked *a)
{
    struct eg_dns_query *q;
    memset(a, 0, sizeof *a);
    must(eg_dns_ask(dns, EG_SLICE("a.test"), on_done, a, &q, NULL) == EG_OK);
    for (int i = 0; i < TICKS && !a->times; i++)
        must(eg_loop_tick(loop, 5, NULL) == EG_OK);
    must(a->times == 1);
    const struct eg_dns_answer *got = &a->answer;
    must(got->count <= EG_DNS_MAX_ADDRS);
    must((got->status == EG_OK) == (got->count > 0));
    must(got->status == EG_OK || got->status == EG_DNS_NOT_FOUND || got->status == EG_DNS_FAILED ||
         got->status == EG_DNS_TIMEOUT);
    for (unsigned i = 0; i < got->count; i++)
        must(got->addrs[i].family == 4 || got->addrs[i].family == 6);
}

static int open_server(struct eg_sockaddr *at)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof sa;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    must(fd >= 0 && bind(fd, (struct sockaddr *)&sa, n) == 0);
    must(getsockname(fd, (struct sockaddr *)&sa, &n) == 0);
    must(eg_sockaddr_from((struct sockaddr *)&sa, n, at));
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct eg_loop *loop = NULL;
    struct eg_dns *dns = NULL;
    struct eg_sockaddr at;
    struct asked first, second;
    if (size < MODE + FIELDS)
        return -1;
    struct server s = { .data = data, .size = size };
    int fd = open_server(&at);
    s.watch = (struct eg_watch){ .ready = on_question, .ctx = &s };
    struct eg_dns_config config = {
        .servers = &at, .server_count = 1, .timeout_ms = 20, .channels = 1, .second_family_ms = 5
    };
    must(eg_loop_new(&loop, NULL) == EG_OK);
    must(eg_watch_set(loop, &s.watch, fd, 0, EG_IN) == EG_OK);
    must(eg_dns_new(loop, &config, &dns, NULL) == EG_OK);
    look_up(loop, dns, &first);
    look_up(loop, dns, &second);
    must(first.answer.count == 0 || second.answer.count > 0); /* kept for a second at least */
    eg_dns_free(dns);
    eg_watch_drop(loop, &s.watch);
    eg_loop_free(loop);
    close(fd);
    return 0;
}
