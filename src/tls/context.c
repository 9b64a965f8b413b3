/* context.c - wolfSSL contexts: trust anchors, own certificate, versions, suites and groups. It reads no file: PEM text is
 * given to it. Verification can't be switched off: Debian's builds do not verify by default (OPENSSL_COMPATIBLE_DEFAULTS), so
 * every client context sets VERIFY_PEER itself.
 * Invariant: a client context holds at least one trust anchor or pin. */
#include "tls/context.h"

#include <sodium.h>
#include <stdlib.h>

#include "tls/wolf.h"

#include <wolfssl/openssl/evp.h>

/* Forward secrecy and AEAD only. Debian's builds know NULL, RC4 and anonymous suites: none may be offered.
 * ChaCha20 first: AES without AES-NI runs at a third of its rate in these builds; with it, at ten times. */
const char eg_tls_suites[] =
    "TLS13-CHACHA20-POLY1305-SHA256:TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
const char eg_tls_suites_fast[] =
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

enum eg_status eg_tls_start(struct eg_err *err)
{
    int code = wolfSSL_Init();
    if (code != WOLFSSL_SUCCESS)
        return eg_err_set(err, EG_INTERNAL, "tls", 0, "wolfSSL does not start (%d)", code);
    return EG_OK;
}

void eg_tls_stop(void)
{
    eg_aead_stop();
    wolfSSL_Cleanup();
}

void eg_tls_ctx_ref(struct eg_tls_ctx *c)
{
    c->refs++;
}

void eg_tls_ctx_unref(struct eg_tls_ctx *c)
{
    if (!c || --c->refs > 0)
        return;
    wolfSSL_CTX_free(c->wolf);
    free(c->ahead);
    free(c);
}

void eg_tls_ctx_cas(const struct eg_tls_ctx *c, unsigned *loaded, unsigned *skipped)
{
    *loaded = c->loaded;
    *skipped = c->skipped;
}

/* wolfSSL's own callback would ask for a pass phrase on the terminal. */
static int no_password(char *out, int cap, int write, void *ctx)
{
    (void)out;
    (void)cap;
    (void)write;
    (void)ctx;
    return -1;
}

/* X25519 first: otherwise a server can choose P-384, which costs 27 ms here. */
static bool set_groups(WOLFSSL_CTX *wolf)
{
    int groups[] = { WOLFSSL_ECC_X25519, WOLFSSL_ECC_SECP256R1, WOLFSSL_ECC_SECP384R1 };
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        if (wolfSSL_CTX_UseSupportedCurve(wolf, (word16)groups[i]) != WOLFSSL_SUCCESS)
            return false;
    return wolfSSL_CTX_set_groups(wolf, groups, sizeof groups / sizeof *groups) == WOLFSSL_SUCCESS;
}

static enum eg_status ctx_new(WOLFSSL_METHOD *method, bool server, struct eg_tls_ctx **ret,
                              struct eg_err *err)
{
    struct eg_tls_ctx *c = calloc(1, sizeof *c);
    if (!c || !method) {
        wolfSSL_Free(method);
        free(c);
        return eg_err_set(err, EG_NOMEM, "tls", 0, "out of memory");
    }
    c->refs = 1;
    c->server = server;
    c->wolf = wolfSSL_CTX_new(method); /* takes method, also when it fails */
    if (!c->wolf)
        goto fail;
    wolfSSL_CTX_set_default_passwd_cb(c->wolf, no_password);
    /* Sessions are kept serialised by whoever pools connections, not in wolfSSL's process-wide table. */
    wolfSSL_CTX_set_session_cache_mode(c->wolf, WOLFSSL_SESS_CACHE_OFF);
    if (wolfSSL_CTX_SetMinVersion(c->wolf, WOLFSSL_TLSV1_2) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_set_cipher_list(c->wolf, eg_aead_find() ? eg_tls_suites_fast : eg_tls_suites) !=
            WOLFSSL_SUCCESS ||
        wolfSSL_CTX_SetDevId(c->wolf, EG_AEAD_DEVICE) != WOLFSSL_SUCCESS || !set_groups(c->wolf))
        goto fail;
    wolfSSL_CTX_set_group_messages(c->wolf); /* a flight in one write */
    *ret = c;
    return EG_OK;
fail:
    eg_tls_ctx_unref(c);
    return eg_err_set(err, EG_INTERNAL, "tls", 0,
                      "this wolfSSL lacks a version, suite or group that is needed");
}

enum { ANCHOR_MAX = 16384 }; /* DER of one certificate */

