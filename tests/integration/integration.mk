# ---- integration: the programs that were built, with a private daemon a test; TESTS="a b" runs only those whose name holds one ----
CHECKS += check-integration
check-integration: all $(B)/tests/vm/load
	$(Q)HVSOCK_BUILD=$(CURDIR)/$(B) tests/integration/run $(TESTS)
.PHONY: check-integration
