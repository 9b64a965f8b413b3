/* tls_sign.c - signatures of RFC 7515's own examples, every form of key, and keys that are refused. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/keys.h"
#include "tls/context.h"
#include "tls/sign.h"

static struct eg_sign_key *key_of(const char *pem, enum eg_sign_alg alg)
{
    struct eg_err err = { 0 };
    struct eg_sign_key *k = NULL;
    cr_assert_eq(eg_tls_start(&err), EG_OK);
    cr_assert_eq(eg_sign_key_new(eg_slice_str(pem), &k, &err), EG_OK, "%s", err.text);
    cr_expect_eq(eg_sign_key_alg(k), alg);
    return k;
}

static void rsa_of_a2(const char *pem)
{
    unsigned char sig[EG_SIGN_MAX];
    char text[EG_SIGN_MAX * 2];
    size_t n = 0;
    struct eg_sign_key *k = key_of(pem, EG_SIGN_RS256);
    cr_assert_eq(eg_sign(k, EG_SLICE(KEYS_A2_INPUT), sig, sizeof sig, &n, NULL), EG_OK);
    cr_expect_eq(n, 256);
    sodium_bin2base64(text, sizeof text, sig, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    cr_expect_str_eq(text, KEYS_A2_SIGNATURE);
    eg_sign_key_free(k);
}

Test(tls, sign_rs256_is_rfc_7515_a2)
{
    cr_assert_geq(sodium_init(), 0);
    rsa_of_a2(KEYS_RSA_PKCS1);
    rsa_of_a2(KEYS_RSA_PKCS8);
}

Test(tls, sign_takes_no_room_for_a_shorter_signature)
{
    unsigned char sig[EG_SIGN_MAX];
    size_t n = 0;
    struct eg_sign_key *k = key_of(KEYS_RSA_PKCS1, EG_SIGN_RS256);
    cr_expect_eq(eg_sign(k, EG_SLICE("x"), sig, 64, &n, NULL), EG_TOO_BIG);
    eg_sign_key_free(k);
}

/* ---- ES256: no two signatures are alike, so that openssl has to say whether they hold ---- */

/* An INTEGER of DER. */
static size_t put_integer(unsigned char *out, const unsigned char *p)
{
    size_t skip = 0, n;
    while (skip < 31 && p[skip] == 0)
        skip++;
    bool pad = p[skip] & 0x80;
    n = 32 - skip + pad;
    out[0] = 2;
    out[1] = (unsigned char)n;
    out[2] = 0;
    memcpy(out + 2 + pad, p + skip, 32 - skip);
    return 2 + n;
}

static void write_file(const char *dir, const char *name, const void *p, size_t n)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    cr_assert(f && fwrite(p, 1, n, f) == n && fclose(f) == 0);
}

static bool openssl_takes(const char *dir, const char *message, const unsigned char *sig)
{
    unsigned char der[80];
    char command[512];
    size_t n = 2 + put_integer(der + 2, sig);
    n += put_integer(der + n, sig + 32);
    der[0] = 0x30;
    der[1] = (unsigned char)(n - 2);
    write_file(dir, "sig", der, n);
    write_file(dir, "message", message, strlen(message));
    snprintf(command, sizeof command,
             "cd %s && openssl dgst -sha256 -verify public -signature sig message >/dev/null 2>&1",
             dir);
    return system(command) == 0;
}

static void ecc_of_a3(const char *dir, const char *pem)
{
    unsigned char sig[EG_SIGN_MAX];
    struct eg_sign_key *k = key_of(pem, EG_SIGN_ES256);
    for (int i = 0; i < 8; i++) { /* a leading zero byte comes one time in 128 */
        size_t n = 0;
        char message[32];
        snprintf(message, sizeof message, "message %d", i);
        cr_assert_eq(eg_sign(k, eg_slice_str(message), sig, sizeof sig, &n, NULL), EG_OK);
        cr_expect_eq(n, 64);
        cr_expect(openssl_takes(dir, message, sig));
        sig[40] ^= 1;
        cr_expect_not(openssl_takes(dir, message, sig));
    }
    eg_sign_key_free(k);
}

Test(tls, sign_es256_is_what_openssl_verifies)
{
    char dir[] = "/tmp/egress-sign-XXXXXX", command[64];
    if (system("openssl version >/dev/null 2>&1") != 0)
        cr_skip("no openssl");
    cr_assert_not_null(mkdtemp(dir));
    write_file(dir, "public", KEYS_EC_PUBLIC, sizeof KEYS_EC_PUBLIC - 1);
    ecc_of_a3(dir, KEYS_EC_SEC1);
    ecc_of_a3(dir, KEYS_EC_PKCS8);
    snprintf(command, sizeof command, "rm -r %s", dir);
    cr_expect_eq(system(command), 0);
}

/* R and S are numbers: wolfCrypt leaves their leading zeros out, RFC 7518 does not. */
Test(tls, sign_es256_keeps_leading_zeros)
{
    unsigned char sig[EG_SIGN_MAX];
    struct eg_sign_key *k = key_of(KEYS_EC_SEC1, EG_SIGN_ES256);
    unsigned zeros = 0;
    for (int i = 0; i < 4000 && zeros == 0; i++) {
        size_t n = 0;
        cr_assert_eq(eg_sign(k, EG_SLICE("m"), sig, sizeof sig, &n, NULL), EG_OK);
        cr_assert_eq(n, 64);
        zeros += sig[0] == 0 || sig[32] == 0;
    }
    cr_expect_gt(zeros, 0, "a short number was never padded");
    eg_sign_key_free(k);
}

Test(tls, sign_key_that_is_none_is_refused)
{
    static const struct {
        const char *pem, *why;
    } rows[] = {
        { "", "no private key in PEM" },
        { "rubbish", "no private key in PEM" },
        { "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no private key in PEM" },
        { "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "" },
        { "-----BEGIN PRIVATE KEY-----\n", "can't be read" },
        { KEYS_ENCRYPTED, "encrypted" },
        { KEYS_RSA_SMALL, "2048 to 4096 bits" },
        { KEYS_EC_384, "P-256" },
    };
    cr_assert_eq(eg_tls_start(NULL), EG_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct eg_err err = { 0 };
        struct eg_sign_key *k = NULL;
        cr_expect_eq(eg_sign_key_new(eg_slice_str(rows[i].pem), &k, &err), EG_INVALID, "%zu", i);
        cr_expect_null(k);
        cr_expect(strstr(err.text, rows[i].why), "%zu: %s", i, err.text);
    }
    eg_sign_key_free(NULL);
}