/* Takes the next certificate block of a bundle; false at its end. What stands between blocks is comment. */
static bool next_certificate(struct eg_slice *rest, struct eg_slice *block)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    static const char end[] = "-----END CERTIFICATE-----";
    const char *from = memmem(rest->p, rest->n, begin, sizeof begin - 1);
    if (!from)
        return false;
    size_t left = rest->n - (size_t)(from - rest->p);
    const char *to = memmem(from, left, end, sizeof end - 1);
    if (!to)
        return false;
    to += sizeof end - 1;
    *block = eg_slice(from, (size_t)(to - from));
    *rest = eg_slice_from(*rest, (size_t)(to - rest->p));
    return true;
}

/* The DER of a block that next_certificate took. wolfSSL's own PEM reader takes 3.5 ms for the system's bundle, libsodium's base64 a third
 * of that, and every first connection waits for it. */
static bool decode(struct eg_slice block, unsigned char *der, size_t cap, size_t *n)
{
    static const size_t begin = sizeof "-----BEGIN CERTIFICATE-----" - 1;
    static const size_t end = sizeof "-----END CERTIFICATE-----" - 1;
    return sodium_base642bin(der, cap, block.p + begin, block.n - begin - end, "\r\n\t ", n, NULL,
                             sodium_base64_VARIANT_ORIGINAL) == 0;
}

/* One by one: wolfSSL would stop at the first certificate of a bundle that it can't use. */
static void load_anchors(struct eg_tls_ctx *c, struct eg_slice pem)
{
    struct eg_slice block;
    unsigned char der[ANCHOR_MAX];
    size_t n = 0;
    while (pem.n && next_certificate(&pem, &block)) {
        if (decode(block, der, sizeof der, &n) &&
            wolfSSL_CTX_load_verify_buffer(c->wolf, der, (long)n, WOLFSSL_FILETYPE_ASN1) ==
                WOLFSSL_SUCCESS)
            c->loaded++;
        else
            c->skipped++;
    }
}

/* Does what key signs verify with the certificate's key? */
static bool signs_for(WOLFSSL_EVP_PKEY *key, WOLFSSL_X509 *cert)
{
    unsigned char sig[256];
    size_t n = sizeof sig;
    WOLFSSL_EVP_PKEY *pub = wolfSSL_X509_get_pubkey(cert);
    WOLFSSL_EVP_MD_CTX *sign = wolfSSL_EVP_MD_CTX_new();
    WOLFSSL_EVP_MD_CTX *verify = wolfSSL_EVP_MD_CTX_new();
    bool good = pub && sign && verify &&
                wolfSSL_EVP_DigestSignInit(sign, NULL, wolfSSL_EVP_sha256(), NULL, key) ==
                    WOLFSSL_SUCCESS &&
                wolfSSL_EVP_DigestSignUpdate(sign, "?", 1) == WOLFSSL_SUCCESS &&
                wolfSSL_EVP_DigestSignFinal(sign, sig, &n) == WOLFSSL_SUCCESS &&
                wolfSSL_EVP_DigestVerifyInit(verify, NULL, wolfSSL_EVP_sha256(), NULL, pub) ==
                    WOLFSSL_SUCCESS &&
                wolfSSL_EVP_DigestVerifyUpdate(verify, "?", 1) == WOLFSSL_SUCCESS &&
                wolfSSL_EVP_DigestVerifyFinal(verify, sig, n) == WOLFSSL_SUCCESS;
    wolfSSL_EVP_MD_CTX_free(sign);
    wolfSSL_EVP_MD_CTX_free(verify);
    wolfSSL_EVP_PKEY_free(pub);
    return good;
}

/* wolfSSL 5.5.4 compares RSA keys only: any two EC keys are a pair to it. */
static bool key_is_certificates(WOLFSSL_CTX *wolf)
{
    if (wolfSSL_CTX_check_private_key(wolf) != WOLFSSL_SUCCESS)
        return false;
    WOLFSSL_X509 *cert = wolfSSL_CTX_get0_certificate(wolf);
    WOLFSSL_EVP_PKEY *key = wolfSSL_CTX_get0_privatekey(wolf);
    if (!cert || !key)
        return false;
    return wolfSSL_EVP_PKEY_base_id(key) != EVP_PKEY_EC || signs_for(key, cert);
}

