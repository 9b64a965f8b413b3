/* public.h - what is behind the handles of egress/policy.h. Internal to the room. */
#ifndef EG_POLICY_PUBLIC_H
#define EG_POLICY_PUBLIC_H

#include "egress/policy.h"
#include "policy/compile.h"

struct egress_policy {
    struct eg_buf block;
    struct eg_policy *view;
};

/* Texts of the policy and of this program end in a NUL. */
static inline const char *eg_public_text(struct eg_slice s)
{
    return s.n ? s.p : "";
}

#endif
