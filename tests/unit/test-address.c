/* SPDX-License-Identifier: Apache-2.0 */
/* schema/model/address and every transport: URIs that are taken, refused, printed, and what they are bound to. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "schema/base/text.h"
#include "schema/model/address.h"

#define GUID_A "6f9619ff-8b86-d011-b42d-00c04fc964ff"
#define GUID_5140 "00001414-facb-11e6-bd58-64006a7986d3"

static const struct {
    const char *uri;
    const char *canonical;
    const char *transport;
} good[] = {
    /* vsock */
    {"vsock://:5140", "vsock://:5140", "vsock"},
    {"vsock://:5140/", "vsock://:5140", "vsock"},
    {"vsock://any:5140", "vsock://:5140", "vsock"},
    {"vsock://4294967295:5140", "vsock://:5140", "vsock"},
    {"vsock://hypervisor:1", "vsock://0:1", "vsock"},
    {"vsock://local:1", "vsock://1:1", "vsock"},
    {"vsock://host:1", "vsock://2:1", "vsock"},
    {"vsock://host:1/", "vsock://2:1", "vsock"},
    {"vsock://42:0", "vsock://42:0", "vsock"},
    {"vsock://42:1023", "vsock://42:1023", "vsock"},
    {"vsock://42:2147483647", "vsock://42:2147483647", "vsock"},
    {"vsock://42:2147483648", "vsock://42:2147483648", "vsock"},
    {"vsock://4294967294:4294967294", "vsock://4294967294:4294967294", "vsock"},
    {"vsock:2:5140", "vsock://2:5140", "vsock"},
    {"vsock::5140", "vsock://:5140", "vsock"},
    {"vsock:4294967295:5140", "vsock://:5140", "vsock"},
    {"vsock:local:5140", "vsock://1:5140", "vsock"},
    /* hybrid */
    {"hybrid:///run/v.sock", "hybrid:///run/v.sock", "hybrid"},
    {"hybrid:///run/v.sock:5140", "hybrid:///run/v.sock:5140", "hybrid"},
    {"hybrid:///run/v.sock:" GUID_5140, "hybrid:///run/v.sock:5140", "hybrid"},
    {"hybrid:///run/v.sock:" GUID_A, "hybrid:///run/v.sock:" GUID_A, "hybrid"},
    {"hybrid:///run/v.sock:{6F9619FF-8B86-D011-B42D-00C04FC964FF}", "hybrid:///run/v.sock:" GUID_A, "hybrid"},
    {"hybrid:///run/a:b:5140", "hybrid:///run/a%3Ab:5140", "hybrid"},
    {"hybrid:///run/a%3Ab", "hybrid:///run/a%3Ab", "hybrid"},
    {"hybrid:///run/a%3a7", "hybrid:///run/a%3A7", "hybrid"},
    {"hybrid:///run/100%25", "hybrid:///run/100%25", "hybrid"},
    {"hybrid:///run/%41", "hybrid:///run/A", "hybrid"},
    {"hybrid:////run//vms/./web1/v.sock", "hybrid:///run/vms/web1/v.sock", "hybrid"},
    {"hybrid:///run/with space/\xc3\xa4", "hybrid:///run/with space/\xc3\xa4", "hybrid"},
    {"hybrid:///run/...:7", "hybrid:///run/...:7", "hybrid"},
    /* hyperkit */
    {"hyperkit:///run/mac1", "hyperkit:///run/mac1", "hyperkit"},
    {"hyperkit:///run/mac1/", "hyperkit:///run/mac1", "hyperkit"},
    {"hyperkit://:5140/run/mac1", "hyperkit://:5140/run/mac1", "hyperkit"},
    {"hyperkit://:5140/./mac1", "hyperkit://:5140/./mac1", "hyperkit"},
    {"hyperkit:///./mac1/x", "hyperkit:///./mac1/x", "hyperkit"},
    {"hyperkit:///./.", "hyperkit:///./.", "hyperkit"},
    {"hyperkit:///a:b", "hyperkit:///a:b", "hyperkit"},
    {"hyperkit:///", "hyperkit:///", "hyperkit"},
    {"hyperkit://:0/", "hyperkit://:0/", "hyperkit"},
    /* unix */
    {"unix:///run/x.sock", "unix:///run/x.sock", "unix"},
    {"unix:///run/a:b", "unix:///run/a:b", "unix"},
    {"unix:///run//./x", "unix:///run/x", "unix"},
    {"unix:///run/%25", "unix:///run/%25", "unix"},
    /* hyperv */
    {"hvsock:///" GUID_5140, "hvsock:///" GUID_5140, "hyperv"},
    {"hvsock://" GUID_A "/" GUID_5140, "hvsock://" GUID_A "/" GUID_5140, "hyperv"},
    {"hvsock://{" GUID_A "}/{" GUID_5140 "}", "hvsock://" GUID_A "/" GUID_5140, "hyperv"},
    {"hvsock://00000000-0000-0000-0000-000000000000/" GUID_A, "hvsock:///" GUID_A, "hyperv"},
    {"hvsock://My VM/" GUID_A, "hvsock://My VM/" GUID_A, "hyperv"},
    {"hvsock://My%20VM/" GUID_A, "hvsock://My VM/" GUID_A, "hyperv"},
    /* machine */
    {"machine:web1", "machine:web1", "machine"},
    {"machine:*", "machine:*", "machine"},
    {"machine:a.b_c-d", "machine:a.b_c-d", "machine"},
};

