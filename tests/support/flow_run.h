/* flow_run.h - one exchange through a whole engine: a client, a route with a phantom and a credential, an origin. Client and origin are ends of streams in memory:
 * nothing waits for time or the kernel, and the origin's address is seen by whoever dials. Header only, for fuzzers too; aborts where its own parts fail. */
#ifndef TESTS_FLOW_RUN_H
#define TESTS_FLOW_RUN_H

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "policy/compile.h"
#include "proxy/engine.h"
#include "stream/stream.h"
#include "tls/context.h"

#define FLOW_PHANTOM "sk-PHANTOMphantomPHANTOMphantom01"
#define FLOW_SECRET  "sk-REALrealREALrealREALrealREAL99"
#define FLOW_TOKEN   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

enum { FLOW_BYTES = 1 << 17, FLOW_PIPE = 1 << 16, FLOW_PORT = 8080 };

#define FLOW_MUST(x)                                                                               \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct flow_world {
    struct eg_loop *loop;
    struct egress_ring *ring;
    struct eg_vault *vault;
    struct eg_engine *engine;
    struct eg_buf block;
    char origin_text[32]; /* its authority */
    /* of the exchange: our ends */
    struct eg_stream *client, *origin;
    bool client_eof, origin_eof;
    unsigned origins;                      /* connections that the origin was asked for */
    char up[FLOW_BYTES], down[FLOW_BYTES]; /* what reached the origin, and the client */
    size_t up_n, down_n;
};

static inline void flow_kept(void *ctx)
{
    (void)ctx;
}

static inline void flow_policy(struct flow_world *w, const char *policy)
{
    static const struct eg_policy_reader reader = { .read = NULL };
    const struct eg_policy_file file = { "flow.yaml", eg_slice_str(policy), EG_LAYER_USER, true };
    const struct eg_facts facts = { .dns_count = 0 };
    struct eg_diags *diags = NULL;
    struct eg_err err = { 0 };
    FLOW_MUST(eg_diags_new(&diags) == EG_OK);
    eg_buf_init(&w->block, 1 << 20);
    enum eg_status status = eg_policy_compile(&file, 1, &reader, diags, &w->block, NULL);
    if (status != EG_OK) {
        struct eg_buf said;
        eg_buf_init(&said, 1 << 16);
        (void)!eg_diags_render(diags, false, &said);
        fprintf(stderr, "%.*s\n", (int)said.len, said.len ? said.data + said.off : "");
    }
    FLOW_MUST(status == EG_OK);
    eg_diags_free(diags);
    status = eg_engine_prepare(w->engine, w->block.data + w->block.off, w->block.len, &facts,
                               flow_kept, NULL, &err);
    FLOW_MUST(status == EG_OK);
    eg_engine_switch(w->engine);
}

static inline void flow_listen(struct flow_world *w)
{
    struct eg_listen_config config = { .auth = EG_AUTH_TOKEN };
    struct sockaddr_un any = { .sun_family = AF_UNIX }; /* a name of the kernel's choice; nobody calls there */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    FLOW_MUST(fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(sa_family_t)) == 0 && listen(fd, 8) == 0);
    FLOW_MUST(eg_engine_listen(w->engine, fd, &config, NULL) == EG_OK);
}

/* The judged address is the one that is dialled. One connection an exchange; what is sent again finds nobody. */
static inline enum eg_status flow_dial(void *ctx, const struct eg_sockaddr *addrs, unsigned count,
                                       struct eg_stream **ret)
{
    struct flow_world *w = ctx;
    struct eg_stream *ours = NULL;
    static const struct eg_addr origin = { 4, { 127, 0, 0, 1 } };
    FLOW_MUST(count == 1 && eg_addr_eq(&addrs[0].addr, &origin) && addrs[0].port == FLOW_PORT);
    FLOW_MUST(eg_stream_mem(FLOW_PIPE, &ours, ret) == EG_OK);
    if (w->origins++ > 0)
        eg_stream_free(ours);
    else
        w->origin = ours;
    return EG_OK;
}