static enum eg_status load_own(struct eg_tls_ctx *c, struct eg_slice cert, struct eg_slice key,
                               struct eg_err *err)
{
    if (wolfSSL_CTX_use_certificate_chain_buffer(c->wolf, (const unsigned char *)cert.p,
                                                 (long)cert.n) != WOLFSSL_SUCCESS)
        return eg_err_set(err, EG_INVALID, "tls", 0,
                          "the certificate can't be read: PEM is expected");
    if (wolfSSL_CTX_use_PrivateKey_buffer(c->wolf, (const unsigned char *)key.p, (long)key.n,
                                          WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
        return eg_err_set(err, EG_INVALID, "tls", 0,
                          "the private key can't be read: PEM without a pass phrase is expected");
    if (!key_is_certificates(c->wolf))
        return eg_err_set(err, EG_INVALID, "tls", 0, "the private key is not the certificate's");
    return EG_OK;
}

/* What a server must show: a chain to one of the anchors, a pinned key, or both. */
static enum eg_status load_trust(struct eg_tls_ctx *c, const struct eg_tls_client_config *config,
                                 struct eg_err *err)
{
    bool bundles = false;
    if (config->pin_count > EG_TLS_PINS)
        return eg_err_set(err, EG_INVALID, "tls", 0, "at most %d pins", EG_TLS_PINS);
    for (unsigned i = 0; i < config->pin_count; i++)
        if (!eg_tls_pin_read(config->pins[i], c->pins[c->pin_count++]))
            return eg_err_set(err, EG_INVALID, "tls", 0,
                              "pin %u is not the base64 of a SHA-256 (sha256/...)", i + 1);
    for (size_t i = 0; i < sizeof config->ca_pem / sizeof *config->ca_pem; i++) {
        bundles = bundles || config->ca_pem[i].n > 0;
        load_anchors(c, config->ca_pem[i]);
    }
    if (c->loaded == 0 && (bundles || c->pin_count == 0))
        return eg_err_set(err, EG_INVALID, "tls", 0, "no usable CA certificate (%u skipped)",
                          c->skipped);
    if (c->loaded == 0)
        eg_tls_pin_alone(c);
    return EG_OK;
}

enum eg_status eg_tls_client_ctx(const struct eg_tls_client_config *config, struct eg_tls_ctx **ret,
                                 struct eg_err *err)
{
    if ((config->cert_pem.n == 0) != (config->key_pem.n == 0))
        return eg_err_set(err, EG_INVALID, "tls", 0,
                          "a client certificate needs its key, and a key its certificate");
    struct eg_tls_ctx *c = NULL;
    enum eg_status r = ctx_new(wolfTLS_client_method(), false, &c, err);
    if (r != EG_OK)
        return r;
    wolfSSL_CTX_set_verify(c->wolf, WOLFSSL_VERIFY_PEER, NULL);
    r = load_trust(c, config, err);
    if (r == EG_OK && config->cert_pem.n)
        r = load_own(c, config->cert_pem, config->key_pem, err);
    if (r != EG_OK)
        goto fail;
    if (wolfSSL_CTX_UseSessionTicket(c->wolf) != WOLFSSL_SUCCESS) {
        r = eg_err_set(err, EG_INTERNAL, "tls", 0, "this wolfSSL lacks session tickets");
        goto fail;
    }
    *ret = c;
    return EG_OK;
fail:
    eg_tls_ctx_unref(c);
    return r;
}

static enum eg_status server_policy(struct eg_tls_ctx *c, const struct eg_tls_server_config *config,
                                    struct eg_err *err)
{
    if (config->only_tls12 &&
        wolfSSL_CTX_set_max_proto_version(c->wolf, TLS1_2_VERSION) != WOLFSSL_SUCCESS)
        return eg_err_set(err, EG_INTERNAL, "tls", 0, "TLS 1.3 can't be left out");
    /* A resumed handshake shows no certificate, so there would be nobody to name. */
    if (config->tickets && config->client_ca_pem.n == 0) {
        wolfSSL_CTX_set_session_cache_mode(c->wolf, WOLFSSL_SESS_CACHE_SERVER);
    } else {
        wolfSSL_CTX_NoTicketTLSv12(c->wolf);
        wolfSSL_CTX_no_ticket_TLSv13(c->wolf);
    }
    if (config->client_ca_pem.n == 0) {
        if (config->require_client)
            return eg_err_set(err, EG_INVALID, "tls", 0,
                              "client certificates are required, but no CA for them is given");
        wolfSSL_CTX_set_verify(c->wolf, WOLFSSL_VERIFY_NONE,
                               NULL); /* no certificate is asked for */
        return EG_OK;
    }
    load_anchors(c, config->client_ca_pem);
    if (c->loaded == 0)
        return eg_err_set(err, EG_INVALID, "tls", 0, "no usable client CA certificate (%u skipped)",
                          c->skipped);
    int mode = WOLFSSL_VERIFY_PEER;
    if (config->require_client)
        mode |= WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    wolfSSL_CTX_set_verify(c->wolf, mode, NULL);
    c->asks_client = true;
    return EG_OK;
}

enum eg_status eg_tls_server_ctx(const struct eg_tls_server_config *config, struct eg_tls_ctx **ret,
                                 struct eg_err *err)
{
    struct eg_tls_ctx *c = NULL;
    enum eg_status r = ctx_new(wolfTLS_server_method(), true, &c, err);
    if (r != EG_OK)
        return r;
    r = load_own(c, config->cert_pem, config->key_pem, err);
    if (r == EG_OK)
        r = server_policy(c, config, err);
    if (r != EG_OK) {
        eg_tls_ctx_unref(c);
        return r;
    }
    *ret = c;
    return EG_OK;
}
