/* sha1.h - SHA-1, for Sec-WebSocket-Accept alone (RFC 6455 section 4.2.2): it protects nothing. */
#ifndef EG_TLS_SHA1_H
#define EG_TLS_SHA1_H

#include "base/slice.h"
#include "egress/status.h"

enum { EG_SHA1_SIZE = 20 };
/* EG_INTERNAL where the library was built without it. */
enum eg_status eg_tls_sha1(struct eg_slice text, unsigned char out[EG_SHA1_SIZE]) EG_MUST_USE;

#endif
