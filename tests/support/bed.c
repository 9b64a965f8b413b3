/* bed.c - puts an engine together from the same parts as a worker does, without processes. */
#include "support/bed.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/sock.h"
#include "policy/compile.h"
#include "tls/context.h"

enum { PATIENCE_MS = 10000, BLOCK = 1 << 20 };

static void released(void *ctx)
{
    struct eg_buf *block = ctx;
    eg_buf_done(block);
    free(block);
}

static enum eg_status read_file(void *ctx, const char *path, struct eg_buf *out, struct eg_err *err)
{
    char piece[4096];
    enum eg_status status = EG_OK;
    (void)ctx;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return eg_err_set(err, EG_NOT_FOUND, "bed", errno, "the file can't be read");
    for (ssize_t n; status == EG_OK && (n = read(fd, piece, sizeof piece)) > 0;)
        status = eg_buf_append(out, piece, (size_t)n);
    close(fd);
    return status;
}

static struct eg_buf *compile(const char *text)
{
    const struct eg_policy_reader reader = { .read = read_file };
    const struct eg_policy_file file = { "bed.yaml", eg_slice_str(text), EG_LAYER_USER, true };
    struct eg_diags *diags = NULL;
    struct eg_buf *block = calloc(1, sizeof *block), said;
    cr_assert(block != NULL && eg_diags_new(&diags) == EG_OK);
    eg_buf_init(block, BLOCK);
    eg_buf_init(&said, BLOCK);
    enum eg_status status = eg_policy_compile(&file, 1, &reader, diags, block, NULL);
    cr_assert(eg_diags_render(diags, false, &said) == EG_OK);
    cr_assert(status == EG_OK, "%.*s", (int)said.len, said.len ? said.data : "");
    eg_buf_done(&said);
    eg_diags_free(diags);
    return block;
}

void eg_bed_new(struct eg_bed *b, const char *policy, const char *hosts)
{
    struct eg_err err = { 0 };
    bool locked;
    int fd;
    memset(b, 0, sizeof *b);
    cr_assert(sodium_init() >= 0 && eg_tls_start(NULL) == EG_OK);
    cr_assert(eg_loop_new(&b->loop, &err) == EG_OK, "%s", err.text);
    cr_assert(egress_ring_create(4096, &b->ring, &fd) == EG_OK);
    cr_assert(eg_vault_new(&b->vault, 16384, false, &locked, &err) == EG_OK, "%s", err.text);
    const struct eg_engine_config config = { .loop = b->loop,
                                             .trail = { .ring = b->ring, .file = -1, .writer = 1 },
                                             .vault = b->vault,
                                             .splice = true };
    cr_assert(eg_engine_new(&config, &b->engine, &err) == EG_OK, "%s", err.text);
    eg_bed_policy(b, policy, hosts);
    eg_bed_session(b, "main", "main-label", EG_BED_TOKEN, 0);
}

void eg_bed_policy(struct eg_bed *b, const char *policy, const char *hosts)
{
    struct eg_err err = { 0 };
    struct eg_buf *block = compile(policy);
    const struct eg_facts facts = { .hosts_text = eg_slice_str(hosts) };
    cr_assert(eg_engine_prepare(b->engine, block->data + block->off, block->len, &facts, released,
                                block, &err) == EG_OK,
              "%s", err.text);
    eg_engine_switch(b->engine);
}

void eg_bed_free(struct eg_bed *b)
{
    eg_engine_free(b->engine);
    eg_bed_turn(b, 0); /* what the engine buried */
    egress_ring_free(b->ring);
    eg_loop_free(b->loop);
    eg_vault_free(b->vault);
    eg_tls_stop();
}

void eg_bed_session(struct eg_bed *b, const char *id, const char *label, const char *token,
                    uint64_t expires_wall_us)
{
    const struct eg_session_spec spec = { id, label, token, expires_wall_us, NULL, 0 };
    struct eg_err err = { 0 };
    cr_assert(eg_engine_session_put(b->engine, &spec, &err) == EG_OK, "%s", err.text);
}

uint16_t eg_bed_listen(struct eg_bed *b, struct eg_listen_config *config)
{
    const struct eg_sockaddr any = { { 4, { 127, 0, 0, 1 } }, 0 };
    struct eg_err err = { 0 };
    int fd = -1;
    cr_assert(eg_sock_listen(&any, &fd, &config->self, &err) == EG_OK, "%s", err.text);
    cr_assert(eg_engine_listen(b->engine, fd, config, &err) == EG_OK, "%s", err.text);
    return config->self.port;
}

static socklen_t unix_name(unsigned number, struct sockaddr_un *ret)
{
    static pid_t owner; /* a child that the test forks asks for the test's listener */
    owner = owner ? owner : getpid();
    memset(ret, 0, sizeof *ret);
    ret->sun_family = AF_UNIX;
    int n = snprintf(ret->sun_path + 1, sizeof ret->sun_path - 1, "egress-test-%d-%u", (int)owner,
                     number);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

void eg_bed_listen_unix(struct eg_bed *b, unsigned number, struct eg_listen_config *config)
{
    struct sockaddr_un at;
    socklen_t n = unix_name(number, &at);
    struct eg_err err = { 0 };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&at, n) == 0 && listen(fd, 64) == 0, "%s",
              strerror(errno));
    config->self = (struct eg_sockaddr){ 0 };
    cr_assert(eg_engine_listen(b->engine, fd, config, &err) == EG_OK, "%s", err.text);
}

int eg_bed_connect(uint16_t port)
{
    const struct eg_sockaddr to = { { 4, { 127, 0, 0, 1 } }, port };
    int fd = -1;
    cr_assert(eg_sock_connect(&to, &fd, NULL) == EG_OK);
    return fd;
}

int eg_bed_connect_unix(unsigned number)
{
    struct sockaddr_un at;
    socklen_t n = unix_name(number, &at);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    cr_assert(fd >= 0 && connect(fd, (struct sockaddr *)&at, n) == 0, "%s", strerror(errno));
    return fd;
}

void eg_bed_turn(struct eg_bed *b, int ms)
{
    struct eg_err err = { 0 };
    cr_assert(eg_loop_tick(b->loop, ms, &err) == EG_OK, "%s", err.text);
}

size_t eg_bed_read(struct eg_bed *b, int fd, char *out, size_t n, bool *eof)
{
    uint64_t end = eg_clock_ms() + PATIENCE_MS;
    size_t have = 0;
    *eof = false;
    while (!*eof && have < n && eg_clock_ms() < end) {
        ssize_t got = recv(fd, out + have, n - have, MSG_DONTWAIT);
        *eof = got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
        if (got > 0)
            have += (size_t)got;
        else if (!*eof)
            eg_bed_turn(b, 1);
    }
    return have;
}

bool eg_bed_quiet(struct eg_bed *b)
{
    uint64_t end = eg_clock_ms() + PATIENCE_MS;
    while (!eg_engine_idle(b->engine) && eg_clock_ms() < end)
        eg_bed_turn(b, 1);
    return eg_engine_idle(b->engine);
}

bool eg_bed_event(struct eg_bed *b, struct egress_event *ret)
{
    uint64_t lost;
    if (egress_ring_read(b->ring, b->seen, ret, &lost) != EG_OK)
        return false;
    b->seen = ret->seq;
    return true;
}

const char *eg_bed_reason(struct eg_bed *b)
{
    struct egress_event e;
    const char *last = "";
    while (eg_bed_event(b, &e))
        last = egress_status_name((enum eg_status)e.reason);
    return last;
}