static void test_good(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(good); i++) {
        Address address, again, copy;
        const char *reason = NULL, *hint = NULL;
        char *text, *text_again;

        if (address_parse(good[i].uri, &address, &reason, &hint) != 0)
            fail_msg("%s was refused: %s; %s", good[i].uri, reason, hint);
        assert_ptr_equal(address.transport, transport_find(good[i].transport));
        assert_int_equal(address_to_text(&address, &text), 0);
        assert_string_equal(text, good[i].canonical);
        /* What is printed is read as the same, and printed as the same. */
        assert_int_equal(address_parse(text, &again, &reason, &hint), 0);
        assert_true(address_equal(&address, &again));
        assert_int_equal(address_to_text(&again, &text_again), 0);
        assert_string_equal(text, text_again);
        assert_int_equal(address_copy(&address, &copy), 0);
        assert_true(address_equal(&address, &copy));
        address_release(&address);
        address_release(&again);
        address_release(&copy);
        free(text);
        free(text_again);
    }
}

static const struct {
    const char *uri;
    const char *reason; /* a part of it */
    const char *hint;
} bad[] = {
    {"", "no transport", "vsock://"},
    {"5140", "no transport", "vsock://"},
    {"http://x", "no transport", "vsock://"},
    {"VSOCK://:1", "no transport", "vsock://"},
    {" vsock://:1", "no transport", "vsock://"},
    {"vsock", "no transport", "vsock://"},
    {"vsock:", "no colon", "vsock://:PORT"},
    {"vsock://", "no colon", "vsock://:PORT"},
    {"vsock://2", "no colon", "vsock://:PORT"},
    {"vsock://5140/", "no colon", "vsock://:PORT"},
    {"vsock:5140", "no colon", "vsock://:PORT"},
    {"vsock://:", "the port is missing", "0 to 4294967294"},
    {"vsock://:/", "the port is missing", "0 to 4294967294"},
    {"vsock://:5140//", "no plain decimal", "0 to 4294967294"},
    {"vsock://:5140/x", "no plain decimal", "0 to 4294967294"},
    {"vsock:2:5140/", "no plain decimal", "0 to 4294967294"},
    {"vsock://:0x15", "no plain decimal", "0 to 4294967294"},
    {"vsock://:08", "no plain decimal", "0 to 4294967294"},
    {"vsock://:-1", "no plain decimal", "0 to 4294967294"},
    {"vsock://:+1", "no plain decimal", "0 to 4294967294"},
    {"vsock://: 1", "no plain decimal", "0 to 4294967294"},
    {"vsock://:1 ", "no plain decimal", "0 to 4294967294"},
    {"vsock://:4294967295", "any port", "0 to 4294967294"},
    {"vsock://:4294967296", "no plain decimal", "0 to 4294967294"},
    {"vsock://:99999999999999999999999", "no plain decimal", "0 to 4294967294"},
    {"vsock://2:5140:1", "no plain decimal", "0 to 4294967294"},
    {"vsock://02:5140", "CID", "local (1)"},
    {"vsock://-1:5140", "CID", "local (1)"},
    {"vsock://0x2:5140", "CID", "local (1)"},
    {"vsock://4294967296:5140", "CID", "local (1)"},
    {"vsock://web1:5140", "CID", "local (1)"},
    {"vsock://[2]:5140", "CID", "local (1)"},
    {"vsock://HOST:5140", "CID", "local (1)"},
    {"vsock:///:5140", "CID", "local (1)"},
    {"hybrid://", "missing", "absolute"},
    {"hybrid://run/v.sock", "not absolute", "three slashes"},
    {"hybrid://:5140", "missing", "absolute"},
    {"hybrid:///", "a folder", "of a socket"},
    {"hybrid:///run/", "a folder", "of a socket"},
    {"hybrid:///run/:5140", "a folder", "of a socket"},
    {"hybrid:///run/v.sock:", "neither a port nor a GUID", "%3A"},
    {"hybrid:///run/a:b", "neither a port nor a GUID", "%3A"},
    {"hybrid:///run/v.sock:0x15", "neither a port nor a GUID", "%3A"},
    {"hybrid:///run/v.sock:6f9619ff-8b86-d011-b42d-00c04fc964f", "neither a port nor a GUID", "%3A"},
    {"hybrid:///run/v.sock:08", "no plain decimal", "0 to 4294967294"},
    {"hybrid:///run/v.sock:4294967295", "any port", "0 to 4294967294"},
    {"hybrid:///run/v.sock:ffffffff-facb-11e6-bd58-64006a7986d3", "any port", "4294967294"},
    {"hybrid:///run/../x", "..", "absolute path without"},
    {"hybrid:///..", "..", "absolute path without"},
    {"hybrid:///run/%2e%2e/x", "..", "absolute path without"},
    {"hybrid:///run/%", "two hex digits", "%25"},
    {"hybrid:///run/%4", "two hex digits", "%25"},
    {"hybrid:///run/%zz", "two hex digits", "%25"},
    {"hybrid:///run/%00", "two hex digits", "%25"},
    {"hybrid:///run/%0a", "control character", "absolute path without"},
    {"hybrid:///run/a\nb", "control character", "absolute path without"},
    {"hybrid:///run/\xff", "UTF-8", "absolute path without"},
    {"hybrid:///run/%ff", "UTF-8", "absolute path without"},
    {"hyperkit://", "missing", "hyperkit://:PORT/DIR"},
    {"hyperkit://run", "missing", "hyperkit://:PORT/DIR"},
    {"hyperkit://:5140", "missing", "hyperkit://:PORT/DIR"},
    {"hyperkit://:/run", "port is missing", "0 to 4294967294"},
    {"hyperkit://:x/run", "no plain decimal", "0 to 4294967294"},
    {"hyperkit:///run/..", "..", "absolute path without"},
    {"hyperkit:///./..", "..", "absolute path without"},
    {"unix://", "missing", "absolute"},
    {"unix://x", "not absolute", "three slashes"},
    {"unix://@x", "abstract", "unix:///PATH"},
    {"unix:///run/", "a folder", "of a socket"},
    {"unix:/run/x", "no transport", "unix://"},
    {"hvsock://", "no service GUID", "SERVICEGUID"},
    {"hvsock:///run/v.sock:5140", "path", "hybrid://"},
    {"hvsock:///run/v.sock", "path", "hybrid://"},
    {"hvsock:///", "path", "hybrid://"},
    {"hvsock:///6f9619ff-8b86-d011-b42d-00c04fc964fx", "no service GUID", "SERVICEGUID"},
    {"hvsock://vm/5140", "no service GUID", "00001414"},
    {"hvsock://vm/" GUID_A "/", "no service GUID", "00001414"},
    {"hvsock://6f9619ff-8b86-d011-b42d-00c04fc964fx/" GUID_A, "no good GUID", "VM"},
    {"hvsock://a%2fb/" GUID_A, "slash", "VM"},
    {"machine:", "no machine's name", "machine:NAME"},
    {"machine://web1", "slashes", "machine:NAME"},
    {"machine:42", "no machine's name", "machine:NAME"},
    {"machine:any", "no machine's name", "machine:NAME"},
    {"machine:1-2", "no machine's name", "machine:NAME"},
    {"machine:Web1", "no machine's name", "machine:NAME"},
    {"machine:**", "no machine's name", "machine:NAME"},
    {"machine:web1:5", "no machine's name", "machine:NAME"},
};

