/* policy_ways.c - listen: and upstream: in a policy: every error with its exact place, what the block answers, and who has the word about proxies. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/compile.h"

enum { TEXT_MAX = 4096 };

struct bad {
    const char *text;   /* of egress.yaml */
    const char *expect; /* "line:column code, ..." in order; W before a warning's code; "-" none */
    bool allow_remote;
};

static enum eg_status read_pem(void *ctx, const char *path, struct eg_buf *out, struct eg_err *err)
{
    (void)ctx;
    if (strstr(path, "missing"))
        return eg_err_set(err, EG_NOT_FOUND, "file", 0, "there is no such file");
    const char *label = strstr(path, "key")    ? "PRIVATE KEY"
                        : strstr(path, "text") ? "NOTHING"
                                               : "CERTIFICATE";
    return eg_buf_printf(out, "%s\n-----BEGIN %s-----\nMAA=\n-----END %s-----\n", path, label,
                         label);
}

static void list(const struct eg_diags *d, char *out, size_t cap)
{
    size_t n = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < eg_diags_total(d) && n < cap; i++) {
        const struct eg_diag *one = eg_diags_at(d, i);
        n += (size_t)snprintf(out + n, cap - n, "%s%u:%u %s%s", i ? ", " : "", one->line,
                              one->column, one->severity == EG_DIAG_WARNING ? "W " : "", one->code);
    }
    if (n == 0)
        snprintf(out, cap, "-");
}

