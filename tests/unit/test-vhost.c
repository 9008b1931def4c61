/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing a CID with a device that is none, and the arguments of the VMM. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "ctl/vhost.h"
#include "schema/base/cleanup.h"

/* The device: CIDs from 3 to fake_taken are others', and then it fails with fake_error. */
static uint32_t fake_taken;
static int fake_error;
static uint32_t fake_cid;
static unsigned fake_calls;

static int fake_set_cid(int fd, uint32_t cid)
{
    assert_int_equal(fd, 7);
    fake_calls++;
    if (cid <= fake_taken)
        return -EADDRINUSE;
    if (fake_error)
        return fake_error;
    fake_cid = cid;
    return 0;
}

static void test_choose(void **state)
{
    static const uint32_t known[] = {5, 3, 8, 4, 4294967294};
    static const struct {
        uint32_t from;
        size_t known_count;
        uint32_t taken;
        int error;
        int answer;
        uint32_t cid;
        unsigned calls;
    } cases[] = {
        {0, 0, 0, 0, 0, 3, 1},  /* never the hypervisor's, the local or the host's */
        {3, 0, 0, 0, 0, 3, 1},
        {3, 0, 9, 0, 0, 10, 8}, /* each is tried: asking first would be a race */
        {3, 5, 0, 0, 0, 6, 1},  /* what machines are known by is left to them, though nobody has it open */
        {3, 5, 7, 0, 0, 9, 3},
        {7, 5, 0, 0, 0, 7, 1},  /* on after a conflict */
        {3, 0, 4, -EACCES, -EACCES, 0, 3},
        {3, 0, 0, -ENOTTY, -ENOTTY, 0, 1},
        {3, 0, UINT32_MAX, 0, VHOST_NONE, 0, 1u << 20},
        {UINT32_MAX - 1, 5, 0, 0, VHOST_NONE, 0, 0}, /* the last is known, and any is none */
        {UINT32_MAX - 1, 0, 0, 0, 0, UINT32_MAX - 1, 1},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        uint32_t cid = 0;
        fake_taken = cases[i].taken;
        fake_error = cases[i].error;
        fake_calls = 0;
        fake_cid = 0;
        int r = vhost_choose_cid(7, fake_set_cid, cases[i].from, known, cases[i].known_count, &cid);
        if (r != cases[i].answer || cid != cases[i].cid || fake_calls != cases[i].calls || fake_cid != cid)
            fail_msg("case %zu: answer %d, CID %u after %u calls", i, r, cid, fake_calls);
    }
}

static void test_no_device(void **state)
{
    assert_int_equal(vhost_set_cid(-1, 3), -EBADF);
}

static void test_fill(void **state)
{
    static const uint32_t cid = 42;
    static const struct {
        const char *argument;
        bool has_cid;
        int fd;
        const char *filled;
    } cases[] = {
        {"", true, 7, ""},
        {"-device", true, 7, "-device"},
        {"vhost-vsock-pci,vhostfd={vhostfd},guest-cid={cid}", true, 7, "vhost-vsock-pci,vhostfd=7,guest-cid=42"},
        {"{cid}{cid}{{cid}}", true, 7, "4242{42}"},
        {"{cid", true, 7, "{cid"},
        {"{CID} {vhost}", true, 7, "{CID} {vhost}"},
        {"{vhostfd} {cid}", true, -1, "{vhostfd} 42"},
        {"{vhostfd} {cid}", false, -1, "{vhostfd} {cid}"},
    };

    for (size_t i = 0; i < ELEMENTS_OF(cases); i++) {
        _cleanup_(freep) char *filled = NULL;
        assert_int_equal(vhost_fill_argument(cases[i].argument, cases[i].has_cid ? &cid : NULL, cases[i].fd, &filled), 0);
        assert_string_equal(filled, cases[i].filled);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choose),
        cmocka_unit_test(test_no_device),
        cmocka_unit_test(test_fill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