static void test_bad(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(bad); i++) {
        Address address = {.cid = 77};
        const char *reason = NULL, *hint = NULL;
        int r = address_parse(bad[i].uri, &address, &reason, &hint);
        if (r != ADDRESS_REFUSED)
            fail_msg("%s: %d", bad[i].uri, r);
        if (!strstr(reason, bad[i].reason) || !strstr(hint, bad[i].hint))
            fail_msg("%s: %s; %s", bad[i].uri, reason, hint);
        assert_int_equal(address.cid, 77); /* nothing is set */
    }
}

/* A path of `total` bytes, its components no longer than 255. */
static char *make_uri(const char *scheme, size_t total, const char *suffix)
{
    Buffer text = {0};
    char *uri;

    buffer_append_text(&text, scheme);
    for (size_t i = 0; i < total; i++)
        buffer_append_char(&text, i % 200 == 0 && i + 1 < total ? '/' : 'a');
    buffer_append_text(&text, suffix);
    assert_int_equal(buffer_take(&text, &uri, NULL), 0);
    return uri;
}

static int parse_and_forget(const char *uri)
{
    Address address;
    const char *reason, *hint;
    int r = address_parse(uri, &address, &reason, &hint);

    if (r == 0)
        address_release(&address);
    return r;
}

static void test_bounds(void **state)
{
    static const char *const schemes[] = {"hybrid://", "unix://", "hyperkit://"};

    for (size_t i = 0; i < ELEMENTS_OF(schemes); i++) {
        static const struct {
            size_t size;
            int answer;
        } sizes[] = {{4095, 0}, {4096, ADDRESS_REFUSED}, {70000, ADDRESS_REFUSED}};
        for (size_t k = 0; k < ELEMENTS_OF(sizes); k++) {
            char *uri = make_uri(schemes[i], sizes[k].size, "");
            assert_int_equal(parse_and_forget(uri), sizes[k].answer);
            free(uri);
        }
        char name[300] = "";
        snprintf(name, sizeof(name), "%s/%0255d", schemes[i], 0);
        assert_int_equal(parse_and_forget(name), 0);
        snprintf(name, sizeof(name), "%s/%0256d", schemes[i], 0);
        assert_int_equal(parse_and_forget(name), ADDRESS_REFUSED);
    }
    char machine[100];
    snprintf(machine, sizeof(machine), "machine:a%063d", 0);
    assert_int_equal(parse_and_forget(machine), 0);
    snprintf(machine, sizeof(machine), "machine:a%064d", 0);
    assert_int_equal(parse_and_forget(machine), ADDRESS_REFUSED);
}