static unsigned check(const struct bad *b, size_t row)
{
    const struct eg_policy_file file = { "egress.yaml", eg_slice_str(b->text), EG_LAYER_REPO,
                                         true };
    const struct eg_policy_reader reader = { .read = read_pem, .allow_remote = b->allow_remote };
    struct eg_diags *d = NULL;
    struct eg_buf block, text;
    char got[TEXT_MAX];
    eg_buf_init(&block, 16 << 20);
    eg_buf_init(&text, 1 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    enum eg_status st = eg_policy_compile(&file, 1, &reader, d, &block, NULL);
    list(d, got, sizeof got);
    bool error = eg_diags_count(d, EG_DIAG_ERROR) > 0;
    bool fine = strcmp(got, b->expect) == 0 && st == (error ? EG_INVALID : EG_OK) &&
                (error ? block.len == 0 : block.len > 0);
    cr_assert_eq(eg_diags_render(d, false, &text), EG_OK);
    if (text.len > 0 && memmem(text.data, text.len, "hunter2", 7))
        fine = false;
    if (!fine)
        fprintf(stderr, "row %zu: got %s, want %s\n%.600s%.*s\n", row, got, b->expect, b->text,
                (int)text.len, text.len ? text.data : "");
    eg_buf_done(&block);
    eg_buf_done(&text);
    eg_diags_free(d);
    return !fine;
}

static void check_all(const struct bad *rows, size_t count)
{
    unsigned failed = 0;
    cr_assert_geq(sodium_init(), 0);
    for (size_t i = 0; i < count; i++)
        failed += check(&rows[i], i);
    cr_assert_eq(failed, 0, "%u rows differ", failed);
}
#define CHECK(rows) check_all(rows, sizeof rows / sizeof *rows)

Test(policy, errors_of_listeners)
{
    static const struct bad rows[] = {
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\"}]\n", "-", false },
        { "egress: 1\nlisten: [{address: \"[::1]:8080\", protocols: [http], auth: token}]\n", "-",
          false },
        { "egress: 1\nlisten: [{address: \"127.9.9.9:8080\", protocols: [socks5]}]\n", "-", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", protocols: [http, socks5, http]}]\n", "-",
          false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\"}, {address: \"127.0.0.1:0\"}]\n", "-",
          false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:80\"}, {address: \"127.0.0.1:80\"}]\n",
          "2:47 duplicate-name", false },
        { "egress: 1\nlisten: [{address: \"unix:/a/b\"}, {address: \"unix:/a/b\"}]\n",
          "2:44 duplicate-name", false },
        { "egress: 1\nlisten: []\n", "2:1 bad-value", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\"}, {address: \"127.0.0.1:0\"}, {address: "
          "\"127.0.0.1:0\"}, {address: \"127.0.0.1:0\"}, {address: \"127.0.0.1:0\"}, {address: "
          "\"127.0.0.1:0\"}, {address: \"127.0.0.1:0\"}, {address: \"127.0.0.1:0\"}, {address: "
          "\"127.0.0.1:0\"}]\n",
          "2:1 bad-value", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\"}, {address: \"127.0.0.1:0\"}, {address: "
          "\"127.0.0.1:0\"}, {address: \"127.0.0.1:0\"}, {address: \"127.0.0.1:0\"}, {address: "
          "\"127.0.0.1:0\"}, {address: \"127.0.0.1:0\"}, {address: \"127.0.0.1:0\"}]\n",
          "-", false },
        { "egress: 1\nlisten: [{}]\n", "2:10 missing-key", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"localhost:0\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"::1:80\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:65536\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:-1\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:080\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"[::1]\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"[::1%lo]:80\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"127.1:80\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"0:80\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"unix:\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"unix:x\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"unix:./x\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"unix:/\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"unix:/run/x/\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"unix:@x\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"unix://\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"UNIX:/run/x\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"http://127.0.0.1:80\"}]\n", "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"unix:/run/x\"}]\n", "-", false },
        { "egress: 1\nlisten: [{address: "
          "\"unix:/"
          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
          "xxxxxxxxxxxxxxxxxx\"}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: "
          "\"unix:/"
          "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
          "xxxxxxxxxxxxxxxxxxx\"}]\n",
          "2:20 bad-address", false },
        { "egress: 1\nlisten: [{address: \"unix:/run/x\", protocols: [socks5], tls: {cert: c.pem, "
          "key: key.pem}, auth: token}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", protocols: []}]\n", "2:46 bad-value",
          false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", protocols: [socks]}]\n", "2:47 bad-type",
          false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", protocols: socks5}]\n", "2:46 bad-type",
          false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", auth: none}]\n", "2:41 W open-listener",
          false },
        { "egress: 1\nlisten: [{address: \"unix:/run/x\", auth: none}]\n", "2:41 W open-listener",
          false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", auth: cert}]\n", "2:41 bad-type", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem}}]\n",
          "2:35 missing-key", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: text.pem}}]\n",
          "2:59 bad-pem", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: missing, key: missing}}]\n",
          "2:47 unreadable-file, 2:61 unreadable-file", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem, require_client: true}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem, require_client: false}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: missing}}]\n",
          "2:79 unreadable-file", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: text}}]\n",
          "2:79 bad-pem", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "require_client: true}}]\n",
          "2:68 missing-key", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "require_client: false}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "require_client: yes}}]\n",
          "2:84 bad-type", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, verify: "
          "none}}]\n",
          "2:68 unknown-key", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", auth: client_cert}]\n",
          "2:41 missing-key", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem}, auth: "
          "client_cert}]\n",
          "2:75 missing-key", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem, require_client: false}, auth: client_cert}]\n",
          "2:117 missing-key", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem}, auth: client_cert}]\n",
          "2:94 W unreachable-rule", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: missing}, auth: client_cert}]\n",
          "2:79 unreadable-file, 2:95 W unreachable-rule", false },
        { "egress: 1\nlisten: [{address: \"0.0.0.0:80\"}]\n", "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"0.0.0.0:80\"}]\n", "2:20 W open-listener", true },
        { "egress: 1\nlisten: [{address: \"0.0.0.0:80\", tls: {cert: c.pem, key: key.pem}}]\n",
          "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"0.0.0.0:80\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem, require_client: false}}]\n",
          "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"0.0.0.0:80\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"0.0.0.0:80\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem}}]\n",
          "-", true },
        { "egress: 1\nlisten: [{address: \"10.1.2.3:80\"}]\n", "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"10.1.2.3:80\"}]\n", "2:20 W open-listener", true },
        { "egress: 1\nlisten: [{address: \"10.1.2.3:80\", tls: {cert: c.pem, key: key.pem}}]\n",
          "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"10.1.2.3:80\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem, require_client: false}}]\n",
          "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"10.1.2.3:80\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"10.1.2.3:80\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem}}]\n",
          "-", true },
        { "egress: 1\nlisten: [{address: \"[::]:80\"}]\n", "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"[::]:80\"}]\n", "2:20 W open-listener", true },
        { "egress: 1\nlisten: [{address: \"[::]:80\", tls: {cert: c.pem, key: key.pem}}]\n",
          "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"[::]:80\", tls: {cert: c.pem, key: key.pem, client_ca: "
          "ca.pem, require_client: false}}]\n",
          "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"[::]:80\", tls: {cert: c.pem, key: key.pem, client_ca: "
          "ca.pem}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"[::]:80\", tls: {cert: c.pem, key: key.pem, client_ca: "
          "ca.pem}}]\n",
          "-", true },
        { "egress: 1\nlisten: [{address: \"[2001:db8::1]:80\"}]\n", "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"[2001:db8::1]:80\"}]\n", "2:20 W open-listener", true },
        { "egress: 1\nlisten: [{address: \"[2001:db8::1]:80\", tls: {cert: c.pem, key: "
          "key.pem}}]\n",
          "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"[2001:db8::1]:80\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem, require_client: false}}]\n",
          "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"[2001:db8::1]:80\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"[2001:db8::1]:80\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem}}]\n",
          "-", true },
        { "egress: 1\nlisten: [{address: \"8.8.8.8:0\"}]\n", "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"8.8.8.8:0\"}]\n", "2:20 W open-listener", true },
        { "egress: 1\nlisten: [{address: \"8.8.8.8:0\", tls: {cert: c.pem, key: key.pem}}]\n",
          "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"8.8.8.8:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem, require_client: false}}]\n",
          "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"8.8.8.8:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"8.8.8.8:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem}}]\n",
          "-", true },
        { "egress: 1\nlisten: [{address: \"[::ffff:127.0.0.1]:80\"}]\n", "2:20 open-listener",
          false },
        { "egress: 1\nlisten: [{address: \"[::ffff:127.0.0.1]:80\"}]\n", "2:20 W open-listener",
          true },
        { "egress: 1\nlisten: [{address: \"[::ffff:127.0.0.1]:80\", tls: {cert: c.pem, key: "
          "key.pem}}]\n",
          "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"[::ffff:127.0.0.1]:80\", tls: {cert: c.pem, key: "
          "key.pem, client_ca: ca.pem, require_client: false}}]\n",
          "2:20 open-listener", false },
        { "egress: 1\nlisten: [{address: \"[::ffff:127.0.0.1]:80\", tls: {cert: c.pem, key: "
          "key.pem, client_ca: ca.pem}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"[::ffff:127.0.0.1]:80\", tls: {cert: c.pem, key: "
          "key.pem, client_ca: ca.pem}}]\n",
          "-", true },
        { "egress: 1\nlisten: [{address: \"10.1.2.3:80\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem}, auth: none}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"0.0.0.0:80\", auth: none}]\n",
          "2:20 W open-listener, 2:40 W open-listener", true },
        { "egress: 1\nlisten: [{address: \"0.0.0.0:80\", auth: client_cert}]\n",
          "2:20 W open-listener, 2:40 missing-key", true },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:build.example\": build}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:10.0.0.1\": a, \"san:::1\": b, "
          "\"san:spiffe://x.example/y\": c, \"san:Build.Example.\": d}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"build.example\": a}}]\n",
          "2:100 bad-value", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"dns:build.example\": a}}]\n",
          "2:100 bad-value", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:\": a}}]\n",
          "2:100 bad-host", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:*.example\": a}}]\n",
          "2:100 bad-host", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:a..b\": a}}]\n",
          "2:100 bad-host", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:[::1]\": a}}]\n",
          "2:100 bad-host", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:a b\": a}}]\n",
          "2:100 bad-host", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:a.example\": a, \"san:A.EXAMPLE\": b}}]\n",
          "2:120 duplicate-name", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:a.example\": a, \"san:a.example\": b}}]\n",
          "2:120 duplicate-key", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:::1\": a, \"san:0:0::1\": a}}]\n",
          "2:114 duplicate-name", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:a.example\": \"\"}}]\n",
          "2:117 bad-name", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:a.example\": \"a b\"}}]\n",
          "2:117 bad-name", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:a.example\": "
          "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}}]\n",
          "2:117 bad-name", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:a.example\": "
          "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}}]\n",
          "-", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: {\"san:a.example\": [a]}}]\n",
          "2:117 bad-type", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, "
          "client_ca: ca.pem},  sessions: [a]}]\n",
          "2:99 bad-type", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem}, "
          "sessions: {\"san:a.example\": a}}]\n",
          "2:69 missing-key", false },
        { "egress: 1\nlisten: [{address: \"127.0.0.1:0\", sessions: {}}]\n", "2:35 missing-key",
          false },
    };
    CHECK(rows);
}

