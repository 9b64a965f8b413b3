/* policy_pem.c - files that a policy names: what is no whole PEM block of the wanted kind is an error at the key. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>

#include "policy/compile.h"

struct file {
    const char *cert, *key;
    const char *fault; /* part of the message; NULL: fine */
};

static enum eg_status read_pem(void *ctx, const char *path, struct eg_buf *out, struct eg_err *err)
{
    const struct file *f = ctx;
    (void)err;
    return eg_buf_put(out, eg_slice_str(strcmp(path, "k") == 0 ? f->key : f->cert));
}

#define BEGIN(x) "-----BEGIN " x "-----\n"
#define END(x)   "-----END " x "-----\n"
#define CERT     BEGIN("CERTIFICATE") "MAMC\nAQE=\n" END("CERTIFICATE")
#define KEY      BEGIN("PRIVATE KEY") "MAA=\n" END("PRIVATE KEY")
#define NO_CERT  "no PEM block of a certificate"
#define NO_KEY   "no PEM block of a private key"
#define DAMAGED  "cut or damaged"

Test(policy, pem_files)
{
    static const struct file rows[] = {
        { CERT, KEY, NULL },
        { "comment\n" CERT "more\n" CERT, KEY, NULL },
        { "-----BEGIN CERTIFICATE-----\r\nMAA=\r\n-----END CERTIFICATE-----\r\n", KEY, NULL },
        { BEGIN("TRUSTED CERTIFICATE") "MAA=\n" END("TRUSTED CERTIFICATE"), KEY, NULL },
        { CERT, BEGIN("RSA PRIVATE KEY") "MAA=\n" END("RSA PRIVATE KEY"), NULL },
        { CERT,
          BEGIN("EC PARAMETERS") "BggqhkjOPQMBBw==\n" END("EC PARAMETERS")
              BEGIN("EC PRIVATE KEY") "MAA=\n" END("EC PRIVATE KEY"),
          NULL },
        { CERT KEY, CERT KEY, NULL },
        { KEY CERT, CERT KEY, NULL },
        { "-----BEGIN CERTIFICATE-----\nMAA=\n", KEY, DAMAGED },
        { BEGIN("CERTIFICATE") END("CERTIFICATE"), KEY, DAMAGED },
        { BEGIN("CERTIFICATE") "nonsense!\n" END("CERTIFICATE"), KEY, DAMAGED },
        { BEGIN("CERTIFICATE") "QUJD\n" END("CERTIFICATE"), KEY, DAMAGED },
        { BEGIN("CERTIFICATE") "MAMC\n" END("CERTIFICATE"), KEY, DAMAGED },     /* cut */
        { BEGIN("CERTIFICATE") "MAMCAQEA\n" END("CERTIFICATE"), KEY, DAMAGED }, /* and more */
        { BEGIN("CERTIFICATE") "MIQAAAAA\n" END("CERTIFICATE"), KEY, DAMAGED }, /* 4 octets */
        { BEGIN("CERTIFICATE") "MIA=\n" END("CERTIFICATE"), KEY, DAMAGED },     /* BER */
        { BEGIN("CERTIFICATE") "MIE=\n" END("CERTIFICATE"), KEY, DAMAGED },
        { BEGIN("CERTIFICATE") "MAA=\n" END("PRIVATE KEY"), KEY, DAMAGED },
        { BEGIN("CERTIFICATE") "MAA\n" END("CERTIFICATE"), KEY, DAMAGED }, /* padding */
        { "", KEY, NO_CERT },
        { "-----BEGIN ", KEY, NO_CERT },
        { "-----BEGIN CERTIFICATE", KEY, NO_CERT },
        { "-----BEGIN CERTIFICATE-----", KEY, DAMAGED },
        { KEY, KEY, NO_CERT },
        { BEGIN("CERTIFICATE REQUEST") "MAA=\n" END("CERTIFICATE REQUEST"), KEY, NO_CERT },
        { BEGIN("PUBLIC KEY") "MAA=\n" END("PUBLIC KEY"), KEY, NO_CERT },
        { CERT, CERT, NO_KEY },
        { CERT, BEGIN("PUBLIC KEY") "MAA=\n" END("PUBLIC KEY"), NO_KEY },
        { CERT, "PRIVATE KEY -----BEGIN X-----\n", NO_KEY },
        { CERT, BEGIN("PRIVATE KEY") "MA\n", DAMAGED },
        { CERT, BEGIN("ENCRYPTED PRIVATE KEY") "MAA=\n" END("ENCRYPTED PRIVATE KEY"), "encrypted" },
        { CERT, BEGIN("RSA PRIVATE KEY") "Proc-Type: 4,ENCRYPTED\n\nMAA=\n" END("RSA PRIVATE KEY"),
          "encrypted" },
    };
    static const char text[] =
        "egress: 1\nlisten: [{address: \"127.0.0.1:0\", tls: {cert: c, key: k}}]\n";
    const struct eg_policy_file policy = { "egress.yaml", eg_slice_str(text), EG_LAYER_REPO, true };
    cr_assert_geq(sodium_init(), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct file f = rows[i];
        const struct eg_policy_reader reader = { .read = read_pem, .ctx = &f };
        struct eg_diags *d = NULL;
        struct eg_buf block;
        eg_buf_init(&block, 1 << 20);
        cr_assert_eq(eg_diags_new(&d), EG_OK);
        enum eg_status st = eg_policy_compile(&policy, 1, &reader, d, &block, NULL);
        const char *got = eg_diags_total(d) ? eg_diags_at(d, 0)->text : "fine";
        cr_assert_eq(st, f.fault ? EG_INVALID : EG_OK, "row %zu: %s", i, got);
        cr_assert_eq(eg_diags_total(d), f.fault ? 1 : 0, "row %zu", i);
        cr_assert(!f.fault || strstr(got, f.fault), "row %zu: %s", i, got);
        eg_diags_free(d);
        eg_buf_done(&block);
    }
}
