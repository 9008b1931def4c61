/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#define makedev(major_, minor_) (((major_) << 8) | (minor_))