Test(policy, errors_of_upstreams)
{
    static const struct bad rows[] = {
        { "egress: 1\nupstream: none\n", "-", false },
        { "egress: 1\nupstream: env\n", "-", false },
        { "egress: 1\nupstream: direct\n", "2:11 bad-type", false },
        { "egress: 1\nupstream: [{proxy: \"http://p.example:3128\"}]\n", "2:20 W remote-resolution",
          false },
        { "egress: 1\nupstream: [{proxy: \"http://p.example\"}]\n", "2:20 W remote-resolution",
          false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:3128\"}], resolve: remote}\n",
          "2:30 W remote-resolution", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:3128\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"p.example:3128\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example/\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"socks5://p.example\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"socks5h://127.0.0.1:9050\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"socks5+tls://p.example\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"ssh://me@gate.example\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"ssh://gate.example:2222\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://[2001:db8::1]:1\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"\"}], resolve: local}\ncredentials:\n  k: "
          "{from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", localhost]}\n",
          "2:30 bad-url", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"p.example\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 bad-url", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"ftp://p.example:1\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 bad-url", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"socks4://p.example:1\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 bad-url", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:1/x\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 bad-url", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:1?x\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 bad-url", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:1#x\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 bad-url", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:0\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 bad-url", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://:1\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 bad-url", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p example:1\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 bad-url", false },
        { "egress: 1\nupstream: {proxies: [{proxy: http://p.example:3128}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://u:hunter2@p.example:1\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 inline-secret", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://u:hunter2@p.example:1\", credential: "
          "k}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, "
          "127.0.0.1, \"::1\", localhost]}\n",
          "2:30 inline-secret", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"u:hunter2@p.example:1\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 inline-secret", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"ssh://u:hunter2@p.example:1\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 bad-url", false },
        { "egress: 1\nupstream: {proxies: [{proxy: "
          "\"socks5://"
          "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
          "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"
          "uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu:x@p."
          "example:1\"}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, "
          "127.0.0.1, \"::1\", localhost]}\n",
          "2:30 bad-url", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://u@p.example:1\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 missing-key", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"socks5://u@p.example:1\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 missing-key", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://u@p.example:1\", credential: k}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://u:@p.example:1\", credential: k}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://u@p.example:1\", credential: k}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:30 W plaintext-credential", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://u%00@p.example:1\"}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:30 bad-url", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:1\", credential: k}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:30 W plaintext-credential", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"socks5://p.example:1\", credential: k}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:30 W plaintext-credential", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"socks5h://u@p.example:1\", credential: k}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:30 W plaintext-credential", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example:1\", credential: k}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"socks5+tls://p.example:1\", credential: k}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://127.0.0.1:1\", credential: k}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://[::1]:1\", credential: k}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://localhost:1\", credential: k}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://q.example:1\", credential: k}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:65 credential-host", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://10.0.0.1:1\", credential: k}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:64 credential-host", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example:1\", credential: nobody}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:65 unknown-credential", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"ssh://p.example\", credential: k}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:61 bad-value", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://q.example:1\", credential: k}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:30 W plaintext-credential, 2:64 credential-host", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example:1\", credential: k, auth: "
          "basic}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, "
          "127.0.0.1, \"::1\", localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example:1\", credential: k, auth: "
          "bearer}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, "
          "127.0.0.1, \"::1\", localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"socks5+tls://p.example:1\", credential: k, "
          "auth: bearer}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: "
          "[p.example, 127.0.0.1, \"::1\", localhost]}\n",
          "2:79 bad-value", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"ssh://p.example\", auth: bearer}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "2:55 bad-value", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example:1\", auth: basic}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:53 missing-key", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example:1\", auth: bearer}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:53 missing-key", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example:1\", credential: k, auth: "
          "digest}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, "
          "127.0.0.1, \"::1\", localhost]}\n",
          "2:74 bad-type", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://u@p.example:1\", credential: k, auth: "
          "bearer}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, "
          "127.0.0.1, \"::1\", localhost]}\n",
          "2:30 bad-url", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"socks5+tls://p.example:1\", credential: k, "
          "auth: basic}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, "
          "127.0.0.1, \"::1\", localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example\", tls: {ca: ca.pem, "
          "client_cert: c.pem, client_key: key.pem, server_name: x.example}}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"socks5+tls://p.example\", tls: {ca: ca.pem, "
          "client_cert: c.pem, client_key: key.pem, server_name: x.example}}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:1\", tls: {ca: ca.pem}}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:52 unenforceable-rule", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"socks5://p.example\", tls: {ca: ca.pem}}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:52 unenforceable-rule", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"socks5h://p.example\", tls: {ca: ca.pem}}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:53 unenforceable-rule", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"ssh://p.example\", tls: {ca: ca.pem}}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:49 unenforceable-rule", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example\", tls: {}}], resolve: "
          "local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, \"::1\", "
          "localhost]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example\", tls: {ca: "
          "missing.pem}}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: "
          "[p.example, 127.0.0.1, \"::1\", localhost]}\n",
          "2:61 unreadable-file", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example\", tls: {ca: text.pem}}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:61 bad-pem", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example\", tls: {client_cert: "
          "c.pem}}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, "
          "127.0.0.1, \"::1\", localhost]}\n",
          "2:57 missing-key", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example\", tls: {client_key: "
          "key.pem}}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, "
          "127.0.0.1, \"::1\", localhost]}\n",
          "2:57 missing-key", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example\", tls: {client_cert: "
          "c.pem, client_key: missing}}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", "
          "hosts: [p.example, 127.0.0.1, \"::1\", localhost]}\n",
          "2:89 unreadable-file", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example\", tls: {client_cert: "
          "c.pem, client_key: text}}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", "
          "hosts: [p.example, 127.0.0.1, \"::1\", localhost]}\n",
          "2:89 bad-pem", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example\", tls: {server_name: "
          "\"*.x.example\"}}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: "
          "[p.example, 127.0.0.1, \"::1\", localhost]}\n",
          "2:70 bad-host", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example\", tls: {server_name: "
          "127.0.0.1}}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, "
          "127.0.0.1, \"::1\", localhost]}\n",
          "2:70 bad-host", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example\", tls: {pin: "
          "[\"sha256/x\"]}}], resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: "
          "[p.example, 127.0.0.1, \"::1\", localhost]}\n",
          "2:57 not-available", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"https://p.example\", tls: {verify: none}}], "
          "resolve: local}\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:57 unknown-key", false },
        { "egress: 1\nupstream: []\n", "2:1 bad-value", false },
        { "egress: 1\nupstream: {proxies: []}\n", "2:12 bad-value", false },
        { "egress: 1\nupstream: {resolve: local}\n", "2:1 missing-key", false },
        { "egress: 1\nupstream: [{}]\n", "2:12 missing-key", false },
        { "egress: 1\nupstream: [a]\n", "2:12 bad-type", false },
        { "egress: 1\nupstream: [{prox: x}]\n", "2:13 unknown-key", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://a.example:1\"}, {proxy: "
          "\"https://b.example\"}], resolve: local}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://a.example:1\"}, {proxy: "
          "\"https://b.example\"}, {proxy: \"socks5h://c.example\"}, {proxy: "
          "\"socks5+tls://d.example\"}], resolve: local}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://a.example:1\"}, {proxy: "
          "\"https://b.example\"}, {proxy: \"socks5h://c.example\"}, {proxy: "
          "\"socks5+tls://d.example\"}, {proxy: \"http://e.example:1\"}], resolve: local}\n",
          "2:12 bad-value", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"ssh://g.example\"}, {proxy: "
          "\"http://a.example:1\"}, {proxy: \"https://b.example\"}, {proxy: "
          "\"socks5h://c.example\"}], resolve: local}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://a.example:1\"}, {proxy: "
          "\"ssh://g.example\"}], resolve: local}\n",
          "2:61 bad-chain", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"ssh://g.example\"}, {proxy: "
          "\"ssh://h.example\"}], resolve: local}\n",
          "2:58 bad-chain", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"ssh://g.example\"}, {proxy: "
          "\"ftp://h.example\"}], resolve: local}\n",
          "2:58 bad-url", false },
        { "egress: 1\nupstream: [{proxy: \"http://a.example:1\"}, {proxy: "
          "\"http://b.example:1\"}]\n",
          "2:20 W remote-resolution", false },
        { "egress: 1\nupstream: [{proxy: \"https://a.example\"}, {proxy: \"http://p.example:1\", "
          "credential: k}]\ncredentials:\n  k: {from: \"env:K\", hosts: [p.example, 127.0.0.1, "
          "\"::1\", localhost]}\n",
          "2:20 W remote-resolution, 2:50 W plaintext-credential", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:3128\"}], resolve: here}\n",
          "2:66 bad-type", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:3128\"}], resolve: local, "
          "bypass: [a.example, .example, \"*.example\", 10.0.0.0/8, \"::1\", \"[::1]:80\", "
          "\"a.example:80\"]}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:3128\"}], resolve: local, "
          "bypass: []}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:3128\"}], resolve: local, "
          "bypass: a.example}\n",
          "-", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:3128\"}], resolve: local, "
          "bypass: [\"*\"]}\n",
          "2:82 bad-bypass", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:3128\"}], resolve: local, "
          "bypass: [\"a b\", b.example, 10.0.0.1/8]}\n",
          "2:82 bad-bypass, 2:100 bad-bypass", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:3128\"}], resolve: local, "
          "bypass: {}}\n",
          "2:81 bad-type", false },
        { "egress: 1\nupstream: {proxies: [{proxy: \"http://p.example:3128\"}], resolve: local, "
          "bypass: [[]]}\n",
          "2:82 bad-type", false },
    };
    CHECK(rows);
}

