/* flow_captured: what a program that knows no proxy sends on a captured connection, through a whole engine.
 *
 * Input: which destination (a byte), how it is cut (a byte a piece), a zero, and the bytes. Properties: nothing crashes; only what is
 * allowed is dialled; under scheme tcp the origin gets the very bytes, under https them or nothing, and only TLS for its own name, under
 * http heads of ours for its own name alone; a client that is refused hears nothing, an alert, or an answer of ours. */
#include <stdint.h>

#include "http/message.h"
#include "proxy/flow.h"
#include "proxy/names.h"
#include "support/flow_run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 20000 };
enum scheme { TCP, TLS, HTTP, NONE };

static const struct {
    const char *host; /* NULL: an address that stands for nothing */
    enum scheme scheme;
} goals[] = { { "tcp.test", TCP },     { "tls.test", TLS },      { "http.test", HTTP },
              { "denied.test", NONE }, { "unknown.test", NONE }, { NULL, NONE } };
enum { GOALS = sizeof goals / sizeof *goals };

static struct eg_sockaddr goal;

static bool wanted(void *ctx, struct eg_sockaddr *ret)
{
    (void)ctx;
    *ret = goal;
    return true;
}

static void policy(struct flow_world *w)
{
    static const char text[] = "egress: 1\n"
                               "allow:\n"
                               "  - {host: tcp.test, scheme: tcp, ports: [8080]}\n"
                               "  - {host: tls.test, ports: [8080]}\n"
                               "  - {host: http.test, scheme: http, ports: [8080]}\n"
                               "deny: [denied.test]\n"
                               "networks: {allow: [127.0.0.1/32]}\n";
    static const struct eg_policy_reader reader = { .read = NULL };
    static struct eg_buf block; /* as long as the engine */
    const struct eg_policy_file file = {
        "captured.yaml", { text, sizeof text - 1 }, EG_LAYER_USER, true
    };
    const struct eg_facts facts = { .hosts_text =
                                        EG_SLICE("127.0.0.1 tcp.test tls.test http.test\n") };
    struct eg_diags *diags = NULL;
    FLOW_MUST(eg_diags_new(&diags) == EG_OK);
    eg_buf_init(&block, 1 << 20);
    FLOW_MUST(eg_policy_compile(&file, 1, &reader, diags, &block, NULL) == EG_OK);
    eg_diags_free(diags);
    FLOW_MUST(eg_engine_prepare(w->engine, block.data + block.off, block.len, &facts, flow_kept,
                                NULL, NULL) == EG_OK);
    eg_engine_switch(w->engine);
}

static struct flow_world *world_new(void)
{
    static const struct eg_listen_session whose = { { "", 0 }, { "main", 4 } };
    const struct eg_listen_config config = { .kind = EG_INGRESS_CAPTURE,
                                             .sessions = &whose,
                                             .session_count = 1,
                                             .self = { { 4, { 127, 0, 0, 1 } }, 1 } };
    struct flow_world *w = flow_new("");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    FLOW_MUST(fd >= 0 && listen(fd, 1) == 0 &&
              eg_engine_listen(w->engine, fd, &config, NULL) == EG_OK);
    w->engine->wanted = wanted;
    FLOW_MUST(eg_names_new(&w->engine->names) == EG_OK);
    policy(w);
    return w;
}

static void aim(struct flow_world *w, unsigned which)
{
    struct eg_authority name;
    goal = (struct eg_sockaddr){ { 4, { 198, 19, 200, 200 } }, FLOW_PORT };
    if (!goals[which].host)
        return;
    FLOW_MUST(eg_host_parse(eg_slice_str(goals[which].host), &name, NULL) == EG_OK);
    FLOW_MUST(eg_names_address(w->engine->names, &name, &goal.addr) == EG_OK);
}

static void check_heads(const struct flow_world *w)
{
    static const struct eg_msg_limits limits = { 65536, 200, 65536 };
    struct eg_msg *m = NULL;
    size_t used = 0;
    FLOW_MUST(eg_msg_new(&m, EG_MSG_REQUEST, &limits) == EG_OK);
    enum eg_status status = eg_msg_head(m, w->up, w->up_n, &used, NULL);
    FLOW_MUST(status == EG_OK || status == EG_AGAIN);
    if (status == EG_OK) {
        const struct eg_head *head = eg_msg_head_get(m);
        FLOW_MUST(eg_slice_eq(head->host, EG_SLICE("http.test:8080")));
    }
    eg_msg_free(m);
}

static void check(const struct flow_world *w, enum scheme scheme, const char *said, size_t n)
{
    struct eg_hello hello;
    if (scheme != HTTP) /* whoever may speak first is connected before a byte of either */
        FLOW_MUST(w->origins == (scheme == NONE ? 0 : 1));
    if (scheme == HTTP && w->up_n > 0)
        check_heads(w);
    if ((scheme == TCP || scheme == TLS) && w->up_n > 0)
        FLOW_MUST(w->up_n <= n && memcmp(w->up, said, w->up_n) == 0);
    if (scheme == TCP && w->origin)
        FLOW_MUST(w->up_n == n);
    if (scheme == TLS && w->up_n > 0) {
        eg_hello_parse(said, n, &hello);
        FLOW_MUST(hello.kind == EG_HELLO_TLS && hello.sni_valid &&
                  eg_slice_eq(eg_authority_host(&hello.sni), EG_SLICE("tls.test")));
    }
    if (w->up_n == 0 && w->down_n > 0)
        FLOW_MUST(
            (w->down_n == EG_HELLO_ALERT_SIZE && memcmp(w->down, EG_HELLO_ALERT, w->down_n) == 0) ||
            (w->down_n > 9 && memcmp(w->down, "HTTP/1.1 ", 9) == 0) ||
            (w->down_n > 16 && memcmp(w->down, "SSH-2.0-egress\r\n", 16) == 0 &&
             memcmp(said, "SSH-2.0-", 8) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct flow_world *world;
    static char text[INPUT_MAX];
    if (!world)
        world = world_new();
    if (size == 0 || size > INPUT_MAX)
        return 0;
    unsigned which = data[0] % GOALS;
    data++;
    size--;
    const uint8_t *zero = memchr(data, 0, size);
    size_t cuts = zero ? (size_t)(zero - data) : 0, skip = zero ? cuts + 1 : 0, n = size - skip;
    if (n > 0)
        memcpy(text, data + skip, n);
    aim(world, which);
    flow_open(world);
    for (size_t at = 0, i = 0; at < n && !world->client_eof; i++) {
        size_t one = i < cuts ? data[i] + 1u : n - at;
        one = one < n - at ? one : n - at;
        flow_say(world, world->client, text + at, one);
        at += one;
        flow_settle(world);
    }
    flow_settle(world);
    check(world, goals[which].scheme, text, n);
    flow_close(world);
    FLOW_MUST(eg_engine_idle(world->engine));
    return 0;
}
