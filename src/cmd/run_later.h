/* run_later.h - what a child could write today and somebody would run tomorrow, outside of its
 * sandbox. */
#ifndef EG_CMD_RUN_LATER_H
#define EG_CMD_RUN_LATER_H

#include "cmd/supervisor.h"
#include "cmd/run_made.h"

enum { EG_LATER_MAX = 512, EG_LATER_PROGRAMS = 48 };

struct eg_later_program { /* once it was looked for */
    const char *name;
    bool there;
};

struct eg_later {
    /* in */
    const struct eg_environ *environment; /* the caller's: PATH, and where files are named */
    const char *home;                     /* the child's */
    bool other_user;                      /* its variables say nothing of that home */
    const char *const *writable;          /* what the person lets it write to all the same */
    unsigned writable_count;
    struct eg_run_made *made; /* missing ones are made with it; NULL: none are */
    /* out, owned */
    char *held[EG_LATER_MAX]; /* shells, logins, git and PATH */
    unsigned held_count;
    char *tools[EG_LATER_MAX]; /* in folders that tools go on writing to, and of the repository */
    unsigned tool_count;
    /* own */
    struct eg_later_program programs[EG_LATER_PROGRAMS];
    unsigned program_count;
};

/* Fills the lists, each path absolute. Paths at or below a writable one are left out. EG_TOO_BIG,
 * EG_NOMEM. */
enum eg_status eg_later_find(struct eg_later *l) EG_MUST_USE;
void eg_later_done(struct eg_later *l);
/* The i-th path of a home that is held, as "~/.bashrc", for people; NULL: no more. */
const char *eg_later_name(unsigned i);

/* run_later_git.c: of the repository that the working folder is in: its configuration and hooks. */
enum eg_status eg_later_git(struct eg_later *l) EG_MUST_USE;
/* run_later_shell.c: of the files that start-up files of shells name. */
enum eg_status eg_later_shell(struct eg_later *l) EG_MUST_USE;
/* run_tools.c: asks `made` for the folders that tools make for themselves: for a child that can make
 * nothing in its home. */
enum eg_status eg_later_tools(struct eg_later *l) EG_MUST_USE;
/* For the files of run_later: where that path below home is, by the XDG variables too; false: too long. */
bool eg_later_place(const struct eg_later *l, const char *path, char out[PATH_MAX]);
/* Is there a program of that name in PATH? NULL: yes. What nobody can start reads nothing. */
bool eg_later_installed(struct eg_later *l, const char *program);
/* For the files of run_later: adds one, unless it is writable on purpose. */
enum eg_status eg_later_add(struct eg_later *l, const char *path, bool tool) EG_MUST_USE;

#endif
