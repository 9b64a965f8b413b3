/* pem.c - does a file hold what a key asks for: at least one whole PEM block of a certificate or a private key (RFC 7468)?
 *
 * It looks at the armour, the base64 and the length of the outer DER only, so that a file that was cut, or is another one, is an error at
 * the key that names it. Whether it can be used is the TLS library's to say, at start and at reload. */
#include "policy/model.h"

#include <sodium.h>

enum { LABEL_MAX = 40, DER_MAX = 1 << 16 };

/* "-----BEGIN X-----" at the start of a line, X ending in the label; *x is X. What follows the line is left in *rest. */
static bool next_block(struct eg_slice *rest, const char *label, struct eg_slice *x)
{
    static const char begin[] = "-----BEGIN ";
    const size_t n = sizeof begin - 1, want = strlen(label);
    for (const char *at; rest->n > 0 && (at = memmem(rest->p, rest->n, begin, n)) != NULL;) {
        *rest = eg_slice_from(*rest, (size_t)(at - rest->p) + n);
        const char *end = rest->n ? memmem(rest->p, rest->n, "-----", 5) : NULL;
        if (!end)
            return false;
        *x = eg_slice(rest->p, (size_t)(end - rest->p));
        if (x->n <= LABEL_MAX && x->n >= want && !memchr(x->p, '\n', x->n) &&
            memcmp(x->p + x->n - want, label, want) == 0) {
            *rest = eg_slice_from(*rest, x->n + 5);
            return true;
        }
    }
    return false;
}

/* One DER value that takes all n bytes: a SEQUENCE with a definite length. */
static bool is_sequence(const unsigned char *der, size_t n)
{
    size_t length = n > 1 ? der[1] : 0, head = 2;
    if (n < 2 || der[0] != 0x30)
        return false;
    if (length & 0x80) {
        size_t octets = length & 0x7f;
        if (octets == 0 || octets > 3 || n < 2 + octets)
            return false;
        for (length = 0; head < 2 + octets; head++)
            length = length << 8 | der[head];
    }
    return length == n - head;
}

/* Is the block X that begins here whole? */
static bool is_whole(struct eg_slice body, struct eg_slice x, unsigned char *der)
{
    char end[LABEL_MAX + 16] = "-----END ";
    size_t n = 9, out = 0;
    memcpy(end + n, x.p, x.n);
    memcpy(end + n + x.n, "-----", 5);
    const char *to = body.n ? memmem(body.p, body.n, end, n + x.n + 5) : NULL;
    if (!to || sodium_base642bin(der, DER_MAX, body.p, (size_t)(to - body.p), "\r\n\t ", &out, NULL,
                                 sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    return is_sequence(der, out);
}

const char *eg_pem_fault(struct eg_model *m, struct eg_slice text, const char *label)
{
    bool key = strcmp(label, "PRIVATE KEY") == 0;
    const char *fault = key ? "the file holds no PEM block of a private key"
                            : "the file holds no PEM block of a certificate";
    unsigned char *der = eg_model_alloc(m, DER_MAX);
    struct eg_slice x;
    while (der && next_block(&text, label, &x)) {
        bool encrypted = eg_slice_starts(x, EG_SLICE("ENCRYPTED ")) ||
                         (text.n > 0 && memmem(text.p, text.n < 64 ? text.n : 64, "ENCRYPTED", 9));
        if (key && encrypted)
            fault = "the private key is encrypted, and nobody is here to be asked for its password";
        else if (is_whole(text, x, der))
            fault = NULL;
        else
            fault = "the PEM block is cut or damaged";
        if (!fault || (key && encrypted))
            break;
    }
    if (der)
        sodium_memzero(der, DER_MAX);
    return fault;
}
