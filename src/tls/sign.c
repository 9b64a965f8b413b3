/* sign.c - private keys in PEM and the two signatures that token endpoints ask for. It knows no JWT: that is cred/jwt.c, which
 * is given a callback that comes here. It reads no file.
 * Invariant: what held a key is wiped before its memory is given back. */
#include "tls/sign.h"

#include "tls/wolf.h"

#include <wolfssl/wolfcrypt/asn_public.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/signature.h>

enum { RSA_MIN = 256, COORDINATE = 32 }; /* bytes; RFC 7518 section 3.3: 2048 bits or more */

struct eg_sign_key {
    enum eg_sign_alg alg;
    WC_RNG rng;
    RsaKey rsa;
    ecc_key ecc;
    bool rng_made, rsa_made, ecc_made;
};

void eg_sign_key_free(struct eg_sign_key *k)
{
    if (!k)
        return;
    if (k->rsa_made)
        wc_FreeRsaKey(&k->rsa); /* zeroes the private parts, as wc_ecc_free does */
    if (k->ecc_made)
        wc_ecc_free(&k->ecc);
    if (k->rng_made)
        wc_FreeRng(&k->rng);
    free(k);
}

enum eg_sign_alg eg_sign_key_alg(const struct eg_sign_key *k)
{
    return k->alg;
}

static bool contains(struct eg_slice text, const char *what)
{
    return text.n > 0 && memmem(text.p, text.n, what, strlen(what)) != NULL;
}

/* RSA first: a SEC1 key is no RSAPrivateKey, and PKCS#8 tells by its identifier. */
static enum eg_status decode(struct eg_sign_key *k, const unsigned char *der, word32 n,
                             struct eg_err *err)
{
    word32 at = 0;
    if (wc_RsaPrivateKeyDecode(der, &at, &k->rsa, n) == 0) {
        int size = wc_RsaEncryptSize(&k->rsa);
        k->alg = EG_SIGN_RS256;
        if (size < RSA_MIN || size > EG_SIGN_MAX)
            return eg_err_set(err, EG_INVALID, "key", 0, "an RSA key must have 2048 to 4096 bits");
        return EG_OK;
    }
    at = 0;
    if (wc_EccPrivateKeyDecode(der, &at, &k->ecc, n) != 0)
        return eg_err_set(err, EG_INVALID, "key", 0, "it is no private key of RSA or P-256");
    k->alg = EG_SIGN_ES256;
    if (wc_ecc_get_curve_id(k->ecc.idx) != ECC_SECP256R1)
        return eg_err_set(err, EG_INVALID, "key", 0, "an elliptic curve key must be of P-256");
    return EG_OK;
}

static enum eg_status read_pem(struct eg_sign_key *k, struct eg_slice pem, struct eg_err *err)
{
    DerBuffer *der = NULL;
    if (contains(pem, "ENCRYPTED"))
        return eg_err_set(err, EG_INVALID, "key", 0, "the private key is encrypted");
    if (!contains(pem, "PRIVATE KEY-----"))
        return eg_err_set(err, EG_INVALID, "key", 0, "it holds no private key in PEM");
    int code = wc_PemToDer((const unsigned char *)pem.p, (long)pem.n, PRIVATEKEY_TYPE, &der, NULL,
                           NULL, NULL);
    enum eg_status status = EG_OK;
    if (code < 0 || !der)
        status = eg_err_set(err, EG_INVALID, "key", 0, "the private key's PEM can't be read");
    else
        status = decode(k, der->buffer, der->length, err);
    wc_FreeDer(&der); /* zeroes private keys */
    return status;
}

enum eg_status eg_sign_key_new(struct eg_slice pem, struct eg_sign_key **ret, struct eg_err *err)
{
    struct eg_sign_key *k = calloc(1, sizeof *k);
    if (!k)
        return eg_err_set(err, EG_NOMEM, "key", 0, "out of memory");
    k->rng_made = wc_InitRng(&k->rng) == 0;
    k->rsa_made = wc_InitRsaKey(&k->rsa, NULL) == 0;
    k->ecc_made = wc_ecc_init(&k->ecc) == 0;
    enum eg_status status = EG_INTERNAL;
    if (k->rng_made && k->rsa_made && k->ecc_made && wc_RsaSetRNG(&k->rsa, &k->rng) == 0)
        status = read_pem(k, pem, err);
    if (status != EG_OK) {
        eg_sign_key_free(k);
        return eg_err_set(err, status, "key", 0, "wolfCrypt does not start");
    }
    *ret = k;
    return EG_OK;
}

/* wolfCrypt verifies what it signed: a fault must not give the key away. */
static enum eg_status sign_rsa(struct eg_sign_key *k, struct eg_slice message, unsigned char *out,
                               size_t *n)
{
    word32 len = (word32)wc_RsaEncryptSize(&k->rsa);
    int code = wc_SignatureGenerate(WC_HASH_TYPE_SHA256, WC_SIGNATURE_TYPE_RSA_W_ENC,
                                    (const byte *)message.p, (word32)message.n, out, &len, &k->rsa,
                                    sizeof k->rsa, &k->rng);
    *n = len;
    return code == 0 ? EG_OK : EG_INTERNAL;
}

/* To COORDINATE bytes, big-endian: wolfCrypt leaves leading zeros out. */
static bool widen(unsigned char *p, word32 n)
{
    if (n > COORDINATE)
        return false;
    memmove(p + COORDINATE - n, p, n);
    memset(p, 0, COORDINATE - n);
    return true;
}

static enum eg_status sign_ecc(struct eg_sign_key *k, struct eg_slice message, unsigned char *out,
                               size_t *n)
{
    unsigned char hash[32], der[ECC_MAX_SIG_SIZE];
    word32 len = sizeof der, r = COORDINATE, s = COORDINATE;
    if (wc_Sha256Hash((const byte *)message.p, (word32)message.n, hash) != 0 ||
        wc_ecc_sign_hash(hash, sizeof hash, der, &len, &k->rng, &k->ecc) != 0 ||
        wc_ecc_sig_to_rs(der, len, out, &r, out + COORDINATE, &s) != 0)
        return EG_INTERNAL;
    *n = 2 * COORDINATE;
    return widen(out, r) && widen(out + COORDINATE, s) ? EG_OK : EG_INTERNAL;
}

enum eg_status eg_sign(struct eg_sign_key *k, struct eg_slice message, unsigned char *out,
                       size_t cap, size_t *n, struct eg_err *err)
{
    if (cap < EG_SIGN_MAX || message.n > UINT32_MAX)
        return eg_err_set(err, EG_TOO_BIG, "key", 0, "no room for a signature");
    enum eg_status status =
        k->alg == EG_SIGN_RS256 ? sign_rsa(k, message, out, n) : sign_ecc(k, message, out, n);
    return status == EG_OK ? EG_OK : eg_err_set(err, status, "key", 0, "signing failed");
}
