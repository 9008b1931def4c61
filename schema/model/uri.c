/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of URIs that several transports know; pure functions. */

#include <string.h>

#include "schema/base/text.h"
#include "schema/model/path.h"
#include "schema/model/uri.h"

bool uri_refuse(Refusal refusal, const char *reason, const char *hint)
{
    *refusal.reason = reason;
    *refusal.hint = hint;
    return false;
}

bool uri_parse_port(const char *text, size_t size_bytes, uint32_t *ret_port, Refusal refusal)
{
    uint64_t port;

    if (size_bytes == 0)
        return uri_refuse(refusal, "the port is missing", "a plain decimal number from 0 to 4294967294 would be right");
    if (!text_to_number_sized(text, size_bytes, UINT32_MAX, &port))
        return uri_refuse(refusal, "the port is no plain decimal number up to 4294967294",
                          "a plain decimal number from 0 to 4294967294 would be right");
    if (port == UINT32_MAX)
        return uri_refuse(refusal, "4294967295 stands for any port, so it is none",
                          "a plain decimal number from 0 to 4294967294 would be right");
    *ret_port = (uint32_t)port;
    return true;
}

bool uri_parse_path(const char *text, size_t size_bytes, char **ret_path, Refusal refusal)
{
    if (size_bytes == 0)
        return uri_refuse(refusal, "the path is missing", "an absolute path would be right");
    if (text[0] != '/')
        return uri_refuse(refusal, "the path is not absolute", "three slashes, as in unix:///run/x.sock, would be right");
    static const char hint[] = "the path of a socket would be right";
    if (text[size_bytes - 1] == '/' || (size_bytes > 1 && memcmp(text + size_bytes - 2, "/.", 2) == 0))
        return uri_refuse(refusal, "the path names a folder, not a socket", hint);
    _cleanup_(freep) char *path = NULL;
    if (!path_from_uri(text, size_bytes, &path, refusal.reason, refusal.hint))
        return false;
    if (strcmp(path, "/") == 0) /* by escapes */
        return uri_refuse(refusal, "the path names a folder, not a socket", hint);
    *ret_path = TAKE_PTR(path);
    return true;
}
