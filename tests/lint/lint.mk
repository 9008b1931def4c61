# ---- lint: the house's rules and a test of that lint, scripts, man pages, cppcheck ----
MAN_PAGES = $(wildcard packaging/man/*.[1-8]) $(if $(wildcard packaging/man/hvsockd.yaml.5.in),$(B)/packaging/man/hvsockd.yaml.5)
# Debian's mandoc knows no page outside of its base system; what it thinks of ours is only that.
lint: $(MAN_PAGES)
	$(Q)tests/tally house tests/lint/house self-test tests/lint/self-test \
	  scripts 'grep -rlE "^#!/bin/(ba)?sh" packaging tests .ci | xargs shellcheck' \
	  man-pages '$(if $(strip $(MAN_PAGES)),mandoc -T lint -W warning $(MAN_PAGES),true)' \
	  cppcheck 'mkdir -p $(B)/cppcheck; cppcheck -q -j2 --cppcheck-build-dir=$(B)/cppcheck --std=c11 --enable=warning,portability --inline-suppr \
	    --suppressions-list=tests/lint/cppcheck.txt --error-exitcode=1 -D_GNU_SOURCE -I. schema config daemon ctl packaging'
.PHONY: lint
