/* aead.h - AES-GCM records through libipsec-mb: Debian's wolfSSL is built without AES-NI. */
#ifndef EG_TLS_AEAD_H
#define EG_TLS_AEAD_H

#include "base/err.h"

/* Maps libipsec-mb where there is one, and does nothing with it: 0.2 ms. In two steps, because a confined process maps no library, and
 * one that never uses TLS need not wait for the rest. */
void eg_tls_load(void);

/* Compares the library that was mapped with wolfSSL's own result and gives AES-GCM of all contexts made from then on to it, which then is
 * offered first: 0.6 ms, no file. Between eg_tls_start and eg_tls_stop. EG_OK also where there is nothing to gain: no x86-64, or done before.
 * EG_NOT_SUPPORTED (not built in, not mapped, or the processor lacks it), EG_NOMEM and EG_INTERNAL (it differs) leave plain wolfSSL in place;
 * err says why. */
enum eg_status eg_tls_hasten(struct eg_err *err) EG_MUST_USE;

#endif
