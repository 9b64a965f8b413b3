/* init.h - what `policy init` finds where it is started: hosts of package registries and repositories, services whose key is in the environment. */
#ifndef EG_CMD_INIT_H
#define EG_CMD_INIT_H

#include "base/arena.h"
#include "policy/preset.h"

enum { EG_INIT_HOSTS = 8, EG_INIT_SERVICES = 32, EG_INIT_MANAGERS = 16, EG_INIT_HOST = 256 };

struct eg_init_hosts { /* names in lower case, no doubles, in the order in which they were found */
    unsigned count;
    char list[EG_INIT_HOSTS][EG_INIT_HOST];
};
struct eg_init_manager { /* a package manager whose files are here */
    const char *preset, *file, *ask; /* ask: the command that tells its host */
    struct eg_init_hosts hosts;      /* what its files and the user's configuration name; may be none */
    char place[300];                 /* where the first one was found */
};
struct eg_init_service {
    const struct eg_preset *preset;
    const char *variable; /* that is set; lives with the arena */
    char host[EG_INIT_HOST]; /* of its upstream */
    bool intercept;
};
struct eg_init_found {
    struct eg_init_manager managers[EG_INIT_MANAGERS];
    unsigned manager_count;
    struct eg_init_service services[EG_INIT_SERVICES];
    unsigned service_count;
    struct eg_init_hosts https, ssh; /* of git's remotes */
};

/* Looks into the current folder, the home folder and the environment (names of variables; of those that name a registry also the host in them). It starts no
 * program and reads no secret; files above 4 MiB are passed over. EG_NOMEM. */
enum eg_status eg_init_find(struct eg_arena *arena, struct eg_init_found *ret) EG_MUST_USE;
/* The hosts of the URLs in text that stand behind token on its line ("" : any), up to the room that is left. Exposed for its test. */
void eg_init_urls(struct eg_slice text, const char *token, struct eg_init_hosts *ret);
/* The host of one remote of git: "https://host/x", "ssh://git@host/x", "git@host:x". False: none. *ssh: by ssh. */
bool eg_init_remote(struct eg_slice url, bool *ssh, char host[EG_INIT_HOST]);

#endif
