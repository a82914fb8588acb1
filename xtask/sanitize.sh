#!/bin/sh
# The compiler of the workspace's own packages, with AddressSanitizer: what they depend on stays as it is, and is compiled
# once. Sanitizers are a nightly option; the variable lets the stable compiler take it.
RUSTC_BOOTSTRAP=1 exec "$@" -Zsanitizer=address
