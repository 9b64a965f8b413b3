/* names.h - the resolver of a captured child: it answers each name with an address of the benchmark range
 * (198.18.0.0/15, RFC 2544), remembers which name that stands for, and asks nobody. What a child looks up leaves
 * the machine nowhere; what it then connects to is judged by its name (capture.c).
 *
 * Three parts: a question and its answer as bytes (names.c, pure), what is remembered (names_table.c, no I/O), and
 * the two sockets (names_serve.c). */
#ifndef EG_PROXY_NAMES_H
#define EG_PROXY_NAMES_H

#include "base/uri.h"
#include "net/loop.h"

/* ---- names.c ---- */
enum {
    EG_NAMES_HEAD = 12,
    EG_NAMES_QUESTION_MAX = 4096, /* bytes of a question with all that stands behind it */
    EG_NAMES_ANSWER_MAX = 600,    /* the head, a name and its type, one record that may hold another name */
    EG_NAMES_TTL_S = 60
};
enum eg_names_type { EG_NAMES_A = 1, EG_NAMES_PTR = 12, EG_NAMES_AAAA = 28, EG_NAMES_ANY = 255 };
enum eg_names_rcode { EG_NAMES_NOERROR, EG_NAMES_FORMERR, EG_NAMES_NXDOMAIN = 3, EG_NAMES_NOTIMP, EG_NAMES_REFUSED };

enum eg_names_kind {
    EG_NAMES_DROP,  /* no question at all: nothing is answered */
    EG_NAMES_ERROR, /* answered with the rcode and no question */
    EG_NAMES_ASKED  /* one name, one type, class IN */
};
struct eg_names_question {
    enum eg_names_kind kind;
    enum eg_names_rcode rcode; /* of ERROR */
    uint16_t id, type;
    bool recursion;         /* RD, given back as it was */
    uint8_t opcode;
    struct eg_slice asked;  /* the question section as it came, borrowed */
    bool host;              /* the name is one that a host may have, and not an address: it is in name */
    struct eg_authority name;
    struct eg_addr reverse; /* of a name below in-addr.arpa that spells a whole address; family 0: it is not one */
};
/* Never reads beyond n. Refuses instead of repairing: compression in a question, a second one, or bytes that belong
 * to nothing are FORMERR (RFC 1035 4.1, RFC 9619). */
void eg_names_parse(const char *p, size_t n, struct eg_names_question *ret);

struct eg_names_answer {
    enum eg_names_rcode rcode;
    struct eg_addr addr;      /* family 4: an A record; 6: AAAA; 0: none */
    struct eg_authority name; /* host_len > 0: a PTR record */
};
/* Writes the reply, at most EG_NAMES_ANSWER_MAX bytes; how many. 0: nothing is to be sent. */
size_t eg_names_write(const struct eg_names_question *q, const struct eg_names_answer *a,
                      char out[EG_NAMES_ANSWER_MAX]);

/* ---- names_table.c ---- */
enum { EG_NAMES_MAX = 8192 }; /* names that are remembered at once: above it, the least recently used makes room */
struct eg_names;

enum eg_status eg_names_new(struct eg_names **ret) EG_MUST_USE;
void eg_names_free(struct eg_names *t);
/* Is it of the range that stands for names? */
bool eg_names_covers(const struct eg_addr *addr);
/* The address of that name, an old one or a new one. EG_NOMEM. */
enum eg_status eg_names_address(struct eg_names *t, const struct eg_authority *name,
                                struct eg_addr *ret) EG_MUST_USE;
/* The name of that address, with port 0; false: none, or no longer. */
bool eg_names_name(struct eg_names *t, const struct eg_addr *addr, struct eg_authority *ret);
size_t eg_names_count(const struct eg_names *t);
/* What is answered to that question (of kind ASKED); it may remember a name. */
void eg_names_answer_to(struct eg_names *t, const struct eg_names_question *q, struct eg_names_answer *ret);

/* ---- names_serve.c ---- */
struct eg_names_server; /* one socket */

/* Takes fd, whatever happens: a bound UDP socket, or (stream) a listening TCP one. t is borrowed. */
enum eg_status eg_names_serve(struct eg_loop *l, struct eg_names *t, int fd, bool stream,
                              struct eg_names_server **ret, struct eg_err *err) EG_MUST_USE;
void eg_names_stop(struct eg_names_server *s);

#endif
