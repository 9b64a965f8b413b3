/* peer.h - an origin or a proxy that the test itself plays, byte by byte: a listening socket on
 * 127.0.0.1 whose connections are read and written with the functions of a client (proc.h).
 * Every wait has a deadline. */
#ifndef EG_TESTS_SUPPORT_PEER_H
#define EG_TESTS_SUPPORT_PEER_H

#include "support/proc.h"

/* A listening socket on 127.0.0.1; its port in *port. */
int eg_peer_listen(uint16_t *port);
/* A port of 127.0.0.1 that refuses TCP and UDP and that nobody else can get while the test runs (a
 * port that was merely closed may be another program's a moment later). */
uint16_t eg_peer_refusing(void);
/* The next connection to it; asserts that one comes within the deadline. */
void eg_peer_accept(int listener, struct eg_client *c);
/* Has nobody connected (that was not accepted)? Does not wait. */
bool eg_peer_unused(int listener);
/* Accepts and reads to the end of a request head. */
void eg_peer_request(int listener, struct eg_client *c);
/* Closes with a reset. */
void eg_client_reset(struct eg_client *c);
/* Drops the first n received bytes. */
void eg_client_take(struct eg_client *c, size_t n);
/* How often needle stands in text. */
unsigned eg_text_count(const char *text, const char *needle);
/* The only worker of the world's egressd. */
pid_t eg_world_worker(const struct eg_world *w);

#endif
