/* oauth_answer.c - any bytes as what a token endpoint answers, read by the helper of an oauth2 credential; the first byte chooses the grant.
 * It ends, and with a token only if that is one: lengths that add up, visible ASCII. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sodium.h>

#include "cmd/oauth.h"
#include "policy/compile.h"
#include "support/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { INPUT_MAX = 100000, TIMEOUT_MS = 20000, GRANTS = 3 };

#define COMMON "token_url: \"https://as.example/token\", client_id: id"
static const char POLICY[] =
    "egress: 1\n"
    "credentials:\n"
    "  a: {hosts: [api.example], oauth2: {grant: client_credentials, " COMMON
    ", client_secret: \"env:S\"}}\n"
    "  b: {hosts: [api.example], oauth2: {grant: refresh_token, " COMMON
    ", refresh_token: \"file:/nowhere/r\"}}\n"
    "  c: {hosts: [api.example], oauth2: {grant: github_app, issuer: \"1\", installation: 7, key: "
    "\"env:K\"}}\n";

static struct eg_policy *policy(void)
{
    static struct eg_policy *made;
    static struct eg_buf block;
    const struct eg_policy_file file = { "fuzz.yaml", eg_slice_str(POLICY), EG_LAYER_USER, true };
    struct eg_diags *diags = NULL;
    if (made)
        return made;
    MUST(sodium_init() >= 0 && eg_diags_new(&diags) == EG_OK);
    eg_buf_init(&block, 1 << 20);
    MUST(eg_policy_compile(&file, 1, NULL, diags, &block, NULL) == EG_OK);
    eg_diags_free(diags);
    MUST(eg_policy_open(block.data + block.off, block.len, &made, NULL) == EG_OK);
    return made;
}

static void put_part(struct eg_buf *b, const char *text)
{
    uint32_t n = (uint32_t)strlen(text);
    MUST(eg_buf_append(b, &n, sizeof n) == EG_OK && eg_buf_append(b, text, n) == EG_OK);
}

/* The answer is there, and its end. */
static int answered(const uint8_t *bytes, size_t n)
{
    int pair[2], room = 4 * INPUT_MAX;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    MUST(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
    MUST(send(pair[0], bytes, n, MSG_DONTWAIT) == (ssize_t)n);
    close(pair[0]);
    return pair[1];
}

static void check(enum eg_status status, const struct eg_buf *value, const struct eg_err *err)
{
    struct eg_sup_oauth_result r;
    if (status != EG_OK) {
        MUST(value->len == 0 && err->status == status && err->text[0]);
        return;
    }
    MUST(value->len > sizeof r);
    memcpy(&r, value->data + value->off, sizeof r);
    struct eg_slice rest = eg_slice_from(eg_buf_slice(value), sizeof r);
    MUST(r.token_n > 0 && r.token_n <= EG_CREDENTIAL_MAX && r.refresh_n <= EG_CREDENTIAL_MAX &&
         rest.n == r.token_n + r.refresh_n);
    for (size_t i = 0; i < rest.n; i++)
        MUST(rest.p[i] > 0x20 && rest.p[i] < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static char names[GRANTS][2] = { "a", "b", "c" };
    if (n == 0 || n > INPUT_MAX)
        return 0;
    /* a signature costs more than all else */
    unsigned grant = bytes[0] >= 0xf0 ? 2 : bytes[0] & 1;
    struct eg_sup_policy p = { .policy = policy() };
    struct eg_supervisor supervisor = { .policy = &p };
    struct eg_sup_credential e = { .name = names[grant] };
    struct eg_sup_creds creds = { .supervisor = &supervisor, .list = &e, .count = 1 };
    struct eg_sup_oauth o = { .client = answered(bytes + 1, n - 1) };
    struct eg_err err = { 0 };
    struct eg_buf value;
    int client = o.client;
    eg_buf_init(&value, EG_SUP_OAUTH_MAX);
    eg_buf_init(&o.parts, 65536);
    put_part(&o.parts, "secret");
    put_part(&o.parts, "rt-0");
    put_part(&o.parts, grant == 2 ? KEYS_EC_PKCS8 : "");
    enum eg_status status = eg_sup_oauth_run(&creds, &e, &o, TIMEOUT_MS, &value, &err);
    check(status, &value, &err);
    eg_buf_done(&value);
    close(client);
    return 0;
}
