/* swap.c - an engine, a TLS origin and a supervisor that only the test plays, on one loop. Nothing sleeps; time passes in eg_bed_turn. */
#include "support/swap.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "proxy/flow.h"

enum { PATIENCE_MS = 20000, ANSWER_MAX = 64 << 20 };

static const char HOSTS[] = "127.0.0.1 api.example.test\n";

static void write_file(const struct eg_swap *s, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", s->dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s", path);
    close(fd);
}

static enum eg_status ask(void *ctx, struct eg_slice name, bool refused)
{
    struct eg_swap *s = ctx;
    cr_expect(eg_slice_eq(name, EG_SLICE("key")));
    s->asked++;
    s->refused += refused;
    return s->ask_answer;
}

static void fill(const struct eg_swap *s, const char *policy, char *out, size_t cap)
{
    size_t n = 0;
    char port[8];
    snprintf(port, sizeof port, "%u", s->port);
    while (*policy) {
        const char *word = strncmp(policy, "@ORIGIN@", 8) == 0 ? port
                           : strncmp(policy, "@DIR@", 5) == 0  ? s->dir
                                                               : NULL;
        cr_assert(n + 80 < cap);
        if (!word) {
            out[n++] = *policy++;
            continue;
        }
        n += (size_t)snprintf(out + n, cap - n, "%s", word);
        policy += word == port ? 8 : 5;
    }
    out[n] = '\0';
}

static void start_origin(struct eg_swap *s)
{
    static const char *const names[] = { "api.example.test", NULL };
    struct pki_leaf leaf;
    char path[128];
    s->ca = pki_ca_new("swap");
    cr_assert(s->ca && pki_issue(s->ca, &(struct pki_request){ .names = names }, &leaf));
    const struct eg_tls_server_config tls = { .cert_pem = eg_slice_str(leaf.cert_pem),
                                              .key_pem = eg_slice_str(leaf.key_pem),
                                              .tickets = true };
    cr_assert(eg_tls_server_ctx(&tls, &s->tls, NULL) == EG_OK);
    write_file(s, "ca.pem", pki_ca_pem(s->ca));
    snprintf(path, sizeof path, "%s/record", s->dir);
    s->record = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
    const struct origin_config config = { .dir = s->dir, .tls = s->tls, .record = s->record };
    s->origin = origin_new(s->bed.loop, &config);
    cr_assert(s->origin != NULL);
    s->port = origin_port(s->origin);
}

void eg_swap_new(struct eg_swap *s, const char *policy)
{
    static const struct eg_session_phantom phantoms[] = { { "api", EG_SWAP_PHANTOM } };
    const struct eg_session_spec spec = { "main", "main-label", EG_BED_TOKEN, 0, phantoms, 1 };
    struct eg_listen_config listen = { .auth = EG_AUTH_TOKEN };
    char text[8192];
    memset(s, 0, sizeof *s);
    strncpy(s->dir, "/tmp/egress-swap-XXXXXX", sizeof s->dir - 1);
    cr_assert(mkdtemp(s->dir) != NULL);
    eg_bed_new(&s->bed, "egress: 1\n", HOSTS);
    start_origin(s);
    fill(s, policy, text, sizeof text);
    eg_bed_policy(&s->bed, text, HOSTS);
    s->bed.engine->credential_ask = ask;
    s->bed.engine->ctx = s;
    cr_assert(eg_engine_session_put(s->bed.engine, &spec, NULL) == EG_OK);
    s->proxy = eg_bed_listen(&s->bed, &listen);
    eg_swap_answer(s, EG_SWAP_REAL);
}

void eg_swap_free(struct eg_swap *s)
{
    static const char *const files[] = { "ca.pem", "record", "want" };
    char path[128];
    origin_free(s->origin);
    eg_tls_ctx_unref(s->tls);
    pki_ca_free(s->ca);
    eg_bed_free(&s->bed);
    close(s->record);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", s->dir, files[i]);
        (void)unlink(path);
    }
    cr_expect(rmdir(s->dir) == 0, "%s", strerror(errno));
}

