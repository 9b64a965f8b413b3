/* policy_file.c - fuzzes the way from a policy file to decisions. The first byte chooses trust and layer, the rest is the file. Whatever is
 * in it, compiling ends, its messages can be shown, and what compiles can be opened and asked. */
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>

#include "policy/compile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum eg_status read_pem(void *ctx, const char *path, struct eg_buf *out, struct eg_err *err)
{
    (void)ctx;
    if (strstr(path, "no"))
        return eg_err_set(err, EG_NOT_FOUND, "file", 0, "there is no such file");
    return eg_buf_printf(out, "-----BEGIN CERTIFICATE-----\nPRIVATE KEY\n");
}

static void ask(const struct eg_policy *p)
{
    static const char *const hosts[] = { "a.example:443", "x.a.example:80", "127.0.0.1:80",
                                         "[::1]:443",     "10.0.0.1:5",     "metadata:80" };
    struct eg_authority to;
    struct eg_verdict v, w;
    struct eg_addr addr = { 4, { 10, 0, 0, 1 } };
    char advice[200];
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        if (eg_authority_parse(eg_slice_str(hosts[i]), 0, &to, NULL) != EG_OK)
            abort();
        eg_policy_judge_tunnel(p, &to, &v);
        if (v.status != EG_OK && v.detail.n == 0)
            abort();
        if (v.status == EG_OK && v.scheme == EG_SCHEME_NONE)
            abort();
        (void)eg_policy_advise(p, &v, &to, advice, sizeof advice);
        eg_policy_judge_address(p, &v, &addr, to.port, &w);
        if (eg_policy_service_count(p) + eg_policy_credential_count(p) == 0 && v.status == EG_OK &&
            v.rule.n == 0)
            abort();
    }
    for (unsigned i = 0; i < eg_policy_service_count(p); i++) {
        struct eg_service s;
        eg_policy_service(p, i, &s);
        if (eg_policy_service_of_route(p, s.route) != (int)i)
            abort();
        if (s.credential.n &&
            !eg_policy_credential_host(p, s.credential, eg_authority_host(&s.upstream)))
            abort(); /* a credential that may go where it is not bound */
        eg_policy_judge_route(p, i, EG_SLICE("GET"), EG_SLICE("/"), (struct eg_path_flags){ 0 },
                              &v);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct eg_addr own[] = { { 4, { 192, 168, 1, 2 } } };
    static const struct eg_policy_reader reader = { read_pem, NULL, own, 1, NULL, false };
    struct eg_diags *diags = NULL;
    struct eg_policy *p = NULL;
    struct eg_buf block, text;
    if (size == 0 || sodium_init() < 0 || eg_diags_new(&diags) != EG_OK)
        return 0;
    struct eg_policy_file file = { "dir/egress.yaml", eg_slice(data + 1, size - 1),
                                   data[0] & 2 ? EG_LAYER_ORG : EG_LAYER_REPO, !(data[0] & 1) };
    eg_buf_init(&block, 16 << 20);
    eg_buf_init(&text, 16 << 20);
    enum eg_status st = eg_policy_compile(&file, 1, &reader, diags, &block, NULL);
    if (st != EG_OK && st != EG_INVALID)
        abort();
    if ((st == EG_OK) != (eg_diags_count(diags, EG_DIAG_ERROR) == 0))
        abort();
    if (eg_diags_render(diags, false, &text) != EG_OK)
        abort();
    if (st == EG_OK) {
        if (eg_policy_open(block.data, block.len, &p, NULL) != EG_OK)
            abort();
        ask(p);
        eg_policy_close(p);
    }
    eg_diags_free(diags);
    eg_buf_done(&block);
    eg_buf_done(&text);
    return 0;
}
