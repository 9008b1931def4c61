/* SPDX-License-Identifier: Apache-2.0 */
/* Windows has no groups of this kind; whoever includes this asks for none. */
#pragma once