/* ---- counts ---- */

static unsigned errors_of(const char *head, const char *unit, unsigned times, const char *tail)
{
    size_t cap = 64 << 10, n = 0;
    char *text = malloc(cap);
    struct eg_diags *d = NULL;
    struct eg_buf block;
    cr_assert_not_null(text);
    cr_assert_geq(sodium_init(), 0);
    n += (size_t)snprintf(text, cap, "egress: 1\n%s", head);
    for (unsigned i = 0; i < times; i++)
        n += (size_t)snprintf(text + n, cap - n, "%s\"%s%u.example\"%s", i ? ", " : "",
                              strstr(unit, "san:") ? unit : "", i,
                              strstr(unit, "san:") ? ": s" : "");
    n += (size_t)snprintf(text + n, cap - n, "%s", tail);
    cr_assert_lt(n, cap);
    const struct eg_policy_file file = { "egress.yaml", eg_slice(text, n), EG_LAYER_REPO, true };
    const struct eg_policy_reader reader = { .read = read_pem };
    eg_buf_init(&block, 16 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    enum eg_status st = eg_policy_compile(&file, 1, &reader, d, &block, NULL);
    unsigned errors = eg_diags_count(d, EG_DIAG_ERROR);
    cr_assert_eq(st == EG_OK, errors == 0);
    if (errors)
        cr_assert_str_eq(eg_diags_at(d, 0)->code, "too-large");
    eg_diags_free(d);
    eg_buf_done(&block);
    free(text);
    return errors;
}

Test(policy, ways_have_ceilings)
{
    static const char bypass[] =
        "upstream: {proxies: [{proxy: \"http://p.example:1\"}], resolve: local, bypass: [";
    static const char sessions[] =
        "listen: [{address: \"127.0.0.1:0\", tls: {cert: c.pem, key: key.pem, client_ca: ca.pem}, "
        "sessions: {";
    cr_assert_eq(errors_of(bypass, "", 256, "]}\n"), 0);
    cr_assert_eq(errors_of(bypass, "", 257, "]}\n"), 1);
    cr_assert_eq(errors_of(sessions, "san:h", 256, "}}]\n"), 0);
    cr_assert_eq(errors_of(sessions, "san:h", 257, "}}]\n"), 1);
}

/* ---- what the block answers ---- */

static const char ways[] =
    "egress: 1\n"
    "listen:\n"
    "  - {address: \"127.0.0.1:8080\"}\n"
    "  - address: \"unix:/run/egress.sock\"\n"
    "    protocols: [socks5]\n"
    "  - address: \"0.0.0.0:8443\"\n"
    "    protocols: [http]\n"
    "    tls: {cert: c.pem, key: key.pem, client_ca: ca.pem}\n"
    "    auth: client_cert\n"
    "    sessions: {\"san:Build.Example\": build, \"san:0:0::1\": six, \"san:spiffe://X/y\": "
    "seven}\n"
    "  - address: \"[::1]:0\"\n"
    "    tls: {cert: c.pem, key: key.pem, client_ca: ca.pem, require_client: false}\n"
    "upstream:\n"
    "  proxies:\n"
    "    - {proxy: \"ssh://me@gate.example\"}\n"
    "    - {proxy: \"https://u%40x@P.example\", credential: k, tls: {ca: hop-ca.pem, client_cert: "
    "hop.pem, client_key: hop-key.pem, server_name: Sni.Example}}\n"
    "    - {proxy: \"socks5h://[2001:db8::1]\"}\n"
    "    - {proxy: \"socks5+tls://q.example:9/\", credential: k}\n"
    "  resolve: local\n"
    "  bypass: [\".corp\", \"10.0.0.0/8:443\"]\n"
    "credentials: {k: {from: \"env:K\", hosts: [p.example, q.example]}}\n";

static struct eg_policy *build(const char *text, const struct eg_upstream_choice *choice,
                               struct eg_buf *block)
{
    const struct eg_policy_file file = { "dir/egress.yaml", eg_slice_str(text), EG_LAYER_REPO,
                                         true };
    const struct eg_policy_reader reader = { .read = read_pem, .upstream = choice };
    struct eg_diags *d = NULL;
    struct eg_policy *p = NULL;
    struct eg_buf shown;
    cr_assert_geq(sodium_init(), 0);
    eg_buf_init(block, 16 << 20);
    eg_buf_init(&shown, 1 << 20);
    cr_assert_eq(eg_diags_new(&d), EG_OK);
    enum eg_status st = eg_policy_compile(&file, 1, &reader, d, block, NULL);
    cr_assert_eq(eg_diags_render(d, false, &shown), EG_OK);
    cr_assert_eq(st, EG_OK, "%.*s", (int)shown.len, shown.len ? shown.data : "");
    cr_assert_eq(eg_policy_open(block->data, block->len, &p, NULL), EG_OK);
    eg_buf_done(&shown);
    eg_diags_free(d);
    return p;
}

static void is(struct eg_slice got, const char *want)
{
    cr_assert(eg_slice_eq(got, eg_slice_str(want)), "got '%.*s', want '%s'", (int)got.n, got.p,
              want);
    cr_assert_eq(got.p[got.n], '\0');
}

static void is_session(const struct eg_policy *p, unsigned i, unsigned k, const char *san,
                       const char *label)
{
    struct eg_slice got[2];
    eg_policy_listen_session(p, i, k, &got[0], &got[1]);
    is(got[0], san);
    is(got[1], label);
}

Test(policy, listeners_have_all_that_was_written)
{
    struct eg_buf block;
    struct eg_listen_spec l;
    struct eg_policy *p = build(ways, NULL, &block);
    cr_assert_eq(eg_policy_listen_count(p), 4);
    eg_policy_listen(p, 0, &l);
    cr_assert(l.at.addr.family == 4 && l.at.port == 8080 && l.unix_path.n == 0 &&
              l.protocols == (EG_PROTOCOL_HTTP | EG_PROTOCOL_SOCKS) && l.auth == EG_AUTH_TOKEN &&
              l.cert_pem.n == 0 && !l.require_client && l.session_count == 0);
    is(l.rule, "dir/egress.yaml:3");
    eg_policy_listen(p, 1, &l);
    cr_assert(l.at.addr.family == 0 && l.protocols == EG_PROTOCOL_SOCKS);
    is(l.unix_path, "/run/egress.sock");
    eg_policy_listen(p, 2, &l);
    cr_assert(l.protocols == EG_PROTOCOL_HTTP && l.auth == EG_AUTH_CLIENT_CERT &&
              l.require_client && l.session_count == 3);
    is(l.cert_pem, "dir/c.pem\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    is(l.key_pem, "dir/key.pem\n-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n");
    is(l.client_ca_pem,
       "dir/ca.pem\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    is_session(p, 2, 0, "build.example", "build");
    is_session(p, 2, 1, "::1", "six");
    is_session(p, 2, 2, "spiffe://X/y", "seven");
    eg_policy_listen(p, 3, &l);
    cr_assert(l.client_ca_pem.n > 0 && !l.require_client && l.at.port == 0 &&
              l.auth == EG_AUTH_TOKEN);
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, hops_have_all_that_was_written)
{
    struct eg_buf block;
    struct eg_hop h[EG_HOPS_MAX];
    struct eg_policy *p = build(ways, NULL, &block);
    cr_assert_eq(eg_policy_hops(p, EG_CHAIN_PLAIN, h), 4);
    cr_assert_eq(eg_policy_hops(p, EG_CHAIN_SECURE, h), 4);
    cr_assert(h[0].kind == EG_HOP_SSH && !h[0].tls && h[0].at.port == 22 &&
              h[0].credential.n == 0 && !h[0].bearer);
    is(h[0].user, "me");
    is(h[0].text, "ssh://gate.example:22");
    is(h[0].rule, "dir/egress.yaml:15");
    cr_assert(h[1].kind == EG_HOP_HTTP && h[1].tls && h[1].at.port == 443);
    is(eg_authority_host(&h[1].at), "p.example");
    is(h[1].user, "u@x");
    is(h[1].credential, "k");
    is(h[1].text, "https://p.example:443");
    is(h[1].ca_pem,
       "dir/hop-ca.pem\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    is(h[1].cert_pem,
       "dir/hop.pem\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    is(h[1].key_pem,
       "dir/hop-key.pem\n-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n");
    is(h[1].server_name, "sni.example");
    cr_assert(h[2].kind == EG_HOP_SOCKS5 && !h[2].tls && h[2].at.literal && h[2].at.port == 1080);
    is(h[2].text, "socks5://[2001:db8::1]:1080");
    cr_assert(h[3].kind == EG_HOP_SOCKS5 && h[3].tls && h[3].at.port == 9 && h[3].ca_pem.n == 0);
    const struct eg_settings *s = eg_policy_settings(p);
    cr_assert(s->upstream_from == EG_UPSTREAM_POLICY && s->proxy_resolve_local);
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, bearer_is_kept)
{
    struct eg_buf block;
    struct eg_hop h[EG_HOPS_MAX];
    struct eg_policy *p =
        build("egress: 1\nupstream: [{proxy: \"https://p.example\", credential: k, auth: "
              "bearer}]\ncredentials: {k: {from: \"env:K\", hosts: [p.example]}}\n",
              NULL, &block);
    cr_assert(eg_policy_hops(p, EG_CHAIN_SECURE, h) == 1 && h[0].bearer);
    eg_policy_close(p);
    eg_buf_done(&block);
}

/* ---- who has the word ---- */

static struct eg_hop hop_of(const char *url, const char *rule, const char *credential)
{
    struct eg_hop hop;
    struct eg_slice user, password;
    char room[64];
    struct eg_err err = { 0 };
    cr_assert_eq(eg_proxy_url_parse(eg_slice_str(url), room, &hop, &user, &password, &err), EG_OK,
                 "%s", err.text);
    hop.rule = eg_slice_str(rule);
    hop.credential = eg_slice_str(credential);
    return hop;
}

/* "text of the secure chain | text of the plain one": who. */
static void chose(const char *policy, const struct eg_upstream_choice *choice, const char *want)
{
    static const char *const who[] = { "nobody", "policy", "environment", "option" };
    struct eg_buf block;
    struct eg_hop h[EG_HOPS_MAX];
    char got[256] = "", text[256];
    size_t n = 0;
    snprintf(text, sizeof text, "egress: 1\n%s\n", policy);
    struct eg_policy *p = build(text, choice, &block);
    for (int c = EG_CHAIN_SECURE; c <= EG_CHAIN_PLAIN; c++) {
        unsigned count = eg_policy_hops(p, c, h);
        for (unsigned i = 0; i < count; i++)
            n += (size_t)snprintf(got + n, sizeof got - n, "%.*s ", (int)h[i].text.n, h[i].text.p);
        n += (size_t)snprintf(got + n, sizeof got - n, c == EG_CHAIN_SECURE ? "| " : ": ");
    }
    snprintf(got + n, sizeof got - n, "%s", who[eg_policy_settings(p)->upstream_from]);
    cr_assert_str_eq(got, want, "%s", policy);
    eg_policy_close(p);
    eg_buf_done(&block);
}

#define LIST                                                                                       \
    "upstream: {proxies: [{proxy: \"http://policy.example:1\"}], resolve: local, bypass: [b]}"

Test(policy, who_chooses_the_proxies)
{
    const struct eg_hop secure = hop_of("https://env.example", "HTTPS_PROXY", "");
    const struct eg_hop plain = hop_of("env.example:3128", "HTTP_PROXY", "");
    const struct eg_hop option[] = { hop_of("ssh://g.example", "--upstream-proxy", ""),
                                     hop_of("socks5h://o.example", "--upstream-proxy", "") };
    const struct eg_upstream_choice both = { EG_UPSTREAM_ENV, &secure, &plain, 1, 1, NULL, 0 };
    const struct eg_upstream_choice only = { EG_UPSTREAM_ENV, NULL, &plain, 0, 1, NULL, 0 };
    const struct eg_upstream_choice none = { EG_UPSTREAM_ENV, NULL, NULL, 0, 0, NULL, 0 };
    const struct eg_upstream_choice forced = { EG_UPSTREAM_OPTION, option, option, 2, 2, NULL, 0 };
    const struct eg_upstream_choice direct = { EG_UPSTREAM_OPTION, NULL, NULL, 0, 0, NULL, 0 };
    chose("", NULL, "| : nobody");
    chose("upstream: env", NULL, "| : nobody");
    chose("upstream: none", NULL, "| : policy");
    chose(LIST, NULL, "http://policy.example:1 | http://policy.example:1 : policy");
    chose("", &both, "https://env.example:443 | http://env.example:3128 : environment");
    chose("upstream: env", &both,
          "https://env.example:443 | http://env.example:3128 : environment");
    chose("", &only, "| http://env.example:3128 : environment");
    chose("", &none, "| : nobody");
    chose("upstream: none", &both, "| : policy");
    chose(LIST, &both, "http://policy.example:1 | http://policy.example:1 : policy");
    chose("", &forced,
          "ssh://g.example:22 socks5://o.example:1080 | ssh://g.example:22 "
          "socks5://o.example:1080 : option");
    chose("upstream: none", &forced,
          "ssh://g.example:22 socks5://o.example:1080 | ssh://g.example:22 "
          "socks5://o.example:1080 : option");
    chose(LIST, &forced,
          "ssh://g.example:22 socks5://o.example:1080 | ssh://g.example:22 "
          "socks5://o.example:1080 : option");
    chose(LIST, &direct, "| : option");
}

Test(policy, an_option_takes_the_place_of_the_list_and_its_bypass_but_addresses_are_judged)
{
    const struct eg_hop hop = hop_of("http://o.example:1", "--upstream-proxy", "");
    const struct eg_slice items[] = { EG_SLICE("c"), EG_SLICE(" *.d ") };
    const struct eg_upstream_choice choice = { EG_UPSTREAM_OPTION, &hop, &hop, 1, 1, items, 2 };
    static const struct {
        const char *to;
        bool bypassed;
    } rows[] = { { "b:1", false }, { "c:1", true }, { "x.c:1", false }, { "x.d:1", true } };
    struct eg_buf block;
    struct eg_policy *p = build("egress: 1\n" LIST "\n", &choice, &block);
    cr_assert(eg_policy_settings(p)->proxy_resolve_local);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct eg_authority to;
        cr_assert_eq(eg_authority_parse(eg_slice_str(rows[i].to), 0, &to, NULL), EG_OK);
        cr_assert_eq(eg_policy_bypassed(p, &to), rows[i].bypassed, "%s", rows[i].to);
    }
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, a_credential_of_the_caller_is_bound_to_its_hop)
{
    const struct eg_hop hop = hop_of("https://env.example", "HTTPS_PROXY", "@upstream");
    const struct eg_upstream_choice choice = { EG_UPSTREAM_ENV, &hop, NULL, 1, 0, NULL, 0 };
    static const char text[] =
        "egress: 1\ncredentials: {k: {from: \"env:K\", hosts: [a.example]}}\n";
    struct eg_buf block;
    struct eg_hop h[EG_HOPS_MAX];
    struct eg_policy *p = build(text, &choice, &block);
    cr_assert(eg_policy_hops(p, EG_CHAIN_SECURE, h) == 1);
    is(h[0].credential, "@upstream");
    is(h[0].rule, "HTTPS_PROXY");
    cr_assert(eg_policy_credential_host(p, h[0].credential, EG_SLICE("env.example")));
    cr_assert_not(eg_policy_credential_host(p, h[0].credential, EG_SLICE("a.example")));
    cr_assert_not(eg_policy_credential_host(p, EG_SLICE("k"), EG_SLICE("env.example")));
    cr_assert_not(eg_policy_credential_host(p, EG_SLICE(""), EG_SLICE("env.example")));
    eg_policy_close(p);
    eg_buf_done(&block);
}

Test(policy, a_choice_that_is_no_chain_is_refused)
{
    const struct eg_hop http = hop_of("http://a.example:1", "--upstream-proxy", "");
    const struct eg_hop ssh = hop_of("ssh://a.example", "--upstream-proxy", "");
    const struct eg_hop bad[] = { http, ssh };
    const struct eg_hop many[] = { http, http, http, http, http };
    const struct eg_upstream_choice rows[] = { { EG_UPSTREAM_OPTION, bad, NULL, 2, 0, NULL, 0 },
                                               { EG_UPSTREAM_OPTION, NULL, many, 0, 5, NULL, 0 },
                                               { EG_UPSTREAM_ENV, many, NULL, 5, 0, NULL, 0 } };
    const struct eg_policy_file file = { "egress.yaml", EG_SLICE("egress: 1\n"), EG_LAYER_REPO,
                                         true };
    cr_assert_geq(sodium_init(), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct eg_policy_reader reader = { .upstream = &rows[i] };
        struct eg_diags *d = NULL;
        struct eg_buf block;
        eg_buf_init(&block, 1 << 20);
        cr_assert_eq(eg_diags_new(&d), EG_OK);
        cr_assert_eq(eg_policy_compile(&file, 1, &reader, d, &block, NULL), EG_INVALID);
        cr_assert_eq(eg_diags_total(d), 1);
        cr_assert_str_eq(eg_diags_at(d, 0)->code, "bad-chain");
        eg_diags_free(d);
        eg_buf_done(&block);
    }
}

/* ---- identity ---- */

static void id_of(const char *text, const struct eg_upstream_choice *choice, unsigned char id[32])
{
    struct eg_buf block;
    struct eg_policy *p = build(text, choice, &block);
    memcpy(id, eg_policy_id(p), 32);
    eg_policy_close(p);
    eg_buf_done(&block);
}

#define WAY                                                                                        \
    "listen: [{address: \"127.0.0.1:1\", tls: {cert: c.pem, key: key.pem, client_ca: ca.pem}, "    \
    "sessions: {\"san:a\": s}}]\nupstream: {proxies: [{proxy: \"https://p.example\"}, {proxy: "    \
    "\"http://q.example:1\"}], bypass: [a, b], resolve: local}\n"

Test(policy, identity_holds_the_ways)
{
    static const struct {
        const char *from, *to;
        bool same;
    } rows[] = { { "bypass: [a, b]", "bypass: [b, a, b]", true },
                 { "https://p.example", "https://P.example:443/", true },
                 { "san:a", "san:A.", true },
                 { "bypass: [a, b]", "bypass: [a]", false },
                 { "bypass: [a, b]", "bypass: [a, .b]", false },
                 { "bypass: [a, b]", "bypass: [a, \"b:1\"]", false },
                 { "https://p.example", "socks5+tls://p.example:443", false },
                 { "https://p.example", "http://p.example:443", false },
                 { "https://p.example", "https://p.example:444", false },
                 { "http://q.example:1", "http://r.example:1", false },
                 { ", {proxy: \"http://q.example:1\"}", "", false },
                 { "resolve: local", "resolve: remote", false },
                 { "san:a", "san:b", false },
                 { "\": s}", "\": t}", false },
                 { "client_ca: ca.pem", "client_ca: cb.pem", false },
                 { "client_ca: ca.pem", "client_ca: ca.pem, require_client: false", false },
                 { "127.0.0.1:1", "unix:/1", false },
                 { "listen: [{", "listen: [{protocols: [http], ", false } };
    unsigned char id[32], got[32];
    id_of("egress: 1\n" WAY, NULL, id);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[1024];
        const char *at = strstr(WAY, rows[i].from);
        cr_assert_not_null(at, "%s", rows[i].from);
        snprintf(text, sizeof text, "egress: 1\n%.*s%s%s", (int)(at - WAY), WAY, rows[i].to,
                 at + strlen(rows[i].from));
        id_of(text, NULL, got);
        cr_assert_eq(memcmp(id, got, 32) == 0, rows[i].same, "%s", text);
    }
}

/* ---- damage ---- */

static void ask_all(const struct eg_policy *p)
{
    static const char *const hosts[] = { "a.corp:443", "10.1.2.3:443", "[::ffff:10.1.2.3]:443" };
    struct eg_hop h[EG_HOPS_MAX];
    struct eg_listen_spec l;
    struct eg_slice san, label;
    struct eg_authority to;
    unsigned bytes = 0;
    for (int c = EG_CHAIN_SECURE; c <= EG_CHAIN_PLAIN; c++)
        for (unsigned i = 0, n = eg_policy_hops(p, c, h); i < n; i++)
            bytes += (unsigned char)h[i].text.p[h[i].text.n] + h[i].at.host_len +
                     (unsigned char)h[i].key_pem.p[h[i].key_pem.n];
    for (unsigned i = 0; i < eg_policy_listen_count(p); i++) {
        eg_policy_listen(p, i, &l);
        for (unsigned k = 0; k < l.session_count; k++) {
            eg_policy_listen_session(p, i, k, &san, &label);
            bytes += (unsigned char)san.p[san.n] + (unsigned char)label.p[label.n];
        }
    }
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        cr_assert_eq(eg_authority_parse(eg_slice_str(hosts[i]), 0, &to, NULL), EG_OK);
        bytes += eg_policy_bypassed(p, &to);
    }
    (void)eg_policy_credential_host(p, EG_SLICE("k"), EG_SLICE("p.example"));
    (void)bytes;
}