void eg_swap_answer(struct eg_swap *s, const char *value)
{
    const struct eg_err why = { .status = EG_NOT_FOUND, .layer = "test", .text = "no such thing" };
    struct eg_creds *creds = eg_engine_creds(s->bed.engine);
    enum eg_status status = value ? eg_creds_put(creds, EG_SLICE("key"), value, strlen(value), NULL)
                                  : eg_creds_fail(creds, EG_SLICE("key"), &why);
    cr_assert(status == EG_OK);
    eg_engine_credential(s->bed.engine, EG_SLICE("key"));
}

void eg_swap_lazy(struct eg_swap *s)
{
    cr_assert(eg_creds_lazy(eg_engine_creds(s->bed.engine), EG_SLICE("key")) == EG_OK);
}

void eg_swap_want(struct eg_swap *s, const char *value)
{
    write_file(s, "want", value);
}

/* Sends all of it while the loop turns. */
static void send_all(struct eg_swap *s, int fd, const char *p, size_t n)
{
    uint64_t end = eg_clock_ms() + PATIENCE_MS;
    while (n > 0 && eg_clock_ms() < end) {
        ssize_t done = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done > 0) {
            p += done;
            n -= (size_t)done;
        } else if (errno != EAGAIN) {
            return; /* it was refused in the middle: what came back tells */
        } else {
            eg_bed_turn(&s->bed, 1);
        }
    }
    cr_assert(n == 0, "the proxy takes no more");
}

int eg_swap_send(struct eg_swap *s, const char *method, const char *path, const char *fields,
                 const void *body, size_t n)
{
    char head[4096];
    int fd = eg_bed_connect(s->proxy);
    int size =
        snprintf(head, sizeof head,
                 "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer " EG_SWAP_PHANTOM
                 "\r\n%s\r\n",
                 method, path, s->proxy, fields);
    cr_assert(size > 0 && (size_t)size < sizeof head);
    send_all(s, fd, head, (size_t)size);
    send_all(s, fd, body, n);
    return fd;
}

size_t eg_swap_await(struct eg_swap *s, int fd, char *out, size_t cap, const char *until)
{
    size_t n = 0;
    bool eof = false;
    do {
        n += eg_bed_read(&s->bed, fd, out + n, 1, &eof);
        out[n] = '\0';
    } while (!eof && n + 1 < cap && !memmem(out, n, until, strlen(until)));
    cr_assert(memmem(out, n, until, strlen(until)), "%s did not come: %s", until, out);
    return n;
}

char *eg_swap_rest(struct eg_swap *s, int fd, size_t *size)
{
    char *all = malloc(ANSWER_MAX + 1);
    bool eof = false;
    cr_assert(all != NULL);
    size_t n = eg_bed_read(&s->bed, fd, all, ANSWER_MAX, &eof);
    cr_assert(eof, "no end came: %.*s", (int)(n < 2000 ? n : 2000), all);
    all[n] = '\0';
    if (size)
        *size = n;
    close(fd);
    return realloc(all, n + 1);
}

char *eg_swap_ask(struct eg_swap *s, const char *method, const char *path, const char *fields)
{
    char all[2048];
    snprintf(all, sizeof all, "Connection: close\r\n%s", fields);
    return eg_swap_rest(s, eg_swap_send(s, method, path, all, "", 0), NULL);
}

bool eg_swap_await_asked(struct eg_swap *s, unsigned count)
{
    uint64_t end = eg_clock_ms() + PATIENCE_MS;
    while (s->asked < count && eg_clock_ms() < end)
        eg_bed_turn(&s->bed, 1);
    return s->asked >= count;
}

char *eg_swap_record(struct eg_swap *s)
{
    off_t n = lseek(s->record, 0, SEEK_END);
    char *all = malloc((size_t)n + 1);
    cr_assert(all != NULL && pread(s->record, all, (size_t)n, 0) == n);
    all[n] = '\0';
    return all;
}

unsigned eg_swap_count(const char *text, size_t n, const char *needle)
{
    unsigned count = 0;
    const char *end = text + n;
    for (; (text = memmem(text, (size_t)(end - text), needle, strlen(needle))); text++)
        count++;
    return count;
}