static const struct {
    const char *uri;
    const char *key; /* NULL: -EINVAL */
} keys[] = {
    {"vsock://:5140", "vsock:5140"},
    {"vsock://2:5140", "vsock:5140"},
    {"hybrid:///run/v.sock:5140", "/run/v.sock_5140"},
    {"hybrid:///run/v.sock:" GUID_5140, "/run/v.sock_5140"},
    {"hybrid:///run/v.sock:6F9619FF-8B86-D011-B42D-00C04FC964FF", "/run/v.sock_" GUID_A},
    {"hybrid:///run/a%3Ab:1", "/run/a:b_1"},
    {"hyperkit://:5140/run/mac1", "/run/mac1/00000002.00001414"},
    {"hyperkit://:4294967294/", "/00000002.fffffffe"},
    {"unix:///run/v.sock_5140", "/run/v.sock_5140"},
    {"hybrid:///run/v.sock", NULL},
    {"hyperkit:///run/mac1", NULL},
    {"machine:web1", NULL},
    {"machine:*", NULL},
    {"hvsock:///" GUID_A, NULL},
};

static void test_keys(void **state)
{
    for (size_t i = 0; i < ELEMENTS_OF(keys); i++) {
        Address address;
        const char *reason, *hint;
        char *key = NULL;
        assert_int_equal(address_parse(keys[i].uri, &address, &reason, &hint), 0);
        assert_int_equal(address_key(&address, &key), keys[i].key ? 0 : -EINVAL);
        if (keys[i].key)
            assert_string_equal(key, keys[i].key);
        free(key);
        address_release(&address);
    }
    /* A name that has no room for its number. */
    Address address;
    const char *reason, *hint;
    char uri[300], *key;
    snprintf(uri, sizeof(uri), "hybrid:///%0250d:5140", 0);
    assert_int_equal(address_parse(uri, &address, &reason, &hint), 0);
    assert_int_equal(address_key(&address, &key), 0);
    free(key);
    address.port = 51400;
    assert_int_equal(address_key(&address, &key), -EINVAL);
    address_release(&address);
}

