# ---- lint: the house's rules and a test of that lint, scripts, man pages, cppcheck ----
lint: docs $(B)/packaging/systemd/hvsockd.service
	$(Q)tests/tally house tests/lint/house self-test tests/lint/self-test \
	  scripts 'grep -rlE "^#!/bin/(ba)?sh" packaging tests .ci | xargs shellcheck' \
	  man-pages 'mandoc -T lint -W warning $(MAN_PAGES)' \
	  sandbox 'systemd-analyze security --offline=true --threshold=20 --no-pager $(B)/packaging/systemd/hvsockd.service | tail -n 1' \
	  cppcheck 'mkdir -p $(B)/cppcheck; cppcheck -q -j2 --cppcheck-build-dir=$(B)/cppcheck --std=c11 --enable=warning,portability --inline-suppr \
	    --suppressions-list=tests/lint/cppcheck.txt --error-exitcode=1 -D_GNU_SOURCE -I. schema config daemon ctl packaging'
.PHONY: lint
