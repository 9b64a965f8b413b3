/* cred_lazy.c - the store's lazy credentials, fields and versions. */
#include <criterion/criterion.h>
#include <string.h>

#include "support/store.h"

CRED(store_tells_a_lazy_one_from_a_failed_one)
{
    struct eg_err why = { 0 };
    cr_assert_eq(eg_creds_lazy(creds, EG_SLICE("a")), EG_OK);
    cr_expect_null(eg_creds_get(creds, EG_SLICE("a"), &why));
    cr_expect_eq(why.status, EG_AGAIN);
    cr_expect_eq(eg_creds_count(creds), 0);
    cr_assert_eq(put("a", "one"), EG_OK);
    cr_expect(holds("a", "one"));
    cr_expect_eq(eg_creds_count(creds), 1);
    cr_assert_eq(eg_creds_lazy(creds, EG_SLICE("a")), EG_OK);
    cr_expect_null(eg_creds_get(creds, EG_SLICE("a"), &why), "what was there is wiped");
    cr_expect_eq(why.status, EG_AGAIN);
    cr_expect_eq(eg_creds_count(creds), 0);
    cr_expect_eq(eg_creds_lazy(creds, EG_SLICE("")), EG_INVALID);
}

CRED(store_finds_fields_by_credential_and_name)
{
    struct eg_err why = { 0 };
    cr_assert_eq(put("aws", "whole"), EG_OK);
    cr_assert_eq(put("aws#key", "part"), EG_OK);
    const struct eg_secret *s = eg_creds_field(creds, EG_SLICE("aws"), EG_SLICE("key"), &why);
    cr_assert_not_null(s);
    cr_expect(eg_secret_equal(s, "part", 4));
    s = eg_creds_field(creds, EG_SLICE("aws"), EG_SLICE(""), &why);
    cr_assert_not_null(s, "an empty field is the credential itself");
    cr_expect(eg_secret_equal(s, "whole", 5));
    cr_expect_null(eg_creds_field(creds, EG_SLICE("aws"), EG_SLICE("none"), &why));
    cr_expect_eq(why.status, EG_CREDENTIAL_UNAVAILABLE);
    cr_expect_null(eg_creds_field(creds, EG_SLICE("other"), EG_SLICE("key"), &why));
    cr_expect_eq(why.status, EG_CREDENTIAL_UNAVAILABLE);
}

CRED(store_finds_parts_of_a_credential_without_a_value)
{
    cr_assert_eq(put("s3#access_key", "AKIA"), EG_OK);
    const struct eg_secret *s = eg_creds_field(creds, EG_SLICE("s3"), EG_SLICE("access_key"), NULL);
    cr_assert_not_null(s);
    cr_expect(eg_secret_equal(s, "AKIA", 4));
}

CRED(store_field_lacks_what_its_credential_lacks)
{
    struct eg_err why = { 0 }, broken = { 0 };
    cr_assert_eq(eg_creds_lazy(creds, EG_SLICE("l")), EG_OK);
    cr_expect_null(eg_creds_field(creds, EG_SLICE("l"), EG_SLICE("user"), &why));
    cr_expect_eq(why.status, EG_AGAIN, "it is there once it was read");
    eg_err_set(&broken, EG_IO, "cmd", 0, "exit status 1");
    cr_assert_eq(eg_creds_fail(creds, EG_SLICE("l"), &broken), EG_OK);
    cr_expect_null(eg_creds_field(creds, EG_SLICE("l"), EG_SLICE("user"), &why));
    cr_expect_eq(why.status, EG_IO);
    cr_assert_eq(eg_creds_lazy(creds, EG_SLICE("p#key")), EG_OK);
    cr_expect_null(eg_creds_field(creds, EG_SLICE("p"), EG_SLICE("key"), &why));
    cr_expect_eq(why.status, EG_AGAIN, "a part is a credential of its own");
}

CRED(store_field_name_has_the_ceiling_of_a_name)
{
    char name[256];
    struct eg_err why = { 0 };
    memset(name, 'n', sizeof name);
    memcpy(name + 250, "#fffff", 6);
    cr_assert_eq(eg_creds_put(creds, eg_slice(name, 255), "v", 1, NULL), EG_OK);
    cr_expect_not_null(eg_creds_field(creds, eg_slice(name, 250), EG_SLICE("ffff"), NULL));
    cr_expect_null(eg_creds_field(creds, eg_slice(name, 250), EG_SLICE("fffff"), &why));
    cr_expect_eq(why.status, EG_CREDENTIAL_UNAVAILABLE);
}

CRED(store_counts_the_changes_of_a_name)
{
    struct eg_err why = { 0 };
    eg_err_set(&why, EG_IO, "file", 0, "gone");
    cr_expect_eq(eg_creds_version(creds, EG_SLICE("a")), 0);
    cr_assert_eq(eg_creds_lazy(creds, EG_SLICE("a")), EG_OK);
    cr_expect_eq(eg_creds_version(creds, EG_SLICE("a")), 0);
    cr_assert_eq(put("a", "one"), EG_OK);
    cr_expect_eq(eg_creds_version(creds, EG_SLICE("a")), 1);
    cr_assert_eq(put("a", "one"), EG_OK);
    cr_expect_eq(eg_creds_version(creds, EG_SLICE("a")), 1, "the same value is no change");
    cr_assert_eq(put("a", "two"), EG_OK);
    cr_expect_eq(eg_creds_version(creds, EG_SLICE("a")), 2);
    cr_assert_eq(eg_creds_fail(creds, EG_SLICE("a"), &why), EG_OK);
    cr_expect_eq(eg_creds_version(creds, EG_SLICE("a")), 2);
    cr_expect_eq(eg_creds_version(creds, EG_SLICE("b")), 0);
}
