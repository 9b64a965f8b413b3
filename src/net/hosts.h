/* hosts.h - the names of a hosts(5) file, looked up without a question to anybody. */
#ifndef EG_NET_HOSTS_H
#define EG_NET_HOSTS_H

#include "base/uri.h"

struct eg_hosts;

/* What is beyond is ignored: a hosts file of that size is a list of blocked names. */
enum { EG_HOSTS_MAX_BYTES = 1 << 20, EG_HOSTS_MAX_NAMES = 16384 };

/* Parses and copies text (may be empty). Lines that can't be understood are skipped, as everybody
 * does. EG_NOMEM. */
enum eg_status eg_hosts_new(struct eg_slice text, struct eg_hosts **ret) EG_MUST_USE;
void eg_hosts_free(struct eg_hosts *h);
/* Calls add for each address of the canonical name, in the order of the file; returns how many
 * there were. localhost and what is below it: ::1 and 127.0.0.1, always. */
unsigned eg_hosts_find(const struct eg_hosts *h, struct eg_slice name,
                       void (*add)(void *ctx, const struct eg_addr *addr), void *ctx);
/* Is it localhost or below it (RFC 6761 section 6.3)? Of canonical names. */
bool eg_hosts_localhost(struct eg_slice host);

#endif