static void test_parts(void **state)
{
    Address address;
    const char *reason, *hint;

    assert_int_equal(address_parse("hvsock://web/" GUID_5140, &address, &reason, &hint), 0);
    assert_string_equal(address.machine, "web");
    assert_true(address.has_guid && address.has_port);
    assert_int_equal(address.port, 5140);
    address_release(&address);
    assert_int_equal(address_parse("hvsock://" GUID_A "/" GUID_A, &address, &reason, &hint), 0);
    assert_null(address.machine);
    assert_false(address.has_port);
    assert_int_equal(guid_compare(&address.vm_id, &address.guid), 0);
    address_release(&address);
    assert_int_equal(address_parse("vsock::7", &address, &reason, &hint), 0);
    assert_int_equal(address.cid, VSOCK_CID_ANY);
    assert_true(address.has_port && !address.has_guid);
    address_release(&address);
    assert_int_equal(address_parse("hyperkit:///./a", &address, &reason, &hint), 0);
    assert_string_equal(address.path, "a");
    address_release(&address);
}

/* Whatever comes in, what is taken prints as something that is taken as the same. Pieces make URIs that are nearly right. */
static void test_random(void **state)
{
    static const char *const pieces[] = {"vsock:", "vsock://", "hybrid://", "hyperkit://", "unix://", "hvsock://", "machine:", "/", "//", ":",
                                         "%", "%3A", "%25", "%00", "%ff", ".", "..", "/./", "*", "5140", "4294967295", "0", "a", "web1", "any",
                                         "host", GUID_A, GUID_5140, "{", "}", "\xc3\xa4", "\xff", "\x01", " ", "@", "["};
    unsigned seed = 20261121;
    size_t taken = 0;

    for (size_t i = 0; i < 60000; i++) {
        char uri[512] = "";
        unsigned count = (unsigned)rand_r(&seed) % 7;
        strcat(uri, pieces[(unsigned)rand_r(&seed) % 7]);
        for (unsigned k = 0; k < count; k++)
            strcat(uri, pieces[(unsigned)rand_r(&seed) % ELEMENTS_OF(pieces)]);
        Address address, again;
        const char *reason = NULL, *hint = NULL;
        char *text;
        int r = address_parse(uri, &address, &reason, &hint);
        if (r != 0) {
            assert_int_equal(r, ADDRESS_REFUSED);
            assert_non_null(reason);
            assert_non_null(hint);
            continue;
        }
        taken++;
        assert_int_equal(address_to_text(&address, &text), 0);
        if (address_parse(text, &again, &reason, &hint) != 0)
            fail_msg("%s gave %s, which was refused: %s", uri, text, reason);
        if (!address_equal(&address, &again))
            fail_msg("%s gave %s, which is another", uri, text);
        assert_true(text_is_utf8(text, strlen(text), NULL));
        address_release(&address);
        address_release(&again);
        free(text);
    }
    if (taken < 500)
        fail_msg("only %zu were good", taken);
}

static void test_table(void **state)
{
    for (size_t i = 0; transports[i]; i++) {
        const Transport *transport = transports[i];
        assert_ptr_equal(transport_find(transport->name), transport);
        assert_true(text_starts_with(transport->syntax, transport->scheme));
        assert_non_null(transport->help);
        assert_true(!transport->has_path || (transport->listens && transport->listen_path));
        /* None is the beginning of another. */
        for (size_t k = 0; transports[k]; k++)
            assert_true(k == i || !text_starts_with(transports[k]->scheme, transport->scheme));
    }
    assert_null(transport_find("tcp"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good), cmocka_unit_test(test_bad),   cmocka_unit_test(test_bounds), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_parts), cmocka_unit_test(test_random), cmocka_unit_test(test_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