static unsigned try_block(const char *data, size_t n)
{
    char *copy = malloc(n); /* exactly n: what reads beyond is seen */
    struct eg_policy *p = NULL;
    unsigned opened = 0;
    cr_assert_not_null(copy);
    memcpy(copy, data, n);
    if (eg_policy_open(copy, n, &p, NULL) == EG_OK) {
        ask_all(p);
        eg_policy_close(p);
        opened = 1;
    }
    free(copy);
    return opened;
}

Test(policy, damaged_ways_are_refused_or_harmless)
{
    struct eg_buf block;
    unsigned opened = 0;
    struct eg_policy *p = build(ways, NULL, &block);
    ask_all(p);
    eg_policy_close(p);
    for (size_t i = 0; i < block.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            block.data[i] ^= (char)(1 << bit);
            opened += try_block(block.data, block.len);
            block.data[i] ^= (char)(1 << bit);
        }
    cr_assert_gt(opened, 0); /* texts may be anything */
    for (size_t i = 0; i + 4 <= block.len; i += 4) {
        uint32_t old, huge = UINT32_MAX - (uint32_t)(i % 7);
        memcpy(&old, block.data + i, 4);
        memcpy(block.data + i, &huge, 4);
        (void)try_block(block.data, block.len);
        memcpy(block.data + i, &old, 4);
    }
    eg_buf_done(&block);
}

