/* sha1.c - the library's SHA-1, which WebSocket's handshake still asks for. No key and no secret goes
 * through it. */
#include "tls/sha1.h"

#include "tls/wolf.h"

#include <wolfssl/wolfcrypt/hash.h>

enum eg_status eg_tls_sha1(struct eg_slice text, unsigned char out[EG_SHA1_SIZE])
{
    return wc_ShaHash((const unsigned char *)text.p, (word32)text.n, out) == 0 ? EG_OK
                                                                               : EG_INTERNAL;
}
