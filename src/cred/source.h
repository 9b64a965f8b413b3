/* source.h - what sources that are files share. Private to the room. */
#ifndef EG_CRED_SOURCE_H
#define EG_CRED_SOURCE_H

#include <sys/types.h>

#include "cred/cred.h"

struct eg_source_place {
    const char *path;
    const char *scheme, *name; /* "file", as the policy has it: what errors show */
    /* systemd gives a service that is not root its credentials by an ACL, which shows as read permission of the group */
    bool group_read;
};
/* Opens, judges by the descriptor, reads, and as eg_source_check. */
enum eg_status eg_source_place_read(const struct eg_source_place *place, bool text,
                                    struct eg_buf *out, struct eg_err *err) EG_MUST_USE;
/* The same judgement without reading: EG_PERMISSION, EG_NOT_FOUND, EG_IO; *fd and its state. */
struct stat;
enum eg_status eg_source_place_open(const struct eg_source_place *place, int *fd, struct stat *st,
                                    struct eg_err *err) EG_MUST_USE;
/* As much as there is until the end, at most what out has room for (else EG_TOO_BIG), in one reservation, so that no growth leaves a copy in freed memory. */
enum eg_status eg_source_fill(int fd, size_t room, struct eg_buf *out, int *sys) EG_MUST_USE;

#endif