/* options: of the service, such as ", redact: false". */
static inline struct flow_world *flow_new(const char *options)
{
    static const struct eg_session_phantom phantom = { "api", FLOW_PHANTOM };
    const struct eg_session_spec session = { "main", "main", FLOW_TOKEN, 0, &phantom, 1 };
    struct flow_world *w = calloc(1, sizeof *w);
    char policy[1024];
    int fd;
    FLOW_MUST(w && sodium_init() >= 0 && eg_tls_start(NULL) == EG_OK);
    FLOW_MUST(eg_loop_new(&w->loop, NULL) == EG_OK);
    FLOW_MUST(egress_ring_create(4096, &w->ring, &fd) == EG_OK);
    FLOW_MUST(eg_vault_new(&w->vault, 65536, false, NULL, NULL) == EG_OK);
    const struct eg_engine_config config = { .loop = w->loop,
                                             .trail = { .ring = w->ring, .file = -1, .writer = 1 },
                                             .vault = w->vault,
                                             .dial = flow_dial,
                                             .ctx = w };
    FLOW_MUST(eg_engine_new(&config, &w->engine, NULL) == EG_OK);
    snprintf(w->origin_text, sizeof w->origin_text, "127.0.0.1:%d", FLOW_PORT);
    snprintf(policy, sizeof policy,
             "egress: 1\n"
             "services:\n"
             "  api: {upstream: \"http://127.0.0.1:%d/v1\", credential: key, accept: [bearer], "
             "write: [\"header:Authorization: Bearer {}\"]%s}\n"
             "credentials:\n"
             "  key: {from: \"env:KEY\", hosts: [\"127.0.0.1\"]}\n"
             "networks: {allow: [127.0.0.1/32]}\n",
             FLOW_PORT, options);
    flow_policy(w, policy);
    FLOW_MUST(eg_engine_session_put(w->engine, &session, NULL) == EG_OK);
    FLOW_MUST(eg_creds_put(eg_engine_creds(w->engine), EG_SLICE("key"), FLOW_SECRET,
                           strlen(FLOW_SECRET), NULL) == EG_OK);
    flow_listen(w);
    return w;
}

static inline void flow_free(struct flow_world *w)
{
    eg_engine_free(w->engine);
    (void)!eg_loop_tick(w->loop, 0, NULL);
    egress_ring_free(w->ring);
    eg_loop_free(w->loop);
    eg_vault_free(w->vault);
    eg_buf_done(&w->block);
    eg_tls_stop();
    free(w);
}

/* Reads what is there: did anything happen? */
static inline bool flow_read(struct eg_stream *from, char *to, size_t *n, bool *eof)
{
    size_t got = 0, before = *n;
    if (!from || *eof)
        return false;
    while (*n < FLOW_BYTES && eg_stream_recv(from, to + *n, FLOW_BYTES - *n, &got, NULL) == EG_OK)
        *n += got;
    *eof = *n < FLOW_BYTES && eg_stream_recv(from, to + *n, 1, &got, NULL) == EG_EOF;
    return *n > before || *eof;
}

/* One tick of the engine; did anything come out of it? */
static inline bool flow_turn(struct flow_world *w)
{
    unsigned dialled = w->origins;
    eg_engine_wake(w->engine);
    FLOW_MUST(eg_loop_tick(w->loop, 0, NULL) == EG_OK);
    bool moved = flow_read(w->origin, w->up, &w->up_n, &w->origin_eof);
    return flow_read(w->client, w->down, &w->down_n, &w->client_eof) || moved ||
           w->origins > dialled;
}

/* Turns until nothing moves in three turns. */
static inline void flow_settle(struct flow_world *w)
{
    for (unsigned quiet = 0, all = 0; quiet < 3 && all < 10000; all++)
        quiet = flow_turn(w) ? 0 : quiet + 1;
}

static inline void flow_open(struct flow_world *w)
{
    struct eg_stream *theirs = NULL;
    FLOW_MUST(eg_stream_mem(FLOW_PIPE, &w->client, &theirs) == EG_OK);
    w->client_eof = w->origin_eof = false;
    w->up_n = w->down_n = w->origins = 0;
    eg_engine_serve(w->engine, theirs);
}

static inline void flow_say(struct flow_world *w, struct eg_stream *to, const char *p, size_t n)
{
    while (to && n > 0) {
        size_t sent = 0;
        enum eg_status status = eg_stream_send(to, p, n, &sent, NULL);
        if (status == EG_OK) {
            p += sent;
            n -= sent;
        } else if (status != EG_AGAIN || !flow_turn(w)) {
            return; /* nobody takes it */
        }
    }
}

static inline void flow_end(struct eg_stream *to)
{
    if (to)
        FLOW_MUST(eg_stream_shut(to, NULL) == EG_OK);
}

static inline void flow_close(struct flow_world *w)
{
    eg_stream_free(w->client);
    eg_stream_free(w->origin);
    w->client = w->origin = NULL;
    for (unsigned i = 0; i < 1000 && !eg_engine_idle(w->engine); i++)
        (void)flow_turn(w);
}

static inline bool flow_has(const char *p, size_t n, const char *text)
{
    return memmem(p, n, text, strlen(text)) != NULL;
}

static inline unsigned flow_count(const char *p, size_t n, const char *text)
{
    unsigned count = 0;
    const char *at;
    while ((at = memmem(p, n, text, strlen(text)))) {
        count++;
        n -= (size_t)(at - p) + 1;
        p = at + 1;
    }
    return count;
}

#endif
