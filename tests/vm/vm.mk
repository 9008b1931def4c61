# ---- vm: what was installed, in an emulated guest with real AF_VSOCK and real systemd; CASES="a b" runs only these ----
check-vm: all
	@rm -rf .build/vm/installed
	@$(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/.build/vm/installed >/dev/null
	$(Q)tests/vm/run $(B) .build/vm/installed $(CASES)
.PHONY: check-vm
