# SPDX-License-Identifier: Apache-2.0
"""What integration tests are made of: a private daemon, a raw Varlink client, and a test case that finds left-overs."""
