/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the source tree inside of the program: EMBED(varlink_interface, "schema/varlink/x.varlink") defines the constant text
 * embedded_varlink_interface, ended by NUL. Paths are from the root, which is where make runs the compiler. */
#pragma once

#define EMBED(symbol_, path_)                                                                                          \
    __asm__(".section .rodata\n"                                                                                       \
            ".global embedded_" #symbol_ "\n"                                                                          \
            ".type embedded_" #symbol_ ", @object\n"                                                                   \
            "embedded_" #symbol_ ":\n"                                                                                 \
            ".incbin \"" path_ "\"\n"                                                                                  \
            ".byte 0\n"                                                                                                \
            ".size embedded_" #symbol_ ", . - embedded_" #symbol_ "\n"                                                 \
            ".previous\n");                                                                                            \
    extern const char embedded_##symbol_[]