/* ---- secrets ---- */

/* A line with a password in it is shown for another problem's sake, too. */
Test(policy, no_line_shows_what_stands_before_an_at)
{
    static const char *const lines[] = {
        "upstream: [{proxy: \"http://hunter1:hunter2@p.example:1\", credential: nobody}]",
        "upstream: [{proxy: \"http://hunter1:hunter2@p.example:1\", port: 1}]",
        "upstream: [{credential: nobody, proxy: \"hunter1:hunter2@p.example:1\", port: 1}]",
        "upstream: [{proxy: hunter1:hunter2@p.example:1, port: 1}]",
        "upstream: [{proxy: http://hunter1:hunter2@p.example:1, port: 1}]",
        "upstream: [{proxy: 'socks5h://hunter1:hunter2@p.example:1', port: 1}]",
        "upstream: [{proxy: \"http://%68unter1:hunter2%00@p.example:1\", port: 1}]",
        "upstream: [{proxy: \"ftp://hunter1:hunter2@p.example:1\", port: 1}]",
        "upstream: [{proxy: \"http://hunter1 :hunter2 @p.example:1\", port: 1}]",
        "upstream: [{proxy: \"http://hunter1:hunter2@hunter1:hunter2@p.example:1\", port: 1}]",
        "upstream: [{proxy: \"http://hunter1:hunter2/x://y@p.example:1\", port: 1}]",
        "upstream: [{proxy: \"http://a:1\", port: 1}, {proxy: \"http://hunter1:hunter2@p:1\"}]",
        ("upstream: [{proxy: \"http://hunter1:hunter2@p:1\"}, {proxy: \"http://hunter1@b:1\", x: "
         "1}]"),
        "upstream: [\"http://hunter1:hunter2@p.example:1\"]",
        "upstream: {\"http://hunter1:hunter2@p.example:1\": x}",
        "upstream: http://hunter1:hunter2@p.example:1",
        "upstream:\n  - proxy: http://hunter1:hunter2@p.example:1\n    port: 1",
        "upstream:\n  - proxy:\n      hunter1:hunter2@p.example:1",
        "upstream: [{proxy: [\"hunter1:hunter2@p.example:1\"]}]",
        "upstream: {proxies: [{proxy: \"http://p:1\"}], bypass: [\"http://hunter1:hunter2@p:1\"]}",
        "allow: [\"https://hunter1:hunter2@p.example:1\"]",
    };
    cr_assert_geq(sodium_init(), 0);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        char text[512];
        struct eg_diags *d = NULL;
        struct eg_buf block, out;
        snprintf(text, sizeof text, "egress: 1\n%s\n", lines[i]);
        const struct eg_policy_file file = { "egress.yaml", eg_slice_str(text), EG_LAYER_REPO,
                                             true };
        eg_buf_init(&block, 1 << 20);
        eg_buf_init(&out, 1 << 20);
        cr_assert_eq(eg_diags_new(&d), EG_OK);
        cr_assert_eq(eg_policy_compile(&file, 1, NULL, d, &block, NULL), EG_INVALID, "%s", text);
        cr_assert_eq(eg_diags_render(d, false, &out), EG_OK);
        cr_assert(out.len > 0 && !memmem(out.data, out.len, "hunter", 6) &&
                      !memmem(out.data, out.len, "unter1", 6),
                  "%.*s", (int)out.len, out.data);
        eg_buf_done(&block);
        eg_buf_done(&out);
        eg_diags_free(d);
    }
}
